//! Plays a round on both servers and finds what they answer differently.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, rawdoc};

use super::area::{Asked, Script};
use crate::case::answer::{DB_PLACEHOLDER, NO_DOCUMENTS, Normalizer, Reading};
use crate::case::json;
use crate::case::suite::Subject;
use crate::client::{Client, is_ok};
use crate::deployment;

/// Documents of the batches after the first.
const GET_MORE: i32 = 4;

/// Generated values that look as if a server had made them up.
const GIVEN: &str = "AAAAAAAAAAAAAAAAAAAAAQ==";
const COLLECTIONS: &[&str] = &["c", "d", "e", "v", "w"];

/// A command as a value that can be cut down.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) command: Document,
    pub(super) unordered: bool,
    pub(super) setup: bool,
}

/// A command that got two answers.
#[derive(Debug)]
pub(super) struct Difference {
    /// Which of the round's commands.
    pub(super) at: usize,
    pub(super) mongod: Vec<String>,
    pub(super) argon: Vec<String>,
}

impl Ask {
    fn new(asked: &Asked) -> Result<Self> {
        let command = json::parse_document(&asked.command).context(asked.command.clone())?;
        Ok(Self {
            command: Document::try_from(&*command)?,
            unordered: asked.unordered,
            setup: asked.setup,
        })
    }

    pub(super) fn all(script: &Script) -> Result<Vec<Self>> {
        script.commands.iter().map(Self::new).collect()
    }
}

impl Difference {
    /// What stays the same while the difference shrinks, lest it turn into another one.
    pub(super) fn kind(&self) -> (String, String) {
        let kind = |lines: &[String]| match lines.first() {
            Some(line) if line.starts_with("error:") => line.clone(),
            Some(line) => line.find("writeErrors").map_or_else(
                || "answer".to_owned(),
                |at| {
                    let code = line[at..]
                        .find("\"code\"")
                        .map_or("", |code| &line[at + code..]);
                    code.split([',', '}']).next().unwrap_or_default().to_owned()
                },
            ),
            None => "none".to_owned(),
        };
        (kind(&self.mongod), kind(&self.argon))
    }
}

/// A connection to each server, and a database of its own there.
pub(super) struct Pair {
    mongod: Player,
    argon: Player,
}

impl Pair {
    pub(super) fn connect(
        mongod: SocketAddr,
        argon: SocketAddr,
        subject: Subject,
        worker: usize,
    ) -> Result<Self> {
        let db = format!("differ_{worker}");
        let played = deployment::database(&mut Client::connect(argon)?, subject, &db)?;
        Ok(Self {
            mongod: Player::connect(mongod, &db)?,
            argon: Player::connect(argon, &played)?,
        })
    }

    /// Plays `asks` from an empty database and returns the first difference.
    pub(super) fn play(&mut self, asks: &[Ask]) -> Result<Option<Difference>> {
        self.mongod.clear()?;
        self.argon.clear()?;
        for (at, ask) in asks.iter().enumerate() {
            let mongod = self.mongod.ask(&ask.command, ask.unordered)?;
            let argon = self.argon.ask(&ask.command, ask.unordered)?;
            let counts = |line: &&String| !line.starts_with('#');
            if !mongod.iter().filter(counts).eq(argon.iter().filter(counts)) {
                return Ok(Some(Difference { at, mongod, argon }));
            }
        }
        Ok(None)
    }
}

struct Player {
    addr: SocketAddr,
    client: Client,
    db: String,
    normalizer: Normalizer,
}

impl Player {
    fn connect(addr: SocketAddr, db: &str) -> Result<Self> {
        Ok(Self {
            addr,
            client: Client::connect(addr)?,
            db: db.to_owned(),
            normalizer: Normalizer::new(GIVEN, db),
        })
    }

    fn clear(&mut self) -> Result<()> {
        for collection in COLLECTIONS {
            // A collection that is not there is as good as dropped.
            self.client
                .run_command(&self.db, &rawdoc! {"drop": *collection})?;
        }
        Ok(())
    }

    fn ask(&mut self, command: &Document, unordered: bool) -> Result<Vec<String>> {
        let mut command = command.clone();
        let admin = command.remove("$db");
        let db = admin.as_ref().and_then(Bson::as_str).unwrap_or(&self.db);
        for (_, value) in command.iter_mut().filter(|_| admin.is_some()) {
            if let Bson::String(text) = value {
                *text = text.replace(DB_PLACEHOLDER, &self.db);
            }
        }
        match self
            .client
            .run_command(db, &RawDocumentBuf::try_from(&command)?)
        {
            Ok(reply) => self.lines(&reply, unordered),
            Err(error) => {
                // A server that breaks the connection has answered, too.
                self.client = Client::connect(self.addr)?;
                Ok(vec![format!("no reply: {error:#}")])
            }
        }
    }

    /// The answer, to the last batch of a cursor.
    fn lines(&mut self, reply: &RawDocument, unordered: bool) -> Result<Vec<String>> {
        let reading = Reading {
            explain: false,
            only: &[],
        };
        let Some(RawBsonRef::Document(cursor)) = reply.get("cursor")?.filter(|_| is_ok(reply))
        else {
            return self.normalizer.reply(reply, reading);
        };
        let mut lines = Vec::new();
        for document in cursor.get_array("firstBatch")? {
            let document = document?.as_document().context("a batch holds documents")?;
            // mongod keeps the definitions of views in a collection, and keeps that when the last view goes.
            if !matches!(document.get_str("name"), Ok("system.views")) {
                lines.push(self.normalizer.document(document, reading)?);
            }
        }
        let mut id = cursor.get_i64("id")?;
        let collection = cursor.get_str("ns")?.split_once('.').map_or("", |ns| ns.1);
        while id != 0 {
            let more = rawdoc! {"getMore": id, "collection": collection, "batchSize": GET_MORE};
            let reply = self.client.run_command(&self.db, &more)?;
            if !is_ok(&reply) {
                lines.extend(self.normalizer.reply(&reply, reading)?);
                break;
            }
            let cursor = reply.get_document("cursor")?;
            id = cursor.get_i64("id")?;
            let mut batch = Vec::new();
            for document in cursor.get_array("nextBatch")? {
                let document = document?.as_document().context("a batch holds documents")?;
                batch.push(self.normalizer.document(document, reading)?);
            }
            // Whether a full batch was the last one is known to the one who looked further.
            if !batch.is_empty() {
                lines.push("(more)".to_owned());
                lines.extend(batch);
            }
        }
        if lines.is_empty() {
            lines.push(NO_DOCUMENTS.to_owned());
        }
        if unordered {
            lines.sort();
        }
        Ok(lines)
    }
}
