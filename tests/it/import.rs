//! `argon import` from a real mongod: nothing is missing, nothing is different, and a run that was killed goes on.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use argon_testkit::case;
use argon_testkit::case::data::DataSets;
use argon_testkit::client::{Client, is_ok};
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::server::Argon;
use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::rawdoc;

const BINARY: &str = env!("CARGO_BIN_EXE_argon");
/// What an unfinished import keeps in its project.
const STATE: &str = "argon.import";
const DOCUMENTS: i32 = 50_000;
/// So that the documents are several ranges.
const PADDING_BYTES: usize = 1200;

#[test]
fn everything_of_a_database_is_imported() {
    let source = Source::start();
    let mut mongod = source.connect();
    for set in ["scalars", "composites", "orders"] {
        source.load(&mut mongod, set);
    }
    // An empty timestamp at the top level is filled in by an insert; below it is kept.
    let nested =
        rawdoc! {"_id": {"b": 1, "a": [1]}, "t": {"t": bson::Timestamp {time: 0, increment: 0}}};
    insert(&mut mongod, "composites", vec![nested]);
    define(&mut mongod);
    let argon = Argon::start(Path::new(BINARY)).unwrap();

    let output = import(&source, &argon.uri(), &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("as project shop"), "{said}");
    assert!(said.contains("all verified"), "{said}");
    assert!(!said.contains("note:"), "{said}");
    assert!(!said.contains("left out:"), "{said}");

    let mut client = argon.connect().unwrap();
    assert_same(&mut mongod, &mut client, "shop");
    // In the order of insertion, of which a capped collection keeps the end.
    let found = client.run_ok("shop", &rawdoc! {"find": "capped"}).unwrap();
    let cursor = found.get_document("cursor").unwrap();
    let first = cursor
        .get_array("firstBatch")
        .unwrap()
        .get_document(0)
        .unwrap();
    assert_eq!(first.get_i32("_id").unwrap(), 10);
    // A view on a view.
    let count = client.run_ok("shop", &rawdoc! {"count": "a_view"}).unwrap();
    assert_eq!(count.get_i32("n").unwrap(), 1);
    // Documents that were there before the rule are imported, and the rule holds from now on.
    let refused = rawdoc! {"insert": "ruled", "documents": [{"_id": 2}]};
    let reply = client.run_command("shop", &refused).unwrap();
    assert!(reply.get_array("writeErrors").is_ok(), "{reply:?}");

    // Once is enough, unless it is to be another project.
    failed(&import(&source, &argon.uri(), &[]), "there already");
    let again = import(
        &source,
        &argon.uri(),
        &["--project", "shop2", "--parallel", "1"],
    );
    assert!(again.status.success(), "{again:?}");
    assert_eq!(
        hashes(&mut client, "shop2").get_str("orders").unwrap(),
        hashes(&mut mongod, "shop").get_str("orders").unwrap()
    );
    // A branch of it is like any other.
    client
        .run_ok("shop", &rawdoc! {"createBranch": "x"})
        .unwrap();
    let branch = hashes(&mut client, "shop~x");
    assert_eq!(
        branch.get_str("scalars").unwrap(),
        hashes(&mut mongod, "shop").get_str("scalars").unwrap()
    );
}

