//! How a client talks to servers: as drivers do, with a session, retryable writes, and another server when one does not
//! answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use argon_testkit::client::{Client, is_ok};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Binary, Timestamp, cstr, rawdoc, spec::BinarySubtype};
use rand::Rng;
use rand::rngs::StdRng;

use crate::cluster::Mode;

/// How long an answer may take before another server is asked: shorter than most faults, so that a write is often
/// under way on two servers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for commands that are known to take long.
const LONG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client tries before it gives up and calls the outcome unknown.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// Before a server is asked again that is not there, or said so.
pub(crate) const PAUSE: Duration = Duration::from_millis(30);
/// How often a client goes away between a write and its answer, only to come back with the same write.
const GOES_AWAY: f64 = 0.05;
/// For how long it waits before it goes.
const GOES_AWAY_MS_MAX: u64 = 40;
/// MongoDB manual, "Read Concern linearizable": use it with a limit, lest it wait for a majority that is away.
const LINEARIZABLE_MS_MAX: i32 = 1_500;
/// Source: specification "Retryable Writes", "Determining Retryable Errors".
const RETRYABLE: &str = "RetryableWriteError";
/// Source: specification "Transactions", "Error Reporting Changes".
const UNKNOWN_COMMIT: &str = "UnknownTransactionCommitResult";
/// Codes that say of a commit that it did not happen: `WriteConflict`, `NoSuchTransaction`.
const NOT_COMMITTED: [i32; 2] = [112, 251];

/// Where the servers are; `None` while one is down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Arc<Mutex<Vec<Option<SocketAddr>>>>);

impl Directory {
    pub(crate) fn set(&self, server: usize, addr: Option<SocketAddr>) {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() <= server {
            servers.resize(server + 1, None);
        }
        servers[server] = addr;
    }

    fn any(&self, random: &mut StdRng) -> Option<SocketAddr> {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let up: Vec<SocketAddr> = servers.iter().copied().flatten().collect();
        (!up.is_empty()).then(|| up[random.random_range(0..up.len())])
    }
}

/// What came of a write.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An answer, after so many attempts. Its statements may have failed each for itself.
    Reply(RawDocumentBuf, usize),
    /// The write was not made.
    Refused(i32, String),
    Unknown(String),
}

/// One client's session.
pub(crate) struct Session {
    mode: Mode,
    servers: Directory,
    connection: Option<Client>,
    lsid: RawDocumentBuf,
    txn_number: i64,
    /// The latest time that any server told.
    operation_time: Option<Timestamp>,
}

impl Session {
    pub(crate) fn new(mode: Mode, servers: Directory, random: &mut StdRng) -> Session {
        let bytes: [u8; 16] = random.random();
        let session = Binary {
            subtype: BinarySubtype::Uuid,
            bytes: bytes.to_vec(),
        };
        Session {
            mode,
            servers,
            connection: None,
            lsid: rawdoc! {"id": session},
            txn_number: 0,
            operation_time: None,
        }
    }

    /// Goes to another server with the next command, perhaps.
    pub(crate) fn leave(&mut self) {
        self.connection = None;
    }

    /// Reads with what the mode takes for reads that are not stale.
    pub(crate) fn read(
        &mut self,
        random: &mut StdRng,
        database: &str,
        mut command: RawDocumentBuf,
    ) -> Result<RawDocumentBuf> {
        match (self.mode, self.operation_time) {
            (Mode::Causal, Some(time)) => {
                command.append(cstr!("lsid"), self.lsid.clone());
                command.append(cstr!("readConcern"), rawdoc! {"afterClusterTime": time});
            }
            (Mode::Prefix, _) if command.get("readConcern")?.is_none() => {
                command.append(cstr!("readConcern"), rawdoc! {"level": "linearizable"});
                command.append(cstr!("maxTimeMS"), LINEARIZABLE_MS_MAX);
            }
            _ => {}
        }
        self.send(random, database, &command)
    }

    /// Sends a command once.
    pub(crate) fn send(
        &mut self,
        random: &mut StdRng,
        database: &str,
        command: &RawDocument,
    ) -> Result<RawDocumentBuf> {
        let connection = self.connect(random).context("no server is there")?;
        let reply = connection.run_command(database, command);
        match &reply {
            Ok(reply) => self.note_time(reply),
            Err(_) => self.connection = None,
        }
        reply
    }

    /// Sends a command once that may take long, on a connection of its own.
    pub(crate) fn send_long(
        &mut self,
        random: &mut StdRng,
        database: &str,
        command: &RawDocument,
    ) -> Result<RawDocumentBuf> {
        let addr = self.servers.any(random).context("no server is there")?;
        let reply = Client::connect_within(addr, LONG_TIMEOUT)?.run_command(database, command)?;
        self.note_time(&reply);
        Ok(reply)
    }

    /// Sends a write that cannot be repeated.
    pub(crate) fn write_once(
        &mut self,
        random: &mut StdRng,
        database: &str,
        mut command: RawDocumentBuf,
    ) -> Answer {
        self.add_write_concern(&mut command);
        if self.connect(random).is_none() {
            return Answer::Refused(0, "no server is there".to_owned());
        }
        match self.send(random, database, &command) {
            Ok(reply) if failure(&reply).is_none() => Answer::Reply(reply, 1),
            // Whether some of it was done is another question.
            Ok(reply) => Answer::Unknown(format!("{reply:?}")),
            Err(error) => Answer::Unknown(format!("{error:#}")),
        }
    }

