//! A client as drivers are: a session, retryable writes, and another server when one does not answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use argon_testkit::client::{Client, is_ok};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Binary, rawdoc, spec::BinarySubtype};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::history::{Action, Clock, Event, Outcome};

/// How long an answer may take before another server is asked: shorter than most faults, so that a write is often
/// under way on two servers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client tries before it gives up and calls the outcome unknown.
const PATIENCE: Duration = Duration::from_secs(40);
/// Before a server is asked again that is not there, or said so.
const PAUSE: Duration = Duration::from_millis(30);
/// The longest that a client rests between two actions.
const THINK_MS_MAX: u64 = 20;
/// Documents of each kind, in each branch: few, so that clients meet.
pub(crate) const KEYS: i32 = 4;
/// The databases that clients write to: main and two branches.
pub(crate) const DATABASES: [&str; 3] = ["bank", "bank~a", "bank~b"];
/// Values of one client; the next client's follow.
const VALUES_PER_CLIENT: i64 = 1_000_000_000;
/// Source: specification "Retryable Writes", "Determining Retryable Errors".
const RETRYABLE: &str = "RetryableWriteError";
/// Source: MongoDB manual, "Error Codes".
const DUPLICATE_KEY: i32 = 11000;

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

/// One client.
pub(crate) struct Worker {
    id: usize,
    random: StdRng,
    servers: Directory,
    clock: Clock,
    connection: Option<Client>,
    lsid: RawDocumentBuf,
    txn_number: i64,
    next_value: i64,
    forks: usize,
    events: Vec<Event>,
}

/// What came back.
enum Answer {
    Reply(RawDocumentBuf),
    Refused(i32, String),
    Unknown(String),
}

impl Worker {
    pub(crate) fn new(id: usize, seed: u64, servers: Directory, clock: Clock) -> Worker {
        let number = u64::try_from(id).unwrap_or_default();
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let bytes: [u8; 16] = random.random();
        let session = Binary {
            subtype: BinarySubtype::Uuid,
            bytes: bytes.to_vec(),
        };
        let first = i64::try_from(id + 1).unwrap_or(i64::MAX);
        Worker {
            id,
            random,
            servers,
            clock,
            connection: None,
            lsid: rawdoc! {"id": session},
            txn_number: 0,
            next_value: first.saturating_mul(VALUES_PER_CLIENT),
            forks: 0,
            events: Vec::new(),
        }
    }