#[test]
fn what_is_not_supported_is_refused_or_left_out() {
    let source = Source::start();
    let mut mongod = source.connect();
    insert(
        &mut mongod,
        "places",
        vec![rawdoc! {"_id": 1, "at": [1.0, 2.0], "text": "a"}],
    );
    let indexes = rawdoc! {"createIndexes": "places", "indexes": [
        {"key": {"at": "2dsphere"}, "name": "at"},
        {"key": {"text": 1}, "name": "text"},
    ]};
    mongod.run_ok("shop", &indexes).unwrap();
    mongod
        .run_ok(
            "shop",
            &rawdoc! {"create": "weather", "timeseries": {"timeField": "t"}},
        )
        .unwrap();
    let images = rawdoc! {"create": "watched", "changeStreamPreAndPostImages": {"enabled": true}};
    mongod.run_ok("shop", &images).unwrap();
    let argon = Argon::start(Path::new(BINARY)).unwrap();
    let mut client = argon.connect().unwrap();

    let refused = import(&source, &argon.uri(), &[]);
    failed(&refused, "--skip-unsupported");
    for what in [
        "places, index at",
        "weather",
        "changeStreamPreAndPostImages",
    ] {
        failed(&refused, what);
    }
    let left = client.run_ok("shop", &rawdoc! {"dbHash": 1}).unwrap();
    assert!(
        left.get_document("collections").unwrap().is_empty(),
        "{left:?}"
    );

    let output = import(&source, &argon.uri(), &["--skip-unsupported"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.matches("left out:").count(), 3, "{said}");
    assert_eq!(
        hashes(&mut client, "shop").get_str("places").unwrap(),
        hashes(&mut mongod, "shop").get_str("places").unwrap()
    );
    assert_eq!(names(&mut client, "shop"), ["places", "watched"]);
}

#[test]
fn a_killed_import_goes_on() {
    let source = Source::start();
    let mut mongod = source.connect();
    let padding = "x".repeat(PADDING_BYTES);
    for first in (0..DOCUMENTS).step_by(5_000) {
        let document = |id: i32| match id % 3 {
            0 => rawdoc! {"_id": id, "v": &*padding},
            1 => rawdoc! {"_id": id.to_string(), "v": &*padding},
            _ => rawdoc! {"_id": {"k": id}, "v": &*padding},
        };
        insert(
            &mut mongod,
            "c",
            (first..first + 5_000).map(document).collect(),
        );
    }
    let unique = rawdoc! {"createIndexes": "c", "indexes": [{"key": {"_id": 1, "v": 1}, "name": "u", "unique": true}]};
    mongod.run_ok("shop", &unique).unwrap();

    let mut argon = Argon::start(Path::new(BINARY)).unwrap();
    let mut client = argon.connect().unwrap();
    // The importer dies when it has some.
    let mut importer = start_import(&source, &argon.uri());
    wait_for_documents(&mut client, &mut importer);
    importer.kill().unwrap();
    importer.wait().unwrap();
    assert!(
        names(&mut client, "shop").contains(&STATE.to_owned()),
        "it was too quick"
    );
    // What a run that is over had under way is put right, too.
    let foreign = rawdoc! {"insert": "c", "documents": [{"_id": -1, "v": "a document that the source has not any more"}]};
    client.run_ok("shop", &foreign).unwrap();

    // The project is taken for what it is, and other imports keep out.
    let other = Command::new(BINARY)
        .args([
            "import",
            "--database",
            "admin",
            "--project",
            "shop",
            "--uri",
            &source.uri(),
        ])
        .env("ARGON_URI", argon.uri())
        .output()
        .unwrap();
    failed(&other, "in the middle of an import");

    // Argon dies under the next run, which says what to do.
    let uri = format!("{}?serverSelectionTimeoutMS=200", argon.uri());
    let mut importer = start_import(&source, &uri);
    wait_for_documents(&mut client, &mut importer);
    argon.kill().unwrap();
    let output = importer.wait_with_output().unwrap();
    failed(&output, "run the same command again");

    argon.restart().unwrap();
    let output = import(&source, &argon.uri(), &[]);
    assert!(output.status.success(), "{output:?}");
    let mut client = argon.connect().unwrap();
    assert_same(&mut mongod, &mut client, "shop");
    assert_eq!(names(&mut client, "shop"), ["c"]);
}

#[test]
fn mistakes_are_explained() {
    let source = Source::start();
    let argon = Argon::start(Path::new(BINARY)).unwrap();
    failed(&import(&source, &argon.uri(), &[]), "no database shop");
    failed(&import(&source, &source.uri(), &[]), "is no Argon");
    failed(
        &import(
            &source,
            "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100",
            &[],
        ),
        "Argon at 127.0.0.1:1 does not answer",
    );
    let mut mongod = source.connect();
    insert(&mut mongod, "c", vec![rawdoc! {"_id": 1}]);
    failed(
        &import(&source, &argon.uri(), &["--project", "a~b"]),
        "'b' of project 'a' does not exist",
    );
    let nobody = Command::new(BINARY)
        .args([
            "import",
            "--uri",
            "mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=100",
        ])
        .env("ARGON_URI", argon.uri())
        .output()
        .unwrap();
    failed(&nobody, "the source at 127.0.0.1:1 does not answer");
}

/// A mongod to import from.
struct Source {
    mongod: Mongod,
}

impl Source {
    fn start() -> Source {
        let options = Options {
            replica_set: true,
            volatile: true,
        };
        Source {
            mongod: Mongod::start(options).unwrap(),
        }
    }

    fn connect(&self) -> Client {
        self.mongod.connect().unwrap()
    }

    fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.mongod.addr())
    }

    /// Has the collection `set` hold a data set of the case files.
    fn load(&self, client: &mut Client, set: &str) {
        let sets = DataSets::load(&case::root().join("data")).unwrap();
        insert(client, set, sets.get(set).unwrap().documents.clone());
    }
}

