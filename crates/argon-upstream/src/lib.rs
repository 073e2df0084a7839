//! The MongoDB deployment behind Argon: whole messages out and back, with the least possible work.
//!
//! ```text
//!   Request ──▶ Upstream::send ──▶ topology: which server ──▶ server: a connection of its pool ──▶ Exchange ──▶ Reply
//!   (a frame and     │                     ▲
//!    a few facts)    └── pins: cursors go  └── the driver's monitors
//!                        where they were made
//! ```
//!
//! What it promises: messages pass as they are (only a cluster time that the deployment never said, and a retryable
//! write's number on a standalone server, are changed in place); many clients share few connections, bounded per server;
//! a server that fails is left and found again by itself; waiting is bounded by `serverSelectionTimeoutMS`. Dropping a
//! call before its answer closes its connection, which has the server end the command.
//!
//! What it does not do: it has no query language, retries nothing that may have been run (but a retryable write, which
//! the server then knows), and answers nothing itself.
//!
//! To run a rewritten command and look at its answer:
//!
//! ```no_run
//! # async fn example(upstream: &argon_upstream::Upstream, frame: bytes::BytesMut) -> argon_upstream::Result<()> {
//! use argon_upstream::Request;
//!
//! // A whole OP_MSG, as it came from the client or built by `argon_wire::MsgWriter`.
//! let Ok(mut request) = Request::read(frame) else { return Ok(()) };
//! if let Some(exchange) = upstream.send(&mut request).await? {
//!     let document: &[u8] = exchange.reply().body();
//!     // … rewrite it, and answer the client.
//! }
//!
//! // A command of one's own, and its answer's document.
//! let stats = upstream.command("shop", bson::rawdoc! {"dbStats": 1}).await?;
//! # Ok(())
//! # }
//! ```

mod clock;
mod config;
mod connection;
mod element;
mod error;
mod kill;
mod pins;
mod reading;
mod reply;
mod request;
mod scram;
mod server;
mod stream;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use bson::{RawDocument, RawDocumentBuf, rawdoc};
use mongodb::{ServerType, TopologyType};
use tokio::time::Instant as Deadline;

use crate::clock::ClusterClock;
use crate::config::Config;
use crate::pins::Pins;
use crate::server::{Class, Lease, Server, Unavailable};
use crate::topology::Watch;

pub use error::{Error, Result};
pub use mongodb::options::{ClientOptions, ReadConcernLevel};
pub use reply::Reply;
pub use request::Request;

/// How often a write under a number of its own is sent in all before its failure is the client's affair. A member that steps
/// down may interrupt it more than once, and drivers try again but once. Routers do the same.
const TRIES_MAX: u32 = 3;

/// How often idle connections and forgotten pins are looked for.
const REAP: Duration = Duration::from_secs(10);

/// The deployment.
pub struct Upstream {
    config: Arc<Config>,
    watch: Watch,
    clock: Arc<ClusterClock>,
    cursors: Pins<i64>,
    /// By session.
    transactions: Pins<Box<[u8]>>,
}

/// A command that was sent, and the answer that has come.
pub struct Exchange {
    reply: Reply,
    /// Held while more answers come by themselves.
    lease: Option<Lease>,
}

/// How the deployment is.
#[derive(Debug)]
pub struct Status {
    /// Whether a command would be run now.
    pub healthy: bool,
    /// What is known of the servers, in words.
    pub summary: String,
    /// The kind of deployment, as drivers call it.
    pub topology: String,
    /// The servers.
    pub servers: Vec<ServerStatus>,
    /// Cursors that are pinned to their servers.
    pub cursors: usize,
}

/// How one server is.
#[derive(Debug)]
pub struct ServerStatus {
    /// Where it is.
    pub address: String,
    /// Its part in the deployment, as drivers call it.
    pub kind: String,
    /// Connections to it for commands.
    pub connections: u32,
    /// Those of them that are not in use.
    pub idle: usize,
    /// What is wrong, if something is.
    pub error: Option<String>,
}

impl Upstream {
    /// Begins to watch the deployment at `uri`; it need not be there yet.
    ///
    /// # Errors
    /// [`Error::Uri`].
    pub async fn open(uri: &str) -> Result<Arc<Upstream>> {
        Upstream::open_with(uri, |_| {}).await
    }