    /// Does things until `stop` says so; tells what it did.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Vec<Event> {
        while !stop.load(Ordering::Relaxed) {
            self.step();
            sleep(Duration::from_millis(
                self.random.random_range(0..THINK_MS_MAX),
            ));
        }
        self.events
    }

    fn step(&mut self) {
        let database = DATABASES[self.random.random_range(0..DATABASES.len())];
        let key = self.random.random_range(0..KEYS);
        // Another server now and then, so that what one server did is read on another.
        if self.random.random_bool(0.1) {
            self.connection = None;
        }
        let value = self.next_value;
        self.next_value += 1;
        let action = match self.random.random_range(0..100) {
            0..20 => Action::Append { key, value },
            20..35 => Action::Increment { key },
            35..55 => return self.compare_and_set(database, key, value),
            55..65 => Action::Insert { id: value },
            65..80 => Action::ReadList { key },
            80..90 => Action::ReadCounter { key },
            90..99 => Action::ReadRegister { key },
            _ => {
                self.forks += 1;
                let name = format!("fork-{}-{}", self.id, self.forks);
                Action::Fork { name, key }
            }
        };
        self.act(database, action);
    }

    /// Reads a register and sets it, if nobody else does meanwhile.
    fn compare_and_set(&mut self, database: &str, key: i32, new: i64) {
        if let Outcome::Number(expected) = self.act(database, Action::ReadRegister { key }) {
            self.act(database, Action::CompareAndSet { key, expected, new });
        }
    }

    fn act(&mut self, database: &str, action: Action) -> Outcome {
        let start = self.clock.now();
        let (outcome, end) = self.outcome(database, &action);
        self.events.push(Event {
            client: self.id,
            database: database
                .split('~')
                .next()
                .map_or_else(String::new, |project| {
                    // A fork's list is its parent's.
                    match action {
                        Action::Fork { .. } => project.to_owned(),
                        _ => database.to_owned(),
                    }
                }),
            action,
            start,
            end: end.unwrap_or_else(|| self.clock.now()),
            outcome: outcome.clone(),
        });
        outcome
    }

    /// What became of `action`, and when, if that was before now.
    fn outcome(&mut self, database: &str, action: &Action) -> (Outcome, Option<u64>) {
        let outcome = match action {
            Action::Append { key, value } => {
                let update = rawdoc! {"q": {"_id": *key}, "u": {"$push": {"v": *value}}};
                let answer = self.write(database, rawdoc! {"update": "lists", "updates": [update]});
                written(answer, "n", "the list is not there")
            }
            Action::Increment { key } => {
                let command = rawdoc! {
                    "findAndModify": "counters", "query": {"_id": *key}, "update": {"$inc": {"n": 1_i64}}, "new": true,
                };
                match self.write(database, command) {
                    Answer::Reply(reply) => match reply
                        .get_document("value")
                        .and_then(|value| value.get_i64("n"))
                    {
                        Ok(number) => Outcome::Number(number),
                        Err(_) => Outcome::Wrong(format!("the counter is not there: {reply:?}")),
                    },
                    answer => failed(answer),
                }
            }
            Action::CompareAndSet { key, expected, new } => {
                let update =
                    rawdoc! {"q": {"_id": *key, "v": *expected}, "u": {"$set": {"v": *new}}};
                match self.write_again(
                    database,
                    rawdoc! {"update": "registers", "updates": [update]},
                ) {
                    (Answer::Reply(reply), attempts) => match (reply.get_i32("n"), attempts) {
                        (Ok(1), _) => Outcome::Done,
                        // An earlier attempt that is stuck somewhere may still find what it expects: a retry that
                        // changed nothing is not remembered. Between routers MongoDB does the same.
                        (Ok(0), 2..) => Outcome::Unknown("another value, on a retry".to_owned()),
                        (Ok(0), _) => Outcome::Refused("another value".to_owned()),
                        _ => Outcome::Wrong(format!("a strange answer: {reply:?}")),
                    },
                    (answer, _) => failed(answer),
                }
            }
            Action::Insert { id } => {
                let command = rawdoc! {"insert": "documents", "documents": [{"_id": *id}]};
                written(
                    self.write(database, command),
                    "n",
                    "the document was not inserted",
                )
            }
            Action::ReadList { key } => self.read(database, "lists", *key, list),
            Action::ReadCounter { key } => {
                self.read(database, "counters", *key, |found| number(found, "n"))
            }
            Action::ReadRegister { key } => {
                self.read(database, "registers", *key, |found| number(found, "v"))
            }
            Action::Fork { name, key } => return self.fork(name, *key),
        };
        (outcome, None)
    }

    /// Forks main, and reads a list on the fork through any server. The list is main's of the time of forking.
    fn fork(&mut self, name: &str, key: i32) -> (Outcome, Option<u64>) {
        let unknown = |why: &str| (Outcome::Unknown(why.to_owned()), None);
        let project = DATABASES[0];
        let Ok(reply) = self.send(project, &rawdoc! {"createBranch": name, "from": "main"}) else {
            return unknown("nobody said whether it was created");
        };
        let end = self.clock.now();
        if !is_ok(&reply) {
            return unknown("it was not created");
        }
        let database = format!("{project}~{name}");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.connection = None;
            match self.read(&database, "lists", key, list) {
                Outcome::Unknown(why) if why.contains("does not exist") => {
                    return (
                        Outcome::Wrong(format!(
                            "a server does not know a branch that was created: {why}"
                        )),
                        Some(end),
                    );
                }
                Outcome::Unknown(_) => sleep(PAUSE),
                outcome => {
                    // There are enough of them; one that stays makes no difference.
                    let _ = self.send(project, &rawdoc! {"dropBranch": name});
                    return (outcome, Some(end));
                }
            }
        }
        unknown("nobody reads it")
    }

    fn read(
        &mut self,
        database: &str,
        collection: &str,
        key: i32,
        of: impl Fn(&RawDocument) -> Option<Outcome>,
    ) -> Outcome {
        let command = rawdoc! {"find": collection, "filter": {"_id": key}};
        let reply = match self.send(database, &command) {
            Ok(reply) if is_ok(&reply) => reply,
            // A read that failed proves nothing.
            Ok(reply) => {
                return Outcome::Unknown(reply.get_str("errmsg").unwrap_or_default().to_owned());
            }
            Err(error) => return Outcome::Unknown(format!("{error:#}")),
        };
        let first = reply
            .get_document("cursor")
            .and_then(|cursor| cursor.get_array("firstBatch"));
        let found = first
            .ok()
            .and_then(|batch| batch.get_document(0).ok())
            .and_then(of);
        found.unwrap_or_else(|| {
            Outcome::Wrong(format!(
                "{collection} {key} is not what it was made: {reply:?}"
            ))
        })
    }

    fn write(&mut self, database: &str, command: RawDocumentBuf) -> Answer {
        self.write_again(database, command).0
    }

    /// Sends a retryable write until there is an answer, and tells after how many attempts.
    fn write_again(&mut self, database: &str, mut command: RawDocumentBuf) -> (Answer, usize) {
        self.txn_number += 1;
        command.append(bson::cstr!("lsid"), self.lsid.clone());
        command.append(bson::cstr!("txnNumber"), self.txn_number);
        let deadline = Instant::now() + PATIENCE;
        let mut attempts = 0;
        let mut last = "no server is there".to_owned();
        while Instant::now() < deadline {
            let Some(connection) = self.connect() else {
                sleep(PAUSE);
                continue;
            };
            attempts += 1;
            let reply = match connection.run_command(database, &command) {
                Ok(reply) => reply,
                Err(error) => {
                    self.connection = None;
                    last = format!("{error:#}");
                    continue;
                }
            };
            match refusal(&reply) {
                None => return (Answer::Reply(reply), attempts),
                Some((_, message, true)) => {
                    self.connection = None;
                    last = message;
                    sleep(PAUSE);
                }
                Some((code, message, false)) => {
                    let answer = match attempts {
                        // It says of this attempt only that it did nothing.
                        2.. if code != DUPLICATE_KEY => Answer::Unknown(message),
                        _ => Answer::Refused(code, message),
                    };
                    return (answer, attempts);
                }
            }
        }
        match attempts {
            0 => (Answer::Refused(0, last), attempts),
            _ => (Answer::Unknown(last), attempts),
        }
    }

    /// Sends a command once.
    fn send(&mut self, database: &str, command: &RawDocument) -> Result<RawDocumentBuf> {
        let connection = self
            .connect()
            .ok_or_else(|| anyhow::anyhow!("no server is there"))?;
        let reply = connection.run_command(database, command);
        if reply.is_err() {
            self.connection = None;
        }
        reply
    }

    fn connect(&mut self) -> Option<&mut Client> {
        if self.connection.is_none() {
            let addr = self.servers.any(&mut self.random)?;
            self.connection = Client::connect_within(addr, ANSWER_TIMEOUT).ok();
        }
        self.connection.as_mut()
    }
}

