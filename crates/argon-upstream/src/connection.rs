//! One connection to a server: greeting, login, then one message out and its answers back.

use std::io;
use std::time::Instant;

use argon_wire::{Compressor, Limits, compress, inflate, room_for, take};
use base64::Engine as _;
use bson::{Binary, RawDocument, RawDocumentBuf, rawdoc, spec::BinarySubtype};
use bytes::BytesMut;
use mongodb::options::{AuthMechanism, Credential, ServerAddress};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Request;
use crate::scram::{self, Mechanism};
use crate::stream::Stream;

/// Past this much unused room a connection's buffer is given back between messages.
const BUFFER_KEPT: usize = 1 << 20;

/// An open connection that has logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    input: BytesMut,
    compressor: Option<Compressor>,
    /// When it was last given back to its pool.
    pub(crate) used: Instant,
}

impl Connection {
    /// Connects to `address`, greets the server and logs in.
    pub(crate) async fn open(address: &ServerAddress, config: &Config) -> Result<Connection> {
        let lost = |source| Error::Lost {
            address: address.to_string(),
            source,
        };
        let stream = Stream::connect(address, config.tls.as_ref())
            .await
            .map_err(lost)?;
        let mut connection = Connection {
            stream,
            input: BytesMut::with_capacity(16 * 1024),
            compressor: None,
            used: Instant::now(),
        };
        let credential = config.credential.as_ref();
        let hello = connection
            .run("admin", greeting(config))
            .await
            .map_err(lost)?;
        if let Err(message) = succeeded(&hello) {
            return Err(lost(io::Error::other(message)));
        }
        if let Some(credential) = credential {
            let logged_in = connection
                .log_in(credential, &config.salted, &hello)
                .await
                .map_err(lost)?;
            logged_in.map_err(|message| Error::Login {
                address: address.to_string(),
                message,
            })?;
        }
        connection.compressor = negotiated(config, &hello);
        Ok(connection)
    }

    /// Sends a whole message.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match self.compressor {
            None => self.stream.write(frame).await,
            Some(compressor) => {
                let mut small = BytesMut::with_capacity(frame.len() / 2 + 64);
                compress(frame, compressor, &mut small).map_err(io::Error::other)?;
                self.stream.write(&small).await
            }
        }
    }

    /// Waits for the next whole message.
    pub(crate) async fn receive(&mut self) -> io::Result<Reply> {
        let limits = Limits::default();
        loop {
            if let Some(frame) = take(&mut self.input, &limits).map_err(io::Error::other)? {
                let (frame, _) = inflate(frame, &limits).map_err(io::Error::other)?;
                return Ok(Reply::read(frame));
            }
            self.input.reserve(room_for(&self.input, &limits));
            if self.stream.read(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether it can be used again: nothing is under way on it, and the server has not closed it.
    pub(crate) fn is_reusable(&self) -> bool {
        self.input.is_empty() && self.stream.is_quiet()
    }

    /// Gives back what a large answer needed.
    pub(crate) fn shrink(&mut self) {
        self.used = Instant::now();
        if self.input.capacity() > BUFFER_KEPT {
            self.input = BytesMut::with_capacity(16 * 1024);
        }
    }

    /// Runs a command of our own.
    async fn run(&mut self, database: &str, command: RawDocumentBuf) -> io::Result<RawDocumentBuf> {
        let request = Request::command_of(database, command).map_err(io::Error::other)?;
        self.stream.write(request.frame()).await?;
        let reply = self.receive().await?;
        RawDocumentBuf::from_bytes(reply.body().to_vec()).map_err(io::Error::other)
    }

    async fn log_in(
        &mut self,
        credential: &Credential,
        salted: &scram::Cache,
        hello: &RawDocument,
    ) -> io::Result<Result<(), String>> {
        let user = credential.username.as_deref().unwrap_or_default();
        let password = credential.password.as_deref().unwrap_or_default();
        let source = credential.source.as_deref().unwrap_or("admin");
        let mechanism = match &credential.mechanism {
            Some(AuthMechanism::ScramSha1) => Mechanism::Sha1,
            Some(AuthMechanism::ScramSha256) => Mechanism::Sha256,
            None => {
                let known = hello.get_array("saslSupportedMechs").ok();
                let knows_sha256 = known.is_some_and(|known| {
                    let mut names = known.into_iter().flatten();
                    names.any(|name| name.as_str() == Some(Mechanism::Sha256.name()))
                });
                if knows_sha256 {
                    Mechanism::Sha256
                } else {
                    Mechanism::Sha1
                }
            }
            Some(AuthMechanism::MongoDbX509) => {
                let mut command = rawdoc! {"authenticate": 1, "mechanism": "MONGODB-X509"};
                if let Some(user) = &credential.username {
                    command.append(bson::cstr!("user"), user.as_str());
                }
                return Ok(succeeded(&self.run("$external", command).await?));
            }
            Some(AuthMechanism::Plain) => {
                let command = rawdoc! {
                    "saslStart": 1, "mechanism": "PLAIN", "payload": binary(&format!("\0{user}\0{password}")),
                };
                let source = credential.source.as_deref().unwrap_or("$external");
                return Ok(succeeded(&self.run(source, command).await?));
            }
            Some(other) => return Ok(Err(format!("mechanism {other:?} is not supported"))),
        };
        let nonce = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 24]>());
        let (first, started) = scram::start(mechanism, user, password, &nonce);
        let command = rawdoc! {
            "saslStart": 1, "mechanism": mechanism.name(), "payload": binary(&first),
            "options": {"skipEmptyExchange": true},
        };
        let reply = self.run(source, command).await?;
        if let Err(message) = succeeded(&reply) {
            return Ok(Err(message));
        }
        let (last, finishing) = match started.answer(&payload(&reply), salted) {
            Ok(answer) => answer,
            Err(message) => return Ok(Err(message)),
        };
        let reply = self.run(source, go_on(&reply, &last)).await?;
        let checked = succeeded(&reply).and_then(|()| finishing.check(&payload(&reply)));
        if checked.is_err() || reply.get_bool("done").unwrap_or(false) {
            return Ok(checked);
        }
        // Servers before 4.4 want an empty message more.
        Ok(succeeded(&self.run(source, go_on(&reply, "")).await?))
    }
}