fn insert(client: &mut Client, collection: &str, documents: Vec<RawDocumentBuf>) {
    let documents: RawArrayBuf = documents.into_iter().collect();
    let command = rawdoc! {"insert": collection, "documents": documents};
    let reply = client.run_ok("shop", &command).unwrap();
    assert!(reply.get_array("writeErrors").is_err(), "{reply:?}");
}

/// Every kind of collection and index that Argon knows.
fn define(mongod: &mut Client) {
    for command in [
        rawdoc! {"create": "capped", "capped": true, "size": 4096, "max": 90},
        rawdoc! {"create": "clustered", "clusteredIndex": {"key": {"_id": 1}, "unique": true, "name": "by id"}},
        rawdoc! {"create": "collated", "collation": {"locale": "de", "strength": 2}},
        rawdoc! {"create": "empty"},
        rawdoc! {"create": "ruled"},
        rawdoc! {"create": "z_view", "viewOn": "collated", "pipeline": [{"$match": {"_id": "B"}}], "collation": {"locale": "de", "strength": 2}},
        rawdoc! {"create": "a_view", "viewOn": "z_view", "pipeline": [], "collation": {"locale": "de", "strength": 2}},
    ] {
        mongod.run_ok("shop", &command).unwrap();
    }
    insert(
        mongod,
        "capped",
        (0..100).map(|n| rawdoc! {"_id": n}).collect(),
    );
    insert(
        mongod,
        "clustered",
        vec![rawdoc! {"_id": 2}, rawdoc! {"_id": 1}],
    );
    insert(
        mongod,
        "collated",
        vec![
            rawdoc! {"_id": "b"},
            rawdoc! {"_id": "A"},
            rawdoc! {"_id": "ä"},
        ],
    );
    insert(mongod, "ruled", vec![rawdoc! {"_id": 1}]);
    let rule = rawdoc! {"collMod": "ruled", "validator": {"name": {"$type": "string"}}, "validationLevel": "moderate"};
    mongod.run_ok("shop", &rule).unwrap();
    let indexes = rawdoc! {"createIndexes": "orders", "indexes": [
        {"key": {"a": 1, "b.c": -1}, "name": "compound"},
        {"key": {"d": 1}, "name": "unique", "unique": true, "sparse": true},
        {"key": {"e": 1}, "name": "partial", "partialFilterExpression": {"f": {"$gt": 5}}},
        {"key": {"g": "hashed"}, "name": "hashed"},
        {"key": {"h": 1}, "name": "ttl", "expireAfterSeconds": 1000},
        {"key": {"i.$**": 1}, "name": "wildcard"},
        {"key": {"$**": 1}, "name": "all", "wildcardProjection": {"j": 0}},
        {"key": {"k": 1}, "name": "collated", "collation": {"locale": "fr", "strength": 1}},
        {"key": {"l": 1}, "name": "hidden", "hidden": true},
    ]};
    mongod.run_ok("shop", &indexes).unwrap();
    let indexes = rawdoc! {"createIndexes": "collated", "indexes": [
        {"key": {"a": 1}, "name": "as the collection"},
        {"key": {"b": 1}, "name": "by bytes", "collation": {"locale": "simple"}},
    ]};
    mongod.run_ok("shop", &indexes).unwrap();
}

