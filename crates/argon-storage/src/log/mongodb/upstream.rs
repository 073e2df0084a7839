//! The deployment behind the store: commands to it, how long to wait for them, and what their failures mean.

use std::time::{Duration, Instant};

use bson::{Document, RawDocumentBuf, Timestamp, rawdoc};
use futures::TryStreamExt;
use mongodb::Database;
use mongodb::error::{Error as DriverError, ErrorKind};
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

    fn of(error: &DriverError) -> Failure {
        match &*error.kind {
            ErrorKind::ServerSelection { message, .. } => Failure::NotSent(message.clone()),
            ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::DnsResolve { .. } => {
                Failure::NotSent(error.kind.to_string())
            }
            ErrorKind::Authentication { .. } => Failure::Refused {
                code: AUTHENTICATION_FAILED,
                message: error.kind.to_string(),
            },
            ErrorKind::Command(command) => Failure::of_code(command.code, &command.message),
            _ => Failure::Unknown(error.kind.to_string()),
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
    pub(super) database: Database,
    pub(super) deployment: Deployment,
    /// How long to wait for a deployment that is away.
    pub(super) patience: Duration,
    /// How heads are read.
    pub(super) head_level: HeadLevel,
    health: Mutex<Health>,
    /// The latest `operationTime` of any answer; there is none from a standalone.
    seen: Mutex<Option<Timestamp>>,
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
        database: Database,
        deployment: Deployment,
        patience: Duration,
        head_level: HeadLevel,
    ) -> Self {
        Upstream {
            database,
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

    fn see(&self, time: Option<Timestamp>) {
        let mut seen = self.seen.lock();
        *seen = (*seen).max(time);
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
            None => {
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
    pub(super) async fn run(&self, command: RawDocumentBuf) -> Result<Document, Failure> {
        let reply = self
            .timed(self.database.run_raw_command(command).into_future())
            .await?;
        self.see(reply.get_timestamp("operationTime").ok());
        Ok(reply)
    }

    /// Makes a query once, on the primary.
    pub(super) async fn find(&self, find: &Find) -> Result<Found, Failure> {
        self.timed(self.find_with_driver(find)).await
    }

    async fn timed<T>(
        &self,
        attempt: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, Failure> {
        let outcome = match timeout(ATTEMPT_TIMEOUT, attempt).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Unknown(format!(
                "no answer within {} seconds",
                ATTEMPT_TIMEOUT.as_secs()
            ))),
        };
        self.note(outcome.as_ref().err());
        outcome
    }

    async fn find_with_driver(&self, find: &Find) -> Result<Found, DriverError> {
        let command = find.command(self.deployment, *self.seen.lock());
        let mut cursor = self
            .database
            .run_raw_cursor_command(command)
            .batch()
            .await?;
        let mut found = Found {
            documents: Vec::new(),
        };
        while let Some(batch) = cursor.try_next().await? {
            let time = batch.as_raw_document().get("operationTime")?;
            self.see(time.and_then(|time| time.as_timestamp()));
            for document in batch.doc_slices()? {
                if let Some(document) = document?.as_document() {
                    found.documents.push(document.to_owned());
                }
            }
            if find.limit.is_some() {
                break;
            }
        }
        Ok(found)
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
    pub(super) async fn persist(&self, command: RawDocumentBuf) -> Result<Document> {
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

    fn command(&self, deployment: Deployment, seen: Option<Timestamp>) -> RawDocumentBuf {
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
        let concern = match (self.level, seen) {
            // A standalone knows no other.
            _ if deployment == Deployment::Standalone => rawdoc! {"level": "local"},
            (Level::Local, _) => rawdoc! {"level": "local"},
            (Level::Majority, None) => rawdoc! {"level": "majority"},
            (Level::Majority, Some(time)) => {
                rawdoc! {"level": "majority", "afterClusterTime": time}
            }
            (Level::Linearizable, _) => rawdoc! {"level": "linearizable"},
        };
        command.append(bson::cstr!("readConcern"), concern);
        command
    }
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
pub(super) fn write_concern_failure(reply: &Document) -> Option<Failure> {
    let error = reply.get_document("writeConcernError").ok()?;
    let code = error.get_i32("code").unwrap_or_default();
    let message = error.get_str("errmsg").unwrap_or("write concern error");
    Some(Failure::Unknown(format!("{message} (code {code})")))
}

/// The first write error of a reply: the statement's index, and the failure.
pub(super) fn write_error(reply: &Document) -> Option<(usize, Failure)> {
    let errors = reply.get_array("writeErrors").ok()?;
    let error = errors.first()?.as_document()?;
    let index = usize::try_from(error.get_i32("index").unwrap_or_default()).unwrap_or_default();
    let code = error.get_i32("code").unwrap_or_default();
    let message = error.get_str("errmsg").unwrap_or("write error");
    Some((index, Failure::of_code(code, message)))
}
