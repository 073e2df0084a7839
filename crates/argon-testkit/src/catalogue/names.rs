//! Asks a real `mongod` which names it knows.
//!
//! A name that a server knows is in its binary, so all words of the binary are candidates, and a server says of a word
//! that it does not know it in a way of its own for each kind. Names that begin with `_` are MongoDB's own, between its
//! servers, and left out.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;

use super::{KINDS, Kind};
use crate::client::Client;
use crate::mongod::{self, Mongod};

/// What `mongod` 6.0.5 knows, a kind and a name a line.
pub const RECORDED: &str = include_str!("mongod-6.0.5.txt");

/// Where [`RECORDED`] is, from the root of the workspace.
pub const PATH: &str = "crates/argon-testkit/src/catalogue/mongod-6.0.5.txt";

/// The fields of a DBRef: names in documents, not operators.
const REFERENCE: &[&str] = &["$db", "$id", "$ref"];

/// Longest word that is taken for a name.
const NAME_BYTES_MAX: usize = 60;

/// The names that `mongod` knows of `kind`, sorted.
pub fn recorded(kind: Kind) -> impl Iterator<Item = &'static str> {
    let key = KINDS.iter().find(|row| row.kind == kind).map(|row| row.key);
    RECORDED.lines().filter_map(move |line| {
        let (of, name) = line.split_once(' ')?;
        (Some(of) == key).then_some(name)
    })
}

/// Asks a `mongod` of its own, and returns the text that [`RECORDED`] is.
///
/// # Errors
/// If there is no `mongod`, or it breaks off.
pub fn ask() -> Result<String> {
    let words = words(&fs::read(mongod::binary()?)?);
    let mongod = Mongod::start(mongod::Options {
        replica_set: false,
        volatile: true,
    })?;
    let mut client = mongod.connect()?;
    client.run_ok("t", &rawdoc! {"insert": "c", "documents": [{"a": 1}]})?;
    let mut out = String::new();
    for row in KINDS {
        let known = match row.kind {
            Kind::Command => fields(
                &client.run_ok("admin", &rawdoc! {"listCommands": 1})?,
                Some("commands"),
            )?,
            Kind::Parameter => fields(
                &client.run_ok("admin", &rawdoc! {"getParameter": "*"})?,
                None,
            )?,
            kind => {
                let mut known = BTreeSet::new();
                // Short names are put together in code and not in the binary as words: Argon's own are asked for too.
                let own = (row.entries)();
                let own = own.iter().map(|entry| entry.name.to_owned());
                for word in words.iter().cloned().chain(own) {
                    if knows(&mut client, kind, &word)? {
                        known.insert(word);
                    }
                }
                known
            }
        };
        for name in known {
            out.push_str(&format!("{} {name}\n", row.key));
        }
    }
    Ok(out)
}

/// The words in `binary`: between two zero bytes, of letters and digits, perhaps after a `$`.
fn words(binary: &[u8]) -> BTreeSet<String> {
    binary
        .split(|byte| *byte == 0)
        .filter_map(|bytes| {
            // Text before a word is cut off at the last byte that cannot be in one.
            let start = bytes.iter().rposition(|byte| !byte.is_ascii_graphic());
            let word = &bytes[start.map_or(0, |at| at + 1)..];
            let name = word.strip_prefix(b"$").unwrap_or(word);
            let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
                && name[0] != b'_'
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            fits.then(|| String::from_utf8_lossy(word).into_owned())
        })
        .collect()
}

