//! `kill -9` at every durable step, with the store in a MongoDB.
//!
//! A durable step is a write that Argon sends to the MongoDB. The network between the two is stopped at one of them: before
//! the MongoDB hears of it, or when it has done it and Argon does not know. There Argon is killed. After a restart
//! nothing acknowledged may be missing, nothing may be there by half or twice, and nothing may be left lying about.
//! Then the same at the next step, until the operation ends before it is stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use argon_testkit::client::{Client, is_ok};
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::network::{Network, Side};
use argon_testkit::server::Argon;
use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::{Binary, Document, cstr, rawdoc, spec::BinarySubtype};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const BINARY: &str = env!("CARGO_BIN_EXE_argon");
/// Steps that are visited at the same time: most of the time goes by waiting.
const JOBS: usize = 6;
const POLL: Duration = Duration::from_millis(5);
/// How long what is done in the background after a restart may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Larger than what one document of the store holds, and not to be compressed.
const LARGE_DOCUMENTS: i32 = 3;
const LARGE_BYTES: usize = 5 << 20;

/// Visits every step, before and after it. `visit` says whether it was stopped there.
fn at_every_step(at_least: usize, visit: impl Fn(usize, Side) -> bool + Sync) {
    let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let step = number / 2;
                    if step >= end.load(Ordering::Relaxed) {
                        break;
                    }
                    let side = [Side::Before, Side::After][number % 2];
                    if !visit(step, side) {
                        end.fetch_min(step, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let steps = end.into_inner();
    eprintln!("{steps} steps");
    assert!(steps >= at_least, "there were {steps} steps only");
}

/// One Argon with a store of its own in the MongoDB that all share.
struct Place {
    name: String,
    network: Network,
    argon: Argon,
}

impl Place {
    fn new(mongod: &Mongod, name: String) -> Place {
        let network = Network::around(&[mongod.addr()], "replicaSet=rs").unwrap();
        let uri = network.uri();
        let args = ["--mongodb-uri", &uri, "--mongodb-database", &name];
        let argon = Argon::start_with(Path::new(BINARY), None, &args).unwrap();
        Place {
            name,
            network,
            argon,
        }
    }

    /// Runs `work` until it ends or the network stops at `step`; then Argon is killed and started again.
    fn stop_at<T: Send>(
        &mut self,
        step: usize,
        side: Side,
        work: impl FnOnce(&mut Client) -> T + Send,
    ) -> (T, bool) {
        let mut client = self.argon.connect().unwrap();
        self.network.stop_at(step, side);
        thread::scope(|scope| {
            let work = scope.spawn(move || work(&mut client));
            while !work.is_finished() && !self.network.has_stopped() {
                sleep(POLL);
            }
            let stopped = self.network.has_stopped();
            self.argon.kill().unwrap();
            self.network.go_on();
            self.argon.restart().unwrap();
            (work.join().unwrap(), stopped)
        })
    }

    /// How many documents each collection of the store has, save those that are there in every store.
    fn store(&self, mongod: &mut Client) -> BTreeMap<String, usize> {
        let mut store = BTreeMap::new();
        for collection in names(mongod, &self.name) {
            let find = rawdoc! {"find": &*collection, "projection": {"_id": 1}};
            store.insert(collection, batch(mongod, &self.name, find).len());
        }
        store
    }
}

fn mongod() -> Mongod {
    Mongod::start(Options {
        replica_set: true,
        volatile: true,
    })
    .unwrap()
}

fn batch(client: &mut Client, db: &str, mut command: RawDocumentBuf) -> Vec<Document> {
    if command.get("find").unwrap().is_some() {
        command.append(cstr!("batchSize"), 100_000);
    }
    let reply = client.run_ok(db, &command).unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_i64("id").unwrap(), 0);
    let batch = cursor.get_array("firstBatch").unwrap();
    batch
        .into_iter()
        .map(|item| item.unwrap().as_document().unwrap().try_into().unwrap())
        .collect()
}

fn names(client: &mut Client, db: &str) -> Vec<String> {
    let list = rawdoc! {"listCollections": 1, "nameOnly": true};
    batch(client, db, list)
        .iter()
        .map(|item| item.get_str("name").unwrap().to_owned())
        .collect()
}

/// Waits until `look` finds nothing wrong.
fn eventually(mut look: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(wrong) = look() {
        assert!(Instant::now() < deadline, "{wrong}");
        sleep(POLL * 20);
    }
}

/// What is written to the log: small and large records, of one document and of many.
fn writes() -> Vec<RawDocumentBuf> {
    let mut random = StdRng::seed_from_u64(1);
    let mut large = RawArrayBuf::new();
    for id in 0..LARGE_DOCUMENTS {
        let mut bytes = vec![0; LARGE_BYTES];
        random.fill(&mut bytes[..]);
        let bytes = Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        };
        large.push(rawdoc! {"_id": id, "bytes": bytes});
    }
    let lsid = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: vec![5; 16],
    };
    let mut commands = vec![
        rawdoc! {"insert": "c", "documents": [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}]},
        rawdoc! {"update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}]},
        rawdoc! {"insert": "large", "documents": large},
        rawdoc! {"findAndModify": "c", "query": {"_id": 2}, "update": {"$inc": {"n": 1}}},
        rawdoc! {"delete": "large", "deletes": [{"q": {"_id": 0}, "limit": 1}]},
    ];
    for (number, command) in (1_i64..).zip(&mut commands) {
        command.append(cstr!("lsid"), rawdoc! {"id": lsid.clone()});
        command.append(cstr!("txnNumber"), number);
    }
    commands
}

