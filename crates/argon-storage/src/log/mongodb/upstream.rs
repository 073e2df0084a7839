//! The deployment behind the store: commands to it, how long to wait for them, and what their failures mean.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_upstream::{Error as LinkError, Reply, Request, Upstream as Link};
use bson::{RawDocument, RawDocumentBuf, Timestamp, rawdoc};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::log::Status;
use crate::{Error, Result};

/// How long one attempt of a command may take. A connection that is dead without saying so is noticed by this only.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between attempts: an election takes seconds, a step-down less than one.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_millis(200);

/// Codes of a member that did not execute the command, because it is not the primary. They are the codes of the
/// specification "Server Discovery and Monitoring", "not writable primary", and mongos's FailedToSatisfyReadPreference.
const NOT_PRIMARY: &[i32] = &[10107, 13435, 10058, 13436, 133];

/// Codes that leave open whether the command was executed: the "node is recovering" and retryable ones of the
/// specification "Retryable Writes", the write concern that was not met in time (50, 64, 100), locks and conflicts (24,
/// 46, 112), and an operator's `killOp` (11601).
const INTERRUPTED: &[i32] = &[
    6, 7, 24, 46, 50, 64, 89, 91, 100, 112, 134, 189, 262, 9001, 11600, 11601, 11602,
];

/// Source: MongoDB, `codeName` OutOfDiskSpace.
const OUT_OF_DISK_SPACE: i32 = 14031;
/// Source: MongoDB, `codeName` AtlasError: a hosted deployment's own limits, space among them.
const ATLAS_ERROR: i32 = 8000;
pub(super) const DUPLICATE_KEY: i32 = 11000;
pub(super) const AUTHENTICATION_FAILED: i32 = 18;
pub(super) const NAMESPACE_EXISTS: i32 = 48;
/// Source: MongoDB, `codeName` BSONObjectTooLarge.
const TOO_LARGE: i32 = 10334;

/// What kind of deployment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deployment {
    /// One process without an oplog: majority is itself.
    Standalone,
    ReplicaSet,
    /// Reached through mongos.
    Sharded,
}

/// Why a command has no answer that counts.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It was not executed: nobody was there who could.
    NotSent(String),
    /// Nobody knows whether it was executed.
    Unknown(String),
    /// It was refused, and not executed.
    Refused { code: i32, message: String },
}

impl Failure {
    /// As the failure of a change; one that was only read for was never made.
    pub(super) fn into_error(self, made: Made) -> Error {
        match self {
            Failure::Unknown(reason) if made == Made::Perhaps => Error::Unknown { reason },
            Failure::NotSent(reason) | Failure::Unknown(reason) => Error::Unavailable { reason },
            Failure::Refused { code, message } => {
                let space = code == OUT_OF_DISK_SPACE
                    || (code == ATLAS_ERROR && message.contains("space quota"));
                if space {
                    Error::OutOfSpace { reason: message }
                } else {
                    let text = format!("{message} (code {code})");
                    Error::io(
                        "the MongoDB that holds the log refused a command",
                        std::io::Error::other(text),
                    )
                }
            }
        }
    }

    /// The failure that a server's code stands for.
    pub(super) fn of_code(code: i32, message: &str) -> Failure {
        if NOT_PRIMARY.contains(&code) {
            Failure::NotSent(format!("{message} (code {code})"))
        } else if INTERRUPTED.contains(&code) {
            Failure::Unknown(format!("{message} (code {code})"))
        } else {
            Failure::Refused {
                code,
                message: message.to_owned(),
            }
        }
    }

    /// The failure that `error` stands for: only an answer that got lost leaves open whether there was something to answer.
    fn of(error: &LinkError) -> Failure {
        match error {
            LinkError::NoServer { .. } | LinkError::Busy { .. } | LinkError::Uri(_) => {
                Failure::NotSent(error.to_string())
            }
            LinkError::Login { .. } => Failure::Refused {
                code: AUTHENTICATION_FAILED,
                message: error.to_string(),
            },
            LinkError::Lost { .. }
            | LinkError::Slow { .. }
            | LinkError::Frame(_)
            | LinkError::Malformed(_) => Failure::Unknown(error.to_string()),
        }
    }

    fn reason(&self) -> &str {
        match self {
            Failure::NotSent(reason) | Failure::Unknown(reason) => reason,
            Failure::Refused { message, .. } => message,
        }
    }
}

/// Whether a command that failed may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    No,
    Perhaps,
}

