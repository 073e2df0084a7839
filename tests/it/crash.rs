//! `kill -9` at random moments under concurrent writers, again and again.
//!
//! Each writer keeps a model of what was acknowledged to it and knows the one command that was
//! under way when the server died. After each restart the server must hold exactly the model, or
//! the model with that whole command: nothing acknowledged lost, nothing half done, and on no
//! branch a document of another one.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;
use std::thread;
use std::time::Duration;

use argon_testkit::client::{Client, is_ok};
use argon_testkit::server::Argon;
use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};
use bson::rawdoc;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const KILLS: usize = 50;
const WRITERS: i32 = 8;
/// Every few kills the server is killed once more while it recovers.
const RECOVERY_KILL_CHANCE: f64 = 0.2;
const WRITE_MS_MAX: u64 = 150;
/// Documents that were there before the branches were made, and belong to no writer.
const BASE_DOCUMENTS: i32 = 100;
const BASE_WRITER: i32 = -1;
/// Writers delete some of theirs beyond this, so that checking stays quick.
const DOCUMENTS_MAX: usize = 300;
/// Ids of one writer; the next writer's follow.
const IDS_PER_WRITER: i32 = 100_000_000;

const DATABASES: [&str; 3] = ["crash", "crash~a", "crash~b"];
const COLLECTION: &str = "docs";

#[test]
fn kill_9_loses_nothing() {
    let seed = seed();
    eprintln!("ARGON_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut argon = Argon::start(Path::new(env!("CARGO_BIN_EXE_argon"))).unwrap();
    prepare(&mut argon.connect().unwrap());
    let mut writers: Vec<Writer> = (0..WRITERS).map(|id| Writer::new(id, seed)).collect();
    let mut forks = BTreeSet::new();
    for round in 0..KILLS {
        let fork = format!("fork{round}");
        let forked = write_and_kill(&mut argon, &mut writers, &fork, &mut random);
        if random.random_bool(RECOVERY_KILL_CHANCE) {
            let delay = Duration::from_millis(random.random_range(0..100));
            argon.restart_and_kill(delay).unwrap();
        }
        argon.restart().unwrap();
        let mut client = argon.connect().unwrap();
        let found = check(
            &mut client,
            &mut writers,
            &format!("seed {seed}, kill {round}"),
        );
        if forked {
            forks.insert(fork);
        }
        let branches = branches(&mut client);
        assert!(
            forks.is_subset(&branches),
            "seed {seed}: {forks:?} are not all in {branches:?}"
        );
        assert!(found > 0, "nothing was written in round {round}");
    }
    argon.stop().unwrap();
    argon.restart().unwrap();
    check(
        &mut argon.connect().unwrap(),
        &mut writers,
        "after a clean stop",
    );
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged).sum();
    let settled: usize = writers.iter().map(|writer| writer.settled).sum();
    eprintln!("{acknowledged} commands acknowledged, {settled} done but not acknowledged");
    let enough = KILLS * writers.len();
    assert!(
        acknowledged > enough,
        "only {acknowledged} commands: proves little"
    );
}