#[test]
fn an_append_is_killed_at_every_step() {
    let mongod = mongod();
    let writes = writes();
    let hash = |client: &mut Client| {
        let reply = client.run_ok("shop", &rawdoc! {"dbHash": 1}).unwrap();
        reply.get_str("md5").unwrap().to_owned()
    };
    let begin = |name: String| {
        let place = Place::new(&mongod, name);
        let mut client = place.argon.connect().unwrap();
        let insert = rawdoc! {"insert": "before", "documents": [{"_id": 0}]};
        client.run_ok("shop", &insert).unwrap();
        place
    };
    // What there is after each write when nothing goes wrong.
    let place = begin("calm".to_owned());
    let mut client = place.argon.connect().unwrap();
    let mut hashes = vec![hash(&mut client)];
    for write in &writes {
        client.run_ok("shop", write).unwrap();
        hashes.push(hash(&mut client));
    }
    let store = place.store(&mut mongod.connect().unwrap());
    assert!(store["wal_parts"] > 1, "{store:?}");
    drop(place);

    at_every_step(writes.len() + 1, |step, side| {
        let mut place = begin(format!("step-{step}-{side:?}"));
        let (done, stopped) = place.stop_at(step, side, |client| {
            let done = writes.iter().take_while(|write| {
                let reply = client.run_command("shop", write);
                reply.is_ok_and(|reply| is_ok(&reply))
            });
            done.count()
        });
        let mut client = place.argon.connect().unwrap();
        let found = hash(&mut client);
        let now = hashes.iter().position(|hash| *hash == found);
        assert!(
            now == Some(done) || now == Some(done + 1),
            "{done} writes were acknowledged, {now:?} are there: step {step}, {side:?}"
        );
        // A driver sends what it got no answer to again.
        for (write, after) in writes.iter().zip(&hashes[1..]).skip(done) {
            client.run_ok("shop", write).unwrap();
            assert_eq!(hash(&mut client), *after, "step {step}, {side:?}");
        }
        // What is left of a writer that died is looked for when a server starts.
        place.argon.stop().unwrap();
        place.argon.restart().unwrap();
        let mut upstream = mongod.connect().unwrap();
        eventually(|| match place.store(&mut upstream) {
            found if found == store => Ok(()),
            found => Err(format!(
                "step {step}, {side:?}: the store has {found:?}, not {store:?}"
            )),
        });
        let drop = rawdoc! {"dropDatabase": 1};
        upstream.run_ok(&place.name, &drop).unwrap();
        stopped
    });
}
