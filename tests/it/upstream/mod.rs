//! Databases of a MongoDB behind Argon: what passes through is as if the client were connected directly.

mod answers;
mod failures;
mod login;
mod names;
mod reach;
mod sharing;
mod tls;
mod transactions;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use argon_testkit::client::Client;
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::server::Argon;
use bson::raw::RawDocumentBuf;
use bson::rawdoc;

/// How long anything may take on a machine under heavy load.
const PATIENCE: Duration = Duration::from_secs(60);

/// A replica set of one member, and Argon before it.
struct Rig {
    mongod: Mongod,
    argon: Argon,
}

impl Rig {
    fn start(query: &str, args: &[&str]) -> Rig {
        let options = Options {
            replica_set: true,
            volatile: true,
        };
        let mongod =
            Mongod::start_with(options, &["--setParameter", "enableTestCommands=1"]).unwrap();
        let argon = before(&format!("mongodb://{}/?{query}", mongod.addr()), args);
        Rig { mongod, argon }
    }

    /// A connection to mongod, and one through Argon.
    fn connect(&self) -> (Client, Client) {
        (
            self.mongod.connect().unwrap(),
            self.argon.connect().unwrap(),
        )
    }
}

/// Argon before the deployment at `uri`.
fn before(uri: &str, args: &[&str]) -> Argon {
    let args = [&["--mongodb-uri", uri], args].concat();
    Argon::start_with(Path::new(env!("CARGO_BIN_EXE_argon")), None, &args).unwrap()
}

/// Has the command line import a database of the MongoDB at `source`.
fn import(source: &str, database: &str, argon: &Argon, project: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_argon"))
        .args(["import", "--uri", source, "--database", database])
        .args(["--to", &argon.uri(), "--project", project])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Waits until `condition` holds.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `future` on a runtime of its own, as a driver needs it.
fn drive<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

fn numbered(count: i32) -> Vec<RawDocumentBuf> {
    (0..count)
        .map(|id| rawdoc! {"_id": id, "text": "x".repeat(50)})
        .collect()
}

/// Inserts so many numbered documents into collection `c` of `database`.
fn fill(client: &mut Client, database: &str, count: i32) {
    let documents = numbered(count);
    let reply = client.call(
        database,
        &rawdoc! {"insert": "c"},
        Some(("documents", &documents)),
    );
    assert_eq!(reply.unwrap().get_i32("n").unwrap(), count);
}

/// How many documents a collection has.
fn count(client: &mut Client, database: &str, collection: &str) -> i32 {
    let reply = client.run_ok(database, &rawdoc! {"count": collection});
    reply.unwrap().get_i32("n").unwrap()
}

/// Identities of the documents in the first or next batch, and the cursor.
fn batch(reply: &bson::RawDocument) -> (Vec<i32>, i64) {
    let cursor = reply.get_document("cursor").unwrap();
    let batch = cursor
        .get_array("firstBatch")
        .or_else(|_| cursor.get_array("nextBatch"));
    let ids = batch.unwrap().into_iter().map(|document| {
        let document = document.unwrap().as_document().unwrap();
        document.get_i32("_id").unwrap()
    });
    (ids.collect(), cursor.get_i64("id").unwrap())
}

/// Waits for an answer's code.
fn code(reply: &bson::RawDocument) -> Option<i32> {
    reply.get_i32("code").ok()
}