/// Code, text, and whether to try again, if `reply` is a failure.
fn refusal(reply: &RawDocument) -> Option<(i32, String, bool)> {
    let describe = |error: &RawDocument| {
        (
            error.get_i32("code").unwrap_or_default(),
            error.get_str("errmsg").unwrap_or_default().to_owned(),
        )
    };
    if !is_ok(reply) {
        let (code, message) = describe(reply);
        let labels = reply.get_array("errorLabels").ok();
        let again = labels.is_some_and(|labels| {
            labels
                .into_iter()
                .any(|label| label.is_ok_and(|label| label.as_str() == Some(RETRYABLE)))
        });
        return Some((code, message, again));
    }
    let errors = reply.get_array("writeErrors").ok()?;
    let (code, message) = describe(errors.get_document(0).ok()?);
    Some((code, message, false))
}

fn written(answer: Answer, field: &str, missing: &str) -> Outcome {
    match answer {
        Answer::Reply(reply) if reply.get_i32(field).is_ok_and(|n| n == 1) => Outcome::Done,
        Answer::Reply(reply) => Outcome::Wrong(format!("{missing}: {reply:?}")),
        answer => failed(answer),
    }
}

fn failed(answer: Answer) -> Outcome {
    match answer {
        // Every value is inserted by one client, once: a retry that finds it did not recognize itself.
        Answer::Refused(DUPLICATE_KEY, why) => {
            Outcome::Wrong(format!("a retry was not recognized: {why}"))
        }
        Answer::Refused(code, why) => Outcome::Refused(format!("{code} {why}")),
        Answer::Unknown(why) => Outcome::Unknown(why),
        Answer::Reply(reply) => Outcome::Wrong(format!("a strange answer: {reply:?}")),
    }
}

fn list(found: &RawDocument) -> Option<Outcome> {
    let values = found.get_array("v").ok()?;
    let values: Option<Vec<i64>> = values
        .into_iter()
        .map(|value| value.ok()?.as_i64())
        .collect();
    values.map(Outcome::List)
}

fn number(found: &RawDocument, field: &str) -> Option<Outcome> {
    found.get_i64(field).ok().map(Outcome::Number)
}