    /// As [`Upstream::open`], with what the address says, or leaves open, changed by `tune`.
    ///
    /// # Errors
    /// [`Error::Uri`].
    pub async fn open_with(
        uri: &str,
        tune: impl FnOnce(&mut ClientOptions) + Send,
    ) -> Result<Arc<Upstream>> {
        let (config, options) = Config::parse(uri, tune).await?;
        let config = Arc::new(config);
        let clock = Arc::new(ClusterClock::default());
        let upstream = Arc::new(Upstream {
            watch: Watch::start(options, Arc::clone(&config), Arc::clone(&clock))?,
            config,
            clock,
            cursors: Pins::new(),
            transactions: Pins::new(),
        });
        let weak = Arc::downgrade(&upstream);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REAP).await;
                let Some(upstream) = weak.upgrade() else {
                    return;
                };
                upstream.reap();
            }
        });
        Ok(upstream)
    }

    /// Sends `request` to the server it belongs to, and waits for the answer; `None` if it wants none (`w: 0`).
    ///
    /// # Errors
    /// Whatever keeps the answer from coming; a command that failed is an answer.
    pub async fn send(&self, request: &mut Request) -> Result<Option<Exchange>> {
        match self.parted(request) {
            None => self.send_to_one(request).await,
            Some(parts) => self.send_parts(parts).await,
        }
    }

    /// Sends `request`, again where the server knows that it is the same.
    async fn send_to_one(&self, request: &mut Request) -> Result<Option<Exchange>> {
        let mut tries = 1;
        loop {
            let sent = self.send_once(request).await;
            let interrupted = match &sent {
                Ok(Some(exchange)) => exchange.reply.has_state_change(),
                Err(Error::Lost { .. }) => self.is_replicated(),
                _ => false,
            };
            if !interrupted || tries == TRIES_MAX || !request.is_repeatable() {
                return sent;
            }
            tries += 1;
        }
    }

    /// Sends `request` once, and waits for the answer.
    async fn send_once(&self, request: &mut Request) -> Result<Option<Exchange>> {
        let (mut lease, server) = self.sent(request).await?;
        if request.is_silent() {
            // The server is through with it once it answers what comes after it. Until then the client's next command,
            // which may take another connection, must not overtake it.
            let ping = Request::command_of("admin", rawdoc! {"ping": 1})?;
            lease
                .send(ping.frame())
                .await
                .map_err(|source| Error::Lost {
                    address: server.address.to_string(),
                    source,
                })?;
            lease.receive().await?;
            lease.give_back();
            return Ok(None);
        }
        let reply = lease.receive().await?;
        self.note(request, &reply, &server);
        let lease = if reply.has_more() {
            Some(lease)
        } else {
            lease.give_back();
            None
        };
        Ok(Some(Exchange { reply, lease }))
    }

    /// Kills the cursor that `request` fetches from: its client left while it waited, and will not come back for it.
    ///
    /// A server ends most commands when their connection ends, but not a `getMore` that waits for documents.
    pub fn abandon(self: &Arc<Self>, request: &Request) {
        let Some(cursor) = request.cursor() else {
            return;
        };
        let Some(collection) = request.text("collection") else {
            return;
        };
        let command = rawdoc! {"killCursors": collection, "cursors": [cursor]};
        let database = request.database().to_owned();
        let upstream = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = upstream.command(&database, command).await {
                tracing::debug!(%error, "a cursor whose client left is left to its time-out");
            }
        });
    }

    /// Runs a command of our own on the primary, and gives its answer's document, be it `ok: 1` or not.
    ///
    /// # Errors
    /// As [`Upstream::send`].
    pub async fn command(&self, database: &str, command: RawDocumentBuf) -> Result<RawDocumentBuf> {
        let mut request = Request::command_of(database, command)?;
        let exchange = self.send(&mut request).await?;
        let body = exchange
            .map(|exchange| exchange.reply.body().to_vec())
            .unwrap_or_default();
        RawDocumentBuf::from_bytes(body)
            .map_err(|_| Error::Malformed("an answer without a document"))
    }

    /// Fails unless the answer `reply` to a command of our own says that it succeeded.
    ///
    /// # Errors
    /// What the server said.
    pub fn check(reply: &RawDocument) -> Result<(), String> {
        connection::succeeded(reply)
    }

    /// Whether cursor `id` was made there.
    #[must_use]
    pub fn has_cursor(&self, id: i64) -> bool {
        self.cursors.find(&id, 0).is_some()
    }

    /// Whether a command would find its server now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.watch.is_ready()
    }

    /// Whether the deployment takes retryable writes, transactions and sessions' times: it is no standalone server.
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        match self.watch.kind() {
            TopologyType::Single => {
                let topology = self.watch.now();
                !topology
                    .members
                    .iter()
                    .any(|member| member.kind == ServerType::Standalone)
            }
            _ => true,
        }
    }

    /// How the deployment is.
    #[must_use]
    pub fn status(&self) -> Status {
        let topology = self.watch.now();
        let servers = topology.members.iter().map(|member| {
            let (connections, idle) = member.server.connections();
            ServerStatus {
                address: member.server.address.to_string(),
                kind: format!("{:?}", member.kind),
                connections,
                idle,
                error: member.error.clone().or_else(|| member.server.failure()),
            }
        });
        Status {
            healthy: topology.is_ready(),
            summary: topology.describe(),
            topology: format!("{:?}", topology.kind),
            servers: servers.collect(),
            cursors: self.cursors.len(),
        }
    }

    /// Sends `request` on a connection to its server. While none of it can have been run, another try is made.
    async fn sent(&self, request: &mut Request) -> Result<(Lease, Arc<Server>)> {
        let deadline = Deadline::now() + self.config.selection_timeout;
        self.correct_time(request);
        let class = if request.in_transaction() {
            Class::Transaction
        } else if request.waits() {
            Class::Waiting
        } else {
            Class::Ordinary
        };
        loop {
            let server = match self.pinned(request) {
                Some(server) => server,
                None => {
                    let preference = request.read_preference();
                    let (server, kind) = self.watch.choose(preference, deadline).await?;
                    if kind == ServerType::Standalone && !request.in_transaction() {
                        // Drivers number their writes because they take Argon for a mongos; this server refuses that.
                        request.strip_txn_number();
                    }
                    server
                }
            };
            let mut lease = match server.lend(class, deadline).await {
                Ok(lease) => lease,
                Err(Unavailable::Failed(error)) => return Err(error),
                Err(Unavailable::Unreachable) if Deadline::now() < deadline => {
                    if self.pinned(request).is_some() {
                        // No other server has what it is about.
                        return Err(Error::Lost {
                            address: server.address.to_string(),
                            source: std::io::ErrorKind::NotConnected.into(),
                        });
                    }
                    continue;
                }
                Err(Unavailable::Unreachable) => {
                    return Err(Error::NoServer {
                        wanted: format!("{}", server.address),
                        waited: self.config.selection_timeout,
                        known: self.watch.now().describe(),
                    });
                }
            };
            match lease.send(request.frame()).await {
                Ok(()) => return Ok((lease, server)),
                Err(source) => {
                    server.suspect(&source.to_string());
                    if Deadline::now() >= deadline || self.pinned(request).is_some() {
                        return Err(Error::Lost {
                            address: server.address.to_string(),
                            source,
                        });
                    }
                }
            }
        }
    }

    /// The server that has the cursor or transaction of `request`.
    fn pinned(&self, request: &Request) -> Option<Arc<Server>> {
        if let Some(cursor) = request.cursor() {
            return self.cursors.find(&cursor, 0);
        }
        if request.command() == "killCursors" {
            let killed = request.killed_cursors();
            return killed
                .iter()
                .find_map(|cursor| self.cursors.find(cursor, 0));
        }
        // In a replica set it is the primary's, whichever that is: a new one answers that it has no such transaction.
        if request.in_transaction()
            && !request.starts_transaction()
            && self.watch.kind() == TopologyType::Sharded
        {
            return self
                .transactions
                .find(request.lsid()?, request.txn_number()?);
        }
        None
    }

    /// Takes note of what an answer tells.
    fn note(&self, request: &Request, reply: &Reply, server: &Arc<Server>) {
        if let Some(time) = reply.cluster_time() {
            self.clock.observe(time);
        }
        match (request.cursor(), reply.cursor()) {
            (_, Some(id)) if id != 0 => self.cursors.pin(id, 0, server),
            (Some(ended), _) if reply.cursor() == Some(0) || reply.code() == Some(43) => {
                self.cursors.unpin(&ended);
            }
            _ => {}
        }
        for cursor in request.killed_cursors() {
            self.cursors.unpin(&cursor);
        }
        if request.starts_transaction()
            && let (Some(lsid), Some(number)) = (request.lsid(), request.txn_number())
        {
            self.transactions.pin(lsid.into(), number, server);
        }
        if reply.has_state_change() {
            server.suspect("it is not primary any more, or shuts down");
        }
    }

    fn correct_time(&self, request: &mut Request) {
        if let Some(sent) = request.cluster_time() {
            let mut newest = None;
            self.clock.correct(sent, |document, time| {
                newest = Some((document.to_vec(), time))
            });
            if let Some((document, time)) = newest {
                request.replace_cluster_time(&document, time);
            }
        }
    }

    fn reap(&self) {
        self.cursors.reap();
        self.transactions.reap();
        for member in self.watch.now().members {
            member.server.close_idle();
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upstream")
            .field(&self.watch.now().describe())
            .finish()
    }
}

impl Exchange {
    /// The answer.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// The answer, to be changed before it is passed on.
    pub fn reply_mut(&mut self) -> &mut Reply {
        &mut self.reply
    }

    /// Gives the answer away.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.reply
    }

    /// Waits for the next answer to an exhaust command; false if the last one has come.
    ///
    /// # Errors
    /// As [`Upstream::send`].
    pub async fn next(&mut self) -> Result<bool> {
        let Some(mut lease) = self.lease.take() else {
            return Ok(false);
        };
        self.reply = lease.receive().await?;
        if self.reply.has_more() {
            self.lease = Some(lease);
        } else {
            lease.give_back();
        }
        Ok(true)
    }
}

/// Whether a failure with this code says that the server is not the primary any more, or goes away.
///
/// Source: specification "Server Discovery And Monitoring", "not writable primary" and "node is recovering" errors.
#[must_use]
pub fn is_state_change(code: i64) -> bool {
    matches!(
        code,
        91 | 189 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436
    )
}