/// Asks whether `word` is a name of `kind`.
fn knows(client: &mut Client, kind: Kind, word: &str) -> Result<bool> {
    let operator = word.starts_with('$');
    let wanted = matches!(
        kind,
        Kind::Query
            | Kind::Update
            | Kind::PushModifier
            | Kind::Projection
            | Kind::Expression
            | Kind::Accumulator
            | Kind::WindowFunction
            | Kind::Stage
    );
    if word.starts_with(|first: char| first.is_ascii_digit())
        && word.parse::<f64>().is_ok()
        && word != "1"
    {
        return Ok(false);
    }
    if kind == Kind::Query && REFERENCE.contains(&word) {
        return Ok(false);
    }
    if kind == Kind::IndexKind || kind == Kind::Schema {
        // `$ref` is a keyword of a schema, and `$**` a kind of key.
    } else if operator != wanted {
        return Ok(false);
    }
    let spec = |name: &str, value: i32| {
        let mut doc = RawDocumentBuf::new();
        bson::raw::CString::try_from(name)
            .map(|name| doc.append(name, value))
            .map(|()| doc)
    };
    let word_1 = spec(word, 1)?;
    let pipeline =
        |stage: RawDocumentBuf| rawdoc! {"aggregate": "c", "pipeline": [stage], "cursor": {}};
    let find = |filter: RawDocumentBuf| rawdoc! {"find": "c", "filter": filter};
    let update =
        |update: RawDocumentBuf| rawdoc! {"findAndModify": "none", "query": {}, "update": update};
    let nested = |word: &str, inner: RawDocumentBuf| -> Result<RawDocumentBuf> {
        let mut doc = RawDocumentBuf::new();
        doc.append(bson::raw::CString::try_from(word)?, inner);
        Ok(doc)
    };
    let (command, unknown): (RawDocumentBuf, &[&str]) = match kind {
        Kind::Query => {
            let on_field = refusal(client, &find(rawdoc! {"a": word_1.clone()}))?;
            if !on_field.contains("unknown operator") {
                return Ok(true);
            }
            (find(word_1), &["unknown top level operator"])
        }
        Kind::Schema => (
            find(rawdoc! {"$jsonSchema": word_1}),
            &["Unknown $jsonSchema keyword"],
        ),
        Kind::Type => (
            find(rawdoc! {"a": {"$type": word}}),
            &["Unknown type name alias", "is not a legal type name"],
        ),
        Kind::Update => (
            update(nested(word, rawdoc! {"a": 1})?),
            &["Unknown modifier"],
        ),
        Kind::PushModifier => {
            let mut clauses = rawdoc! {"$each": []};
            clauses.append(bson::raw::CString::try_from(word)?, rawdoc! {});
            (
                update(rawdoc! {"$push": {"a": clauses}}),
                &["Unrecognized clause"],
            )
        }
        Kind::Projection => {
            if word == "$" {
                let positional =
                    rawdoc! {"find": "c", "filter": {"a": 1}, "projection": {"a.$": 1}};
                return Ok(refusal(client, &positional)?.is_empty());
            }
            // What the aggregation takes in the same place is an expression.
            let in_find = rawdoc! {"find": "c", "projection": {"a": word_1.clone()}};
            let in_stage = refusal(client, &pipeline(rawdoc! {"$project": {"a": word_1}}))?;
            let special = refusal(client, &in_find)?;
            return Ok(in_stage.contains("in this context")
                || matches!(word, "$meta" | "$slice") && !special.contains("Unknown expression"));
        }
        Kind::Expression => (
            pipeline(rawdoc! {"$addFields": {"x": {"$and": [word_1]}}}),
            &["Unrecognized expression"],
        ),
        Kind::Accumulator => (
            pipeline(rawdoc! {"$group": {"_id": 1, "x": nested(word, rawdoc! {})?}}),
            &["unknown group operator"],
        ),
        Kind::WindowFunction => (
            pipeline(rawdoc! {"$setWindowFields": {"sortBy": {"a": 1}, "output": {"x": word_1}}}),
            &["Unrecognized window function"],
        ),
        Kind::Stage => (pipeline(word_1), &["Unrecognized pipeline stage name"]),
        Kind::IndexKind => {
            let (field, value) = if word == "$**" {
                ("$**", "1")
            } else {
                ("a", word)
            };
            let mut key = RawDocumentBuf::new();
            let field = bson::raw::CString::try_from(field)?;
            match value.parse::<i32>() {
                Ok(number) => key.append(field, number),
                Err(_) => key.append(field, value),
            }
            (
                rawdoc! {"createIndexes": "indexes", "indexes": [{"key": key, "name": "i"}]},
                &["Unknown index plugin", "is not a valid"],
            )
        }
        Kind::IndexOption => {
            let mut index = rawdoc! {"key": {"a": 1}, "name": "i"};
            index.append(bson::raw::CString::try_from(word)?, rawdoc! {});
            (
                rawdoc! {"createIndexes": "indexes", "indexes": [index]},
                &["is not valid for an index specification"],
            )
        }
        Kind::Collation => {
            let mut collation = rawdoc! {};
            collation.append(bson::raw::CString::try_from(word)?, 1);
            (
                rawdoc! {"find": "c", "collation": collation},
                &["is an unknown field"],
            )
        }
        Kind::Command | Kind::Parameter => return Ok(false),
    };
    let said = refusal(client, &command)?;
    if kind == Kind::IndexKind && said.is_empty() {
        client.run_ok("t", &rawdoc! {"drop": "indexes"})?;
    }
    Ok(!unknown.iter().any(|text| said.contains(text)))
}

/// What `command` is refused with; nothing if it is not.
fn refusal(client: &mut Client, command: &RawDocument) -> Result<String> {
    let reply = client.run_command("t", command)?;
    Ok(reply.get_str("errmsg").unwrap_or_default().to_owned())
}

/// The names of the fields of `doc`, or of the document at `path` in it.
fn fields(doc: &RawDocument, path: Option<&str>) -> Result<BTreeSet<String>> {
    let doc = match path {
        Some(path) => doc.get_document(path).context("no such document")?,
        None => doc,
    };
    let mut names = BTreeSet::new();
    for field in doc {
        let (name, _) = field?;
        let name = name.as_str();
        let of_the_reply = ["ok", "operationTime", "$clusterTime"].contains(&name);
        if !name.starts_with('_') && !of_the_reply {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}
