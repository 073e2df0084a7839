//! What a client sends for each action, and what the answer says became of it.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Instant;

use argon_testkit::client::is_ok;
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{cstr, rawdoc};
use rand::Rng;

use crate::client::{DATABASES, KEYS, Worker};
use crate::cluster::Mode;
use crate::history::{Action, Outcome};
use crate::session::{Answer, PATIENCE, PAUSE};

/// Source: MongoDB manual, "Error Codes".
const DUPLICATE_KEY: i32 = 11000;

impl Worker {
    /// What became of `action`, and when, if that was before now.
    pub(crate) fn outcome(&mut self, database: &str, action: &Action) -> (Outcome, Option<u64>) {
        let outcome = match action {
            Action::Append { key, value } => {
                let answer = self.write(database, push("lists", [one(*key, *value)], true));
                written(answer, 1)
            }
            Action::AppendToAll { value } => {
                let all = (0..KEYS).map(|key| one(key, *value));
                let answer = self.write(database, push("lists", all, false));
                written(answer, KEYS)
            }
            Action::Increment { key } => self.increment(database, *key),
            Action::CompareAndSet { key, expected, new } => {
                self.set(database, *key, *expected, *new)
            }
            Action::Insert { ids, taken } => self.insert_all(database, ids, *taken),
            Action::Delete { ids } => {
                let group = ids.first().copied().unwrap_or_default();
                let delete = rawdoc! {"q": {"g": group}, "limit": 0};
                let command = rawdoc! {"delete": "documents", "deletes": [delete]};
                let answer = self.session.write_once(&mut self.random, database, command);
                written(answer, i32::try_from(ids.len()).unwrap_or(i32::MAX))
            }
            Action::Transfer { from, to, value } => self.transfer(database, *from, *to, *value),
            Action::ReadList { key } => self.read(database, "lists", *key, list),
            Action::ReadCounter { key } => {
                self.read(database, "counters", *key, |found| number(found, "n"))
            }
            Action::ReadRegister { key } => {
                self.read(database, "registers", *key, |found| number(found, "v"))
            }
            Action::ReadAccounts => self.read_accounts(database),
            Action::Fork { name, key } => return self.fork(name, *key),
        };
        (outcome, None)
    }

    fn write(&mut self, database: &str, command: RawDocumentBuf) -> Answer {
        self.session.write(&mut self.random, database, command)
    }

    fn increment(&mut self, database: &str, key: i32) -> Outcome {
        let command = rawdoc! {
            "findAndModify": "counters", "query": {"_id": key}, "update": {"$inc": {"n": 1_i64}}, "new": true,
        };
        match self.write(database, command) {
            Answer::Reply(reply, _) => {
                let value = reply.get_document("value");
                match value.and_then(|value| value.get_i64("n")) {
                    Ok(number) => Outcome::Number(number),
                    Err(_) => Outcome::Wrong(format!("the counter is not there: {reply:?}")),
                }
            }
            answer => failed(answer),
        }
    }

    fn set(&mut self, database: &str, key: i32, expected: i64, new: i64) -> Outcome {
        let (query, set) = (
            rawdoc! {"_id": key, "v": expected},
            rawdoc! {"$set": {"v": new}},
        );
        let command = if self.random.random_bool(0.5) {
            rawdoc! {"findAndModify": "registers", "query": query, "update": set}
        } else {
            rawdoc! {"update": "registers", "updates": [{"q": query, "u": set}]}
        };
        let (reply, attempts) = match self.write(database, command) {
            Answer::Reply(reply, attempts) => (reply, attempts),
            answer => return failed(answer),
        };
        let last = reply.get_document("lastErrorObject");
        match last.map_or_else(|_| reply.get_i32("n"), |last| last.get_i32("n")) {
            Ok(1) => Outcome::Done,
            // An earlier attempt that is stuck somewhere may still find what it expects: a retry that changed nothing
            // is not remembered. Between routers MongoDB does the same.
            Ok(0) if attempts > 1 => Outcome::Unknown("another value, on a retry".to_owned()),
            Ok(0) => Outcome::Refused("another value".to_owned()),
            _ => Outcome::Wrong(format!("a strange answer: {reply:?}")),
        }
    }