fn importing(source: &Source, to: &str, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args([
            "import",
            "--database",
            "shop",
            "--uri",
            &source.uri(),
            "--to",
            to,
        ])
        .args(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn import(source: &Source, to: &str, args: &[&str]) -> Output {
    importing(source, to, args).output().unwrap()
}

fn start_import(source: &Source, to: &str) -> Child {
    importing(source, to, &["--parallel", "1"]).spawn().unwrap()
}

/// Waits until the import has written more documents.
fn wait_for_documents(client: &mut Client, importer: &mut Child) {
    let mut count = || {
        let reply = client.run_command("shop", &rawdoc! {"count": "c"}).unwrap();
        if is_ok(&reply) {
            reply.get_i32("n").unwrap()
        } else {
            0
        }
    };
    let before = count();
    while count() <= before {
        assert!(importer.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
}

/// Checks documents, options and indexes of both sides.
#[track_caller]
fn assert_same(mongod: &mut Client, argon: &mut Client, database: &str) {
    assert_eq!(hashes(mongod, "shop"), hashes(argon, database));
    // The views' definitions are in the hashes.
    for name in names(mongod, "shop")
        .iter()
        .filter(|name| *name != "system.views")
    {
        let list = rawdoc! {"listIndexes": name.as_str()};
        let indexes = |client: &mut Client, database| {
            let reply = client.run_command(database, &list).unwrap();
            is_ok(&reply).then(|| {
                reply
                    .get_document("cursor")
                    .unwrap()
                    .get_array("firstBatch")
                    .unwrap()
                    .to_owned()
            })
        };
        assert_eq!(indexes(mongod, "shop"), indexes(argon, database), "{name}");
        let list = rawdoc! {"listCollections": 1, "filter": {"name": name.as_str()}};
        let options = |client: &mut Client, database| {
            let reply = client.run_ok(database, &list).unwrap();
            let cursor = reply.get_document("cursor").unwrap();
            let entry = cursor
                .get_array("firstBatch")
                .unwrap()
                .get_document(0)
                .unwrap();
            entry.get_document("options").unwrap().to_owned()
        };
        assert_eq!(options(mongod, "shop"), options(argon, database), "{name}");
    }
}

/// Each collection's hash.
fn hashes(client: &mut Client, database: &str) -> RawDocumentBuf {
    let reply = client.run_ok(database, &rawdoc! {"dbHash": 1}).unwrap();
    reply.get_document("collections").unwrap().to_owned()
}

/// Names of the collections and views, sorted.
fn names(client: &mut Client, database: &str) -> Vec<String> {
    let reply = client
        .run_ok(database, &rawdoc! {"listCollections": 1, "nameOnly": true})
        .unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    let batch = cursor.get_array("firstBatch").unwrap();
    let name = |entry: &bson::RawDocument| entry.get_str("name").unwrap().to_owned();
    let mut names: Vec<String> = batch
        .into_iter()
        .map(|entry| name(entry.unwrap().as_document().unwrap()))
        .collect();
    names.sort();
    names
}

/// Checks that a command failed and said `why`.
#[track_caller]
fn failed(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(why), "{said}");
}