/// The first command on a connection. `isMaster` is what every version knows.
fn greeting(config: &Config) -> RawDocumentBuf {
    let mut hello = rawdoc! {
        "isMaster": 1,
        "helloOk": true,
        "client": {
            "application": {"name": config.app_name.as_str()},
            "driver": {"name": "argon", "version": env!("CARGO_PKG_VERSION")},
            "os": {"type": std::env::consts::OS},
        },
    };
    if let Some(credential) = &config.credential
        && credential.mechanism.is_none()
    {
        let source = credential.source.as_deref().unwrap_or("admin");
        let user = credential.username.as_deref().unwrap_or_default();
        hello.append(
            bson::cstr!("saslSupportedMechs"),
            format!("{source}.{user}"),
        );
    }
    if !config.compressors.is_empty() {
        let mut names = bson::RawArrayBuf::new();
        for compressor in &config.compressors {
            names.push(compressor.name());
        }
        hello.append(bson::cstr!("compression"), names);
    }
    hello
}

fn negotiated(config: &Config, hello: &RawDocument) -> Option<Compressor> {
    let known = hello.get_array("compression").ok()?;
    let known: Vec<_> = known
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .collect();
    let mut wanted = config.compressors.iter().copied();
    wanted.find(|compressor| known.contains(&compressor.name()))
}

fn go_on(reply: &RawDocument, message: &str) -> RawDocumentBuf {
    let conversation = reply.get_i32("conversationId").unwrap_or(1);
    rawdoc! {"saslContinue": 1, "conversationId": conversation, "payload": binary(message)}
}

fn binary(text: &str) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: text.as_bytes().to_vec(),
    }
}

fn payload(reply: &RawDocument) -> String {
    let payload = reply.get_binary("payload");
    payload.map_or_else(
        |_| String::new(),
        |payload| String::from_utf8_lossy(payload.bytes).into_owned(),
    )
}

/// What a failed command's answer says.
pub(crate) fn succeeded(reply: &RawDocument) -> Result<(), String> {
    let ok = reply.get("ok").ok().flatten();
    if ok.is_some_and(|ok| ok.as_f64() == Some(1.0) || ok.as_i32() == Some(1)) {
        return Ok(());
    }
    Err(reply
        .get_str("errmsg")
        .unwrap_or("no reason given")
        .to_owned())
}