    /// Inserts all of `ids`, and among them one that is there: it alone must be refused.
    fn insert_all(&mut self, database: &str, ids: &[i64], taken: Option<i64>) -> Outcome {
        let group = ids.first().copied().unwrap_or_default();
        let mut documents = RawArrayBuf::new();
        for (at, id) in ids.iter().enumerate() {
            documents.push(rawdoc! {"_id": *id, "g": group});
            if let (0, Some(taken)) = (at, taken) {
                documents.push(rawdoc! {"_id": taken, "g": group});
            }
        }
        let command =
            rawdoc! {"insert": "documents", "documents": documents, "ordered": taken.is_none()};
        let reply = match self.write(database, command) {
            Answer::Reply(reply, _) => reply,
            answer => return failed(answer),
        };
        let errors = write_errors(&reply);
        let expected: Vec<(i32, i32)> = taken.iter().map(|_| (1, DUPLICATE_KEY)).collect();
        let n = i32::try_from(ids.len());
        // Every value is inserted by one client, once: a retry that finds it did not recognize itself.
        if errors == expected && reply.get_i32("n").ok() == n.ok() {
            Outcome::Done
        } else {
            Outcome::Wrong(format!("not what was inserted: {reply:?}"))
        }
    }

    fn transfer(&mut self, database: &str, from: i32, to: i32, value: i64) -> Outcome {
        if self.mode.has_log() {
            let both = rawdoc! {
                "q": {"_id": {"$in": [from, to]}}, "u": {"$push": {"v": value}}, "multi": true,
            };
            let command = push("accounts", [both], true);
            let answer = self.session.write_once(&mut self.random, database, command);
            return written(answer, 2);
        }
        let commands = [from, to].map(|key| push("accounts", [one(key, value)], true));
        let answer = self
            .session
            .transaction(&mut self.random, database, commands.into());
        match answer {
            Answer::Reply(..) => Outcome::Done,
            answer => failed(answer),
        }
    }

    fn read_accounts(&mut self, database: &str) -> Outcome {
        let mut command = rawdoc! {"find": "accounts"};
        if !self.mode.has_log() {
            command.append(cstr!("readConcern"), rawdoc! {"level": "snapshot"});
        }
        let reply = match self.session.read(&mut self.random, database, command) {
            Ok(reply) if is_ok(&reply) => reply,
            Ok(reply) => return Outcome::Unknown(format!("{reply:?}")),
            Err(error) => return Outcome::Unknown(format!("{error:#}")),
        };
        let accounts: Option<BTreeMap<i32, Vec<i64>>> = first_batch(&reply)
            .map(|found| Some((found.get_i32("_id").ok()?, values(found)?)))
            .collect();
        match accounts {
            Some(accounts) if accounts.len() == usize::try_from(KEYS).unwrap_or_default() => {
                Outcome::Lists(accounts)
            }
            _ => Outcome::Wrong(format!("accounts are not what they were made: {reply:?}")),
        }
    }

    fn read(
        &mut self,
        database: &str,
        collection: &str,
        key: i32,
        of: impl Fn(&RawDocument) -> Option<Outcome>,
    ) -> Outcome {
        let command = rawdoc! {"find": collection, "filter": {"_id": key}};
        let reply = match self.session.read(&mut self.random, database, command) {
            Ok(reply) if is_ok(&reply) => reply,
            // A read that failed proves nothing.
            Ok(reply) => {
                return Outcome::Unknown(reply.get_str("errmsg").unwrap_or_default().to_owned());
            }
            Err(error) => return Outcome::Unknown(format!("{error:#}")),
        };
        let found = first_batch(&reply).next().and_then(of);
        found.unwrap_or_else(|| {
            Outcome::Wrong(format!(
                "{collection} {key} is not what it was made: {reply:?}"
            ))
        })
    }

    /// Forks main, and reads a list on the fork through any server: it is main's of the time of forking. Then changes
    /// the fork, which nobody must see on main, and drops it.
    fn fork(&mut self, name: &str, key: i32) -> (Outcome, Option<u64>) {
        let unknown = |why: &str| (Outcome::Unknown(why.to_owned()), None);
        let project = DATABASES[0];
        let mut create = rawdoc! {"createBranch": name, "from": "main"};
        if !self.mode.has_log() {
            create.append(cstr!("engine"), "prefix");
        }
        match self.session.send_long(&mut self.random, project, &create) {
            Ok(reply) if is_ok(&reply) => {}
            Ok(_) => return unknown("it was not created"),
            Err(_) => return unknown("nobody said whether it was created"),
        }
        let end = self.clock.now();
        let database = format!("{project}~{name}");
        let read = match self.read_patiently(&database, key) {
            Outcome::List(read) => read,
            outcome => return (outcome, Some(end)),
        };
        let outcome = match self.change_fork(&database, key, &read) {
            None => Outcome::List(read),
            Some(wrong) => Outcome::Wrong(wrong),
        };
        // There are enough of them; one that stays makes no difference.
        let drop = rawdoc! {"dropBranch": name};
        let dropped = self.session.send_long(&mut self.random, project, &drop);
        // Of a branch of collections that another server drops a server hears a moment later.
        if self.mode.has_log() && dropped.is_ok_and(|reply| is_ok(&reply)) {
            self.session.leave();
            if let Outcome::List(_) = self.read(&database, "lists", key, list) {
                return (
                    Outcome::Wrong(format!("{database} is read after it was dropped")),
                    Some(end),
                );
            }
        }
        (outcome, Some(end))
    }