    /// Sends a retryable write until there is an answer.
    pub(crate) fn write(
        &mut self,
        random: &mut StdRng,
        database: &str,
        mut command: RawDocumentBuf,
    ) -> Answer {
        self.txn_number += 1;
        command.append(cstr!("lsid"), self.lsid.clone());
        command.append(cstr!("txnNumber"), self.txn_number);
        self.add_write_concern(&mut command);
        let attempts = self.go_away_from(random, database, &command);
        self.until_answered(random, database, &command, attempts)
    }

    /// Runs `commands` in a transaction of the upstream's.
    pub(crate) fn transaction(
        &mut self,
        random: &mut StdRng,
        database: &str,
        commands: Vec<RawDocumentBuf>,
    ) -> Answer {
        self.txn_number += 1;
        for (at, mut command) in commands.into_iter().enumerate() {
            self.add_transaction(&mut command);
            if at == 0 {
                command.append(cstr!("startTransaction"), true);
            }
            let why = match self.send(random, database, &command) {
                Ok(reply)
                    if failure(&reply).is_none() && reply.get_i32("n").is_ok_and(|n| n == 1) =>
                {
                    continue;
                }
                Ok(reply) => format!("{reply:?}"),
                Err(error) => format!("{error:#}"),
            };
            // Without a commit nothing of it is ever done; to end it at once spares others the wait.
            let mut abort = rawdoc! {"abortTransaction": 1};
            self.add_transaction(&mut abort);
            let _ = self.send(random, "admin", &abort);
            return Answer::Refused(0, why);
        }
        let mut commit = rawdoc! {"commitTransaction": 1};
        self.add_transaction(&mut commit);
        self.add_write_concern(&mut commit);
        let attempts = self.go_away_from(random, "admin", &commit);
        match self.until_answered(random, "admin", &commit, attempts) {
            Answer::Refused(code, why) if !NOT_COMMITTED.contains(&code) => Answer::Unknown(why),
            answer => answer,
        }
    }

    fn until_answered(
        &mut self,
        random: &mut StdRng,
        database: &str,
        command: &RawDocument,
        mut attempts: usize,
    ) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let mut last = "no server is there".to_owned();
        while Instant::now() < deadline {
            if self.connect(random).is_none() {
                sleep(PAUSE);
                continue;
            }
            attempts += 1;
            let reply = match self.send(random, database, command) {
                Ok(reply) => reply,
                Err(error) => {
                    last = format!("{error:#}");
                    continue;
                }
            };
            match failure(&reply) {
                None => return Answer::Reply(reply, attempts),
                Some(failure) if failure.again => {
                    self.connection = None;
                    last = failure.message;
                    sleep(PAUSE);
                }
                // It says of this attempt only that it did nothing.
                Some(failure) if failure.done || attempts > 1 => {
                    return Answer::Unknown(failure.message);
                }
                Some(failure) => return Answer::Refused(failure.code, failure.message),
            }
        }
        match attempts {
            0 => Answer::Refused(0, last),
            _ => Answer::Unknown(last),
        }
    }

    /// Now and then sends `command` and does not wait for the answer, which is lost. Tells how often it was sent.
    fn go_away_from(
        &mut self,
        random: &mut StdRng,
        database: &str,
        command: &RawDocument,
    ) -> usize {
        if !random.random_bool(GOES_AWAY) {
            return 0;
        }
        let patience = Duration::from_millis(random.random_range(0..GOES_AWAY_MS_MAX));
        let Some(connection) = self.connect(random) else {
            return 0;
        };
        // Whether it was sent whole or not: it may have been.
        let _ = connection.send(database, command);
        sleep(patience);
        self.connection = None;
        1
    }

    fn connect(&mut self, random: &mut StdRng) -> Option<&mut Client> {
        if self.connection.is_none() {
            let addr = self.servers.any(random)?;
            self.connection = Client::connect_within(addr, ANSWER_TIMEOUT).ok();
        }
        self.connection.as_mut()
    }

    fn note_time(&mut self, reply: &RawDocument) {
        if let Ok(time) = reply.get_timestamp("operationTime") {
            self.operation_time = self.operation_time.max(Some(time));
        }
    }

    fn add_write_concern(&self, command: &mut RawDocumentBuf) {
        if self.mode == Mode::Prefix {
            command.append(cstr!("writeConcern"), rawdoc! {"w": "majority"});
        }
    }

    fn add_transaction(&self, command: &mut RawDocumentBuf) {
        command.append(cstr!("lsid"), self.lsid.clone());
        command.append(cstr!("txnNumber"), self.txn_number);
        command.append(cstr!("autocommit"), false);
    }
}

/// Why a command as a whole failed.
struct Failure {
    code: i32,
    message: String,
    /// Whether to try again.
    again: bool,
    /// Whether it was run, and only nobody knows whether that lasts.
    done: bool,
}

fn failure(reply: &RawDocument) -> Option<Failure> {
    let concern = reply.get_document("writeConcernError").ok();
    let error = match (is_ok(reply), concern) {
        (true, None) => return None,
        (true, Some(concern)) => concern,
        (false, _) => reply,
    };
    let labels = reply.get_array("errorLabels").ok();
    let again = labels.is_some_and(|labels| {
        labels.into_iter().flatten().any(|label| {
            label
                .as_str()
                .is_some_and(|label| label == RETRYABLE || label == UNKNOWN_COMMIT)
        })
    });
    Some(Failure {
        code: error.get_i32("code").unwrap_or_default(),
        message: error.get_str("errmsg").unwrap_or_default().to_owned(),
        again,
        done: concern.is_some(),
    })
}