/// How a read relates to what is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What the primary has: everything acknowledged, and perhaps what is not durable yet.
    Local,
    /// What a majority has, at least everything that any answer to this process has told of.
    Majority,
    /// Everything acknowledged, and proof that the member that answers is still the primary.
    Linearizable,
}

/// What a query found.
pub(super) struct Found {
    pub(super) documents: Vec<RawDocumentBuf>,
}

/// Documents of a cursor that were answered together.
pub(super) struct Batch {
    /// Where the rest is; 0 if there is none.
    pub(super) cursor: i64,
    pub(super) documents: Vec<RawDocumentBuf>,
}

/// One query. What is not given is MongoDB's default.
pub(super) struct Find {
    pub(super) collection: &'static str,
    pub(super) filter: RawDocumentBuf,
    pub(super) sort: Option<RawDocumentBuf>,
    pub(super) projection: Option<RawDocumentBuf>,
    /// At most this many documents, and of those as many as fit into one reply.
    pub(super) limit: Option<i64>,
    pub(super) level: Level,
}

/// A connection pool to the deployment, and what is known of its health.
#[derive(Debug)]
pub(super) struct Upstream {
    link: Arc<Link>,
    database: String,
    pub(super) deployment: Deployment,
    /// How long to wait for a deployment that is away.
    pub(super) patience: Duration,
    /// How heads are read.
    pub(super) head_level: HeadLevel,
    health: Mutex<Health>,
    seen: Mutex<Seen>,
}

/// The latest times that any answer told; a standalone tells none.
#[derive(Debug, Default)]
struct Seen {
    /// The latest `operationTime`.
    operation: Option<Timestamp>,
    /// The latest `$clusterTime`, and the document that it came in, which a server has signed. A server that has not heard
    /// of a time yet does not wait for it unless it is told so.
    cluster: Option<(Timestamp, RawDocumentBuf)>,
}

/// How the end of a log is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadLevel {
    /// From the member that the driver knows as primary.
    Primary,
    /// From the primary, which proves that it still is one: `readConcernLevel=linearizable`.
    Linearizable,
}

#[derive(Debug)]
struct Health {
    reachable: bool,
    last_error: Option<String>,
}