    /// Reads a list of a fork that was just made.
    fn read_patiently(&mut self, database: &str, key: i32) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.session.leave();
            match self.read(database, "lists", key, list) {
                Outcome::Unknown(why) if why.contains("does not exist") => {
                    return Outcome::Wrong(format!(
                        "a server does not know a branch that was created: {why}"
                    ));
                }
                Outcome::Unknown(_) => sleep(PAUSE),
                outcome => return outcome,
            }
        }
        Outcome::Unknown("nobody reads it".to_owned())
    }

    /// Appends to a list of a fork on which nobody else works; tells what is wrong then.
    fn change_fork(&mut self, database: &str, key: i32, before: &[i64]) -> Option<String> {
        let value = self.value();
        let mut after = before.to_vec();
        let answer = self.write(database, push("lists", [one(key, value)], true));
        match written(answer, 1) {
            Outcome::Done => after.push(value),
            Outcome::Wrong(what) => return Some(what),
            _ => return None,
        }
        match self.read_patiently(database, key) {
            Outcome::List(read) if read != after => {
                return Some(format!(
                    "list {key} of {database} was {before:?}, {value} was appended, and then it is {read:?}"
                ));
            }
            Outcome::Wrong(what) => return Some(what),
            _ => {}
        }
        // A hash is asked for without a time, so a causal reader may be given an older one.
        if !matches!(self.mode, Mode::Strong | Mode::Embedded) {
            return None;
        }
        let mut hashes = [(); 2].map(|()| {
            self.session.leave();
            let reply = self
                .session
                .send(&mut self.random, database, &rawdoc! {"dbHash": 1})
                .ok()?;
            reply.get_str("md5").ok().map(str::to_owned)
        });
        match (hashes[0].take(), hashes[1].take()) {
            (Some(one), Some(other)) if one != other => Some(format!(
                "{database} is {one} on a server and {other} on one"
            )),
            _ => None,
        }
    }
}

/// The statement that appends `value` to a list.
fn one(key: i32, value: i64) -> RawDocumentBuf {
    rawdoc! {"q": {"_id": key}, "u": {"$push": {"v": value}}}
}

fn push(
    collection: &str,
    statements: impl IntoIterator<Item = RawDocumentBuf>,
    ordered: bool,
) -> RawDocumentBuf {
    let updates: RawArrayBuf = statements.into_iter().collect();
    rawdoc! {"update": collection, "updates": updates, "ordered": ordered}
}

/// What a write says that has to have concerned `n` documents.
fn written(answer: Answer, n: i32) -> Outcome {
    match answer {
        Answer::Reply(reply, _)
            if reply.get_i32("n").is_ok_and(|count| count == n)
                && write_errors(&reply).is_empty() =>
        {
            Outcome::Done
        }
        Answer::Reply(reply, _) => Outcome::Wrong(format!("not {n} documents: {reply:?}")),
        answer => failed(answer),
    }
}

fn failed(answer: Answer) -> Outcome {
    match answer {
        Answer::Refused(code, why) => Outcome::Refused(format!("{code} {why}")),
        Answer::Unknown(why) => Outcome::Unknown(why),
        Answer::Reply(reply, _) => Outcome::Wrong(format!("a strange answer: {reply:?}")),
    }
}

/// Which statements failed, and with which codes.
fn write_errors(reply: &RawDocument) -> Vec<(i32, i32)> {
    let errors = reply.get_array("writeErrors").into_iter().flatten();
    errors
        .flatten()
        .filter_map(RawBsonRef::as_document)
        .filter_map(|error| Some((error.get_i32("index").ok()?, error.get_i32("code").ok()?)))
        .collect()
}

fn first_batch(reply: &RawDocument) -> impl Iterator<Item = &RawDocument> {
    let cursor = reply.get_document("cursor");
    let batch = cursor.and_then(|cursor| cursor.get_array("firstBatch"));
    batch
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(RawBsonRef::as_document)
}

fn values(found: &RawDocument) -> Option<Vec<i64>> {
    let values = found.get_array("v").ok()?;
    values
        .into_iter()
        .map(|value| value.ok()?.as_i64())
        .collect()
}

fn list(found: &RawDocument) -> Option<Outcome> {
    values(found).map(Outcome::List)
}

fn number(found: &RawDocument, field: &str) -> Option<Outcome> {
    found.get_i64(field).ok().map(Outcome::Number)
}