/// Returns the seed: `ARGON_SEED` to repeat a failure, a new one otherwise.
fn seed() -> u64 {
    env::var("ARGON_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap())
}

/// Writes the base documents to main and forks the branches.
fn prepare(client: &mut Client) {
    let documents: RawArrayBuf = (0..BASE_DOCUMENTS)
        .map(|n| document(BASE_WRITER, -1 - n, 0))
        .collect();
    client
        .run_ok(
            DATABASES[0],
            &rawdoc! {"insert": COLLECTION, "documents": documents},
        )
        .unwrap();
    for database in &DATABASES[1..] {
        let branch = database.split('~').nth(1).unwrap();
        client
            .run_ok(
                DATABASES[0],
                &rawdoc! {"createBranch": branch, "from": "main"},
            )
            .unwrap();
    }
}

/// Lets all writers write, creates the branch `fork`, and kills the server meanwhile.
///
/// Returns whether the creation of the branch was acknowledged.
fn write_and_kill(
    argon: &mut Argon,
    writers: &mut [Writer],
    fork: &str,
    random: &mut StdRng,
) -> bool {
    let addr = argon.addr();
    let delay = Duration::from_millis(random.random_range(1..WRITE_MS_MAX));
    thread::scope(|scope| {
        for writer in writers {
            scope.spawn(move || writer.write_until_the_server_dies(Client::connect(addr).unwrap()));
        }
        let forking = scope.spawn(move || {
            thread::sleep(delay / 2);
            let command = rawdoc! {"createBranch": fork, "from": "main"};
            let reply = Client::connect(addr)
                .ok()?
                .run_command(DATABASES[0], &command)
                .ok()?;
            assert!(is_ok(&reply), "{reply:?}");
            Some(())
        });
        thread::sleep(delay);
        argon.kill().unwrap();
        forking.join().unwrap().is_some()
    })
}

/// Compares every branch with what its writers know, and returns how many documents there are.
fn check(client: &mut Client, writers: &mut [Writer], when: &str) -> usize {
    let mut total = 0;
    for database in DATABASES {
        let mut found: BTreeMap<i32, BTreeMap<i32, i32>> = BTreeMap::new();
        for document in find_all(client, database) {
            let field = |name: &str| document.get_i32(name).unwrap();
            found
                .entry(field("w"))
                .or_default()
                .insert(field("_id"), field("v"));
            total += 1;
        }
        let base = found.remove(&BASE_WRITER).unwrap_or_default();
        assert_eq!(
            base.len(),
            usize::try_from(BASE_DOCUMENTS).unwrap(),
            "{when}: {database}"
        );
        for writer in writers
            .iter_mut()
            .filter(|writer| writer.database == database)
        {
            let found = found.remove(&writer.id).unwrap_or_default();
            writer.settle(found, when);
        }
        assert!(
            found.is_empty(),
            "{when}: {database} has documents of writers of other branches"
        );
    }
    total
}

fn find_all(client: &mut Client, database: &str) -> Vec<RawDocumentBuf> {
    let mut documents = Vec::new();
    let mut command = rawdoc! {"find": COLLECTION};
    loop {
        let reply = client.run_ok(database, &command).unwrap();
        let cursor = reply.get_document("cursor").unwrap();
        let batch = cursor
            .get_array("firstBatch")
            .or_else(|_| cursor.get_array("nextBatch"));
        for document in batch.unwrap() {
            documents.push(document.unwrap().as_document().unwrap().to_owned());
        }
        match cursor.get_i64("id").unwrap() {
            0 => return documents,
            id => command = rawdoc! {"getMore": id, "collection": COLLECTION},
        }
    }
}

fn branches(client: &mut Client) -> BTreeSet<String> {
    let reply = client
        .run_ok(DATABASES[0], &rawdoc! {"listBranches": 1})
        .unwrap();
    let name = |branch: &RawDocument| branch.get_str("name").unwrap().to_owned();
    let cursor = reply.get_document("cursor").unwrap();
    let batch = cursor.get_array("firstBatch").unwrap();
    batch
        .into_iter()
        .map(|branch| name(branch.unwrap().as_document().unwrap()))
        .collect()
}

fn document(writer: i32, id: i32, value: i32) -> RawDocumentBuf {
    rawdoc! {"_id": id, "w": writer, "v": value}
}

/// One thread's documents, and what it believes of them.
struct Writer {
    id: i32,
    database: &'static str,
    random: StdRng,
    /// What was acknowledged: `_id` and value.
    model: BTreeMap<i32, i32>,
    next_id: i32,
    /// The command whose answer never came.
    pending: Option<Change>,
    /// How many commands were acknowledged, and how many were found done though they were not.
    acknowledged: usize,
    settled: usize,
}

/// What one command does to a writer's documents.
#[derive(Debug, Clone)]
enum Change {
    Insert(Vec<i32>),
    Set(i32, i32),
    IncrementAll,
    DeleteBelow(i32),
}

impl Writer {
    fn new(id: i32, seed: u64) -> Self {
        let index = usize::try_from(id).unwrap() % DATABASES.len();
        let random = StdRng::seed_from_u64(seed.wrapping_add(u64::try_from(id).unwrap() + 1));
        let next_id = id * IDS_PER_WRITER;
        let (database, model) = (DATABASES[index], BTreeMap::new());
        Self {
            id,
            database,
            random,
            model,
            next_id,
            pending: None,
            acknowledged: 0,
            settled: 0,
        }
    }

    fn write_until_the_server_dies(&mut self, mut client: Client) {
        loop {
            let change = self.choose();
            let command = self.command(&change);
            self.pending = Some(change);
            let Ok(reply) = client.run_command(self.database, &command) else {
                return;
            };
            let refused = reply.get("writeErrors").unwrap().is_some();
            assert!(
                is_ok(&reply) && !refused,
                "{command:?} was answered with {reply:?}"
            );
            if let Some(change) = self.pending.take() {
                change.apply(&mut self.model);
            }
            self.acknowledged += 1;
        }
    }

    fn choose(&mut self) -> Change {
        let oldest = self.model.keys().next().copied();
        match (self.random.random_range(0..10), oldest) {
            (0..5, _) | (_, None) if self.model.len() < DOCUMENTS_MAX => {
                let count = self.random.random_range(1..20);
                let ids = self.next_id..self.next_id + count;
                self.next_id += count;
                Change::Insert(ids.collect())
            }
            (5..7, Some(oldest)) => Change::Set(oldest, self.random.random_range(0..1_000_000)),
            (7..9, Some(_)) => Change::IncrementAll,
            (_, oldest) => {
                let oldest = oldest.unwrap_or(self.next_id);
                Change::DeleteBelow(oldest + self.random.random_range(1..100))
            }
        }
    }

    fn command(&self, change: &Change) -> RawDocumentBuf {
        let update = |q: RawDocumentBuf, u: RawDocumentBuf, multi: bool| {
            let update = rawdoc! {"q": q, "u": u, "multi": multi};
            rawdoc! {"update": COLLECTION, "updates": [update]}
        };
        match change {
            Change::Insert(ids) => {
                let documents: RawArrayBuf =
                    ids.iter().map(|id| document(self.id, *id, 0)).collect();
                rawdoc! {"insert": COLLECTION, "documents": documents}
            }
            Change::Set(id, value) => {
                update(rawdoc! {"_id": *id}, rawdoc! {"$set": {"v": *value}}, false)
            }
            Change::IncrementAll => {
                update(rawdoc! {"w": self.id}, rawdoc! {"$inc": {"v": 1}}, true)
            }
            Change::DeleteBelow(id) => {
                let delete = rawdoc! {"q": {"w": self.id, "_id": {"$lt": *id}}, "limit": 0};
                rawdoc! {"delete": COLLECTION, "deletes": [delete]}
            }
        }
    }

    /// Accepts `found` if it is the model, with or without the whole pending command.
    fn settle(&mut self, found: BTreeMap<i32, i32>, when: &str) {
        let pending = self.pending.take();
        if found == self.model {
            return;
        }
        let mut with_pending = self.model.clone();
        if let Some(change) = &pending {
            change.apply(&mut with_pending);
        }
        assert!(
            found == with_pending,
            "{when}: writer {} on {} has {} documents acknowledged, pending {pending:?}; \
             the server has {}; different: {:?}",
            self.id,
            self.database,
            self.model.len(),
            found.len(),
            differences(&self.model, &found),
        );
        self.model = with_pending;
        self.settled += 1;
    }
}

impl Change {
    fn apply(&self, model: &mut BTreeMap<i32, i32>) {
        match self {
            Self::Insert(ids) => model.extend(ids.iter().map(|id| (*id, 0))),
            Self::Set(id, value) => drop(model.insert(*id, *value)),
            Self::IncrementAll => model.values_mut().for_each(|value| *value += 1),
            Self::DeleteBelow(id) => *model = model.split_off(id),
        }
    }
}

/// Ids, with the acknowledged and the found value.
fn differences(
    model: &BTreeMap<i32, i32>,
    found: &BTreeMap<i32, i32>,
) -> Vec<(i32, Option<i32>, Option<i32>)> {
    let ids: BTreeSet<&i32> = model.keys().chain(found.keys()).collect();
    let values = ids
        .into_iter()
        .map(|id| (*id, model.get(id).copied(), found.get(id).copied()));
    values
        .filter(|(_, acknowledged, found)| acknowledged != found)
        .take(10)
        .collect()
}