impl Upstream {
    pub(super) fn new(
        link: Arc<Link>,
        database: &str,
        deployment: Deployment,
        patience: Duration,
        head_level: HeadLevel,
    ) -> Self {
        Upstream {
            link,
            database: database.to_owned(),
            deployment,
            patience,
            head_level,
            health: Mutex::new(Health {
                reachable: true,
                last_error: None,
            }),
            seen: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> Status {
        let health = self.health.lock();
        Status {
            kind: "mongodb",
            reachable: health.reachable,
            last_error: health.last_error.clone(),
        }
    }

    fn note(&self, failure: Option<&Failure>) {
        let mut health = self.health.lock();
        match failure {
            // Another process was faster with what this one wanted too.
            None
            | Some(Failure::Refused {
                code: NAMESPACE_EXISTS,
                ..
            }) => {
                if !health.reachable {
                    health.reachable = true;
                    tracing::info!("the MongoDB that holds the log answers again");
                }
            }
            Some(failure) => {
                // A server that refuses is one that answers.
                let reachable = matches!(failure, Failure::Refused { .. });
                if health.reachable && !reachable {
                    tracing::warn!(
                        reason = failure.reason(),
                        "cannot reach the MongoDB that holds the log"
                    );
                }
                health.reachable = reachable;
                health.last_error = Some(failure.reason().to_owned());
            }
        }
    }

    /// Runs a command once, on the primary. Errors inside an `ok: 1` are the caller's.
    pub(super) async fn run(&self, command: RawDocumentBuf) -> Result<RawDocumentBuf, Failure> {
        let reply = self.noted(command).await?;
        document(&reply).map(RawDocument::to_owned)
    }

    /// Makes a query once, on the primary.
    pub(super) async fn find(&self, find: &Find) -> Result<Found, Failure> {
        let command = find.command(self.deployment, &self.seen.lock());
        let mut reply = self.noted(command).await?;
        let mut found = Found {
            documents: Vec::new(),
        };
        loop {
            let cursor = read_batch(&reply, &mut found.documents)?;
            if cursor == 0 || find.limit.is_some() {
                return Ok(found);
            }
            reply = self
                .noted(rawdoc! {"getMore": cursor, "collection": find.collection})
                .await?;
        }
    }

    /// Makes a query for keys once, on the primary; the first batch is all.
    pub(super) async fn keys(&self, query: RawDocumentBuf) -> Result<Vec<RawDocumentBuf>, Failure> {
        let reply = self.noted(query).await?;
        let mut keys = Vec::new();
        read_batch(&reply, &mut keys)?;
        Ok(keys)
    }

    /// Opens a cursor on the primary with `command`, or reads on with a `getMore`. Says nothing about the deployment's health.
    pub(super) async fn batch(&self, command: RawDocumentBuf) -> Result<Batch, Failure> {
        let reply = self.exchange(command).await?;
        let mut documents = Vec::new();
        let cursor = read_batch(&reply, &mut documents)?;
        Ok(Batch { cursor, documents })
    }

    async fn noted(&self, command: RawDocumentBuf) -> Result<Reply, Failure> {
        let outcome = self.exchange(command).await;
        self.note(outcome.as_ref().err());
        outcome
    }

    /// Sends a command to the primary once; the answer, if it says that it was run.
    async fn exchange(&self, command: RawDocumentBuf) -> Result<Reply, Failure> {
        let mut request =
            Request::command_of(&self.database, command).map_err(|error| Failure::Refused {
                code: TOO_LARGE,
                message: error.to_string(),
            })?;
        let reply = match timeout(ATTEMPT_TIMEOUT, self.link.send(&mut request)).await {
            Ok(Ok(Some(exchange))) => exchange.into_reply(),
            Ok(Ok(None)) => return Err(Failure::Unknown("nothing was answered".into())),
            Ok(Err(error)) => return Err(Failure::of(&error)),
            Err(_) => {
                return Err(Failure::Unknown(format!(
                    "no answer within {} seconds",
                    ATTEMPT_TIMEOUT.as_secs()
                )));
            }
        };
        self.see(document(&reply)?)?;
        Ok(reply)
    }

    /// Takes note of the times that an answer tells.
    ///
    /// # Errors
    /// What it says if it is a refusal.
    fn see(&self, reply: &RawDocument) -> Result<(), Failure> {
        let (mut ok, mut code, mut message) = (false, 0, "no reason given");
        let (mut operation, mut cluster) = (None, None);
        for element in reply {
            let (name, value) = element.map_err(|_| unreadable())?;
            match name.as_str() {
                "ok" => ok = value.as_f64() == Some(1.0) || value.as_i32() == Some(1),
                "code" => code = value.as_i32().unwrap_or_default(),
                "errmsg" => message = value.as_str().unwrap_or(message),
                "operationTime" => operation = value.as_timestamp(),
                "$clusterTime" => cluster = value.as_document(),
                _ => {}
            }
        }
        let time = cluster.and_then(|cluster| cluster.get_timestamp("clusterTime").ok());
        if operation.is_some() || time.is_some() {
            let mut seen = self.seen.lock();
            seen.operation = seen.operation.max(operation);
            if let (Some(cluster), Some(time)) = (cluster, time)
                && seen.cluster.as_ref().is_none_or(|(seen, _)| *seen < time)
            {
                seen.cluster = Some((time, cluster.to_owned()));
            }
        }
        if ok {
            return Ok(());
        }
        Err(Failure::of_code(code, message))
    }

    /// Makes a query, again and again while the deployment is away and patience lasts.
    pub(super) async fn query(&self, find: &Find) -> Result<Found> {
        let mut attempts = Attempts::new(self.patience);
        loop {
            match self.find(find).await {
                Ok(found) => return Ok(found),
                Err(failure) => attempts.again(failure, Made::No).await?,
            }
        }
    }

    /// Runs a command that changes nothing more when it runs again, until it has an answer or patience ends.
    pub(super) async fn persist(&self, command: RawDocumentBuf) -> Result<RawDocumentBuf> {
        let mut attempts = Attempts::new(self.patience);
        loop {
            let failure = match self.run(command.clone()).await {
                Ok(reply) => match write_concern_failure(&reply) {
                    None => return Ok(reply),
                    Some(failure) => failure,
                },
                Err(failure) => failure,
            };
            attempts.again(failure, Made::Perhaps).await?;
        }
    }
}

impl Find {
    pub(super) fn new(collection: &'static str, filter: RawDocumentBuf) -> Self {
        Find {
            collection,
            filter,
            sort: None,
            projection: None,
            limit: None,
            level: Level::Local,
        }
    }

    fn command(&self, deployment: Deployment, seen: &Seen) -> RawDocumentBuf {
        let mut command = rawdoc! {"find": self.collection, "filter": self.filter.clone()};
        if let Some(sort) = &self.sort {
            command.append(bson::cstr!("sort"), sort.clone());
        }
        if let Some(projection) = &self.projection {
            command.append(bson::cstr!("projection"), projection.clone());
        }
        if let Some(limit) = self.limit {
            command.append(bson::cstr!("limit"), limit);
            command.append(bson::cstr!("batchSize"), limit);
            command.append(bson::cstr!("singleBatch"), true);
        }
        let concern = match (self.level, seen.operation) {
            // A standalone knows no other.
            _ if deployment == Deployment::Standalone => rawdoc! {"level": "local"},
            (Level::Local, _) => rawdoc! {"level": "local"},
            (Level::Majority, None) => rawdoc! {"level": "majority"},
            (Level::Majority, Some(time)) => {
                if let Some((_, cluster)) = &seen.cluster {
                    command.append(bson::cstr!("$clusterTime"), cluster.clone());
                }
                rawdoc! {"level": "majority", "afterClusterTime": time}
            }
            (Level::Linearizable, _) => rawdoc! {"level": "linearizable"},
        };
        command.append(bson::cstr!("readConcern"), concern);
        command
    }
}

fn unreadable() -> Failure {
    Failure::Unknown("an answer that cannot be read".into())
}

fn document(reply: &Reply) -> Result<&RawDocument, Failure> {
    RawDocument::from_bytes(reply.body()).map_err(|_| unreadable())
}

/// Appends the documents of a cursor's answer to `documents`; gives the cursor that has more, 0 if there are none.
fn read_batch(reply: &Reply, documents: &mut Vec<RawDocumentBuf>) -> Result<i64, Failure> {
    let mut read = || {
        let cursor = document(reply).ok()?.get_document("cursor").ok()?;
        let batch = match cursor.get_array("firstBatch") {
            Ok(batch) => batch,
            Err(_) => cursor.get_array("nextBatch").ok()?,
        };
        for value in batch {
            documents.push(value.ok()?.as_document()?.to_owned());
        }
        cursor.get_i64("id").ok()
    };
    read().ok_or_else(unreadable)
}

/// The attempts at one thing, until patience ends.
pub(super) struct Attempts {
    deadline: Instant,
    backoff: Duration,
    made: Made,
}

impl Attempts {
    pub(super) fn new(patience: Duration) -> Self {
        Self::until(Instant::now() + patience)
    }

    pub(super) fn until(deadline: Instant) -> Self {
        Attempts {
            deadline,
            backoff: BACKOFF_MIN,
            made: Made::No,
        }
    }

    /// Waits before the next attempt after `failure`.
    ///
    /// # Errors
    /// The failure, if the server refused for good or patience has ended.
    pub(super) async fn again(&mut self, failure: Failure, made: Made) -> Result<()> {
        match &failure {
            Failure::Refused { .. } => return Err(failure.into_error(made)),
            Failure::Unknown(_) => self.made = made,
            Failure::NotSent(_) => {}
        }
        if Instant::now() >= self.deadline {
            // An earlier attempt may have been executed even if the last was not sent.
            let reason = failure.reason().to_owned();
            return Err(Failure::Unknown(reason).into_error(self.made));
        }
        self.pause().await;
        Ok(())
    }

    pub(super) async fn pause(&mut self) {
        sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// The write concern that every change is made with.
pub(super) fn durable() -> RawDocumentBuf {
    rawdoc! {"w": "majority", "j": true}
}

/// What the reply says of a write that was executed and may not be durable.
pub(super) fn write_concern_failure(reply: &RawDocument) -> Option<Failure> {
    let error = reply.get_document("writeConcernError").ok()?;
    let code = error.get_i32("code").unwrap_or_default();
    let message = error.get_str("errmsg").unwrap_or("write concern error");
    Some(Failure::Unknown(format!("{message} (code {code})")))
}

/// The first write error of a reply: the statement's index, and the failure.
pub(super) fn write_error(reply: &RawDocument) -> Option<(usize, Failure)> {
    let errors = reply.get_array("writeErrors").ok()?;
    let error = errors.into_iter().next()?.ok()?.as_document()?;
    let index = usize::try_from(error.get_i32("index").unwrap_or_default()).unwrap_or_default();
    let code = error.get_i32("code").unwrap_or_default();
    let message = error.get_str("errmsg").unwrap_or("write error");
    Some((index, Failure::of_code(code, message)))
}
