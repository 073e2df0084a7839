//! Two servers on one deployment: what one has acknowledged the other knows.

use std::path::Path;
use std::time::Instant;

use argon_testkit::client::Client;
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::replica_set::ReplicaSet;
use argon_testkit::server::Argon;
use bson::raw::RawDocumentBuf;
use bson::{Binary, RawDocument, rawdoc, spec::BinarySubtype};

const BINARY: &str = env!("CARGO_BIN_EXE_argon");

fn serve(set: &ReplicaSet) -> Argon {
    Argon::start_with(Path::new(BINARY), None, &["--mongodb-uri", &set.uri()]).unwrap()
}

/// Two servers before a standalone server, which tells nobody what changes, and connections to all three.
struct Pair {
    _mongod: Mongod,
    _first: Argon,
    second: Argon,
    direct: Client,
    a: Client,
    b: Client,
}

impl Pair {
    fn start(args: &[&str]) -> Pair {
        let options = Options {
            replica_set: false,
            volatile: true,
        };
        let mongod = Mongod::start(options).unwrap();
        let uri = format!("mongodb://{}/", mongod.addr());
        let args = [&["--mongodb-uri", &uri], args].concat();
        let serve = || Argon::start_with(Path::new(BINARY), None, &args).unwrap();
        let (first, second) = (serve(), serve());
        Pair {
            direct: mongod.connect().unwrap(),
            a: first.connect().unwrap(),
            b: second.connect().unwrap(),
            _first: first,
            second,
            _mongod: mongod,
        }
    }
}

/// The identities in collection `c`.
fn ids(client: &mut Client, database: &str) -> Vec<i32> {
    let found = find(client, database, &rawdoc! {});
    found
        .iter()
        .map(|document| document.get_i32("_id").unwrap())
        .collect()
}

fn insert(id: i32) -> RawDocumentBuf {
    rawdoc! {"insert": "c", "documents": [{"_id": id}]}
}

fn find(client: &mut Client, database: &str, filter: &RawDocument) -> Vec<RawDocumentBuf> {
    let command = rawdoc! {"find": "c", "filter": filter.to_owned()};
    let reply = client.run_ok(database, &command).unwrap();
    let batch = reply
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"));
    let documents = batch.unwrap().into_iter();
    documents
        .map(|document| document.unwrap().as_document().unwrap().to_owned())
        .collect()
}

fn count(client: &mut Client, database: &str) -> i64 {
    let found = find(client, database, &rawdoc! {"_id": 1});
    found
        .first()
        .map_or(0, |document| i64::from(document.get_i32("n").unwrap()))
}

fn increment(txn_number: i64) -> RawDocumentBuf {
    let id = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: vec![7; 16],
    };
    rawdoc! {
        "update": "c",
        "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}, "upsert": true}],
        "lsid": {"id": id},
        "txnNumber": txn_number,
    }
}

#[test]
fn two_servers_show_the_same() {
    let set = ReplicaSet::start(1).unwrap();
    let (first, second) = (serve(&set), serve(&set));
    let (mut a, mut b) = (first.connect().unwrap(), second.connect().unwrap());

    for round in 1..=20 {
        // The second attempt of each reaches the other server.
        a.run_ok("shop", &increment(round)).unwrap();
        let retried = b.run_ok("shop", &increment(round)).unwrap();
        assert!(retried.get_array("retriedStmtIds").is_ok(), "{retried:?}");
        assert_eq!(count(&mut a, "shop"), round);
        assert_eq!(count(&mut b, "shop"), round);
        std::mem::swap(&mut a, &mut b);
    }

    // Branches, and a name that is given again.
    let create = rawdoc! {"createBranch": "x"};
    a.run_ok("shop", &create).unwrap();
    assert_eq!(count(&mut b, "shop~x"), 20);
    a.run_ok("shop", &rawdoc! {"dropBranch": "x"}).unwrap();
    let gone = b.run_command("shop~x", &rawdoc! {"find": "c"}).unwrap();
    assert_eq!(gone.get_i32("code").unwrap(), 26);
    a.run_ok("shop", &create).unwrap();
    let insert = rawdoc! {"insert": "c", "documents": [{"_id": 2}]};
    b.run_ok("shop~x", &insert).unwrap();
    assert_eq!(find(&mut a, "shop~x", &rawdoc! {}).len(), 2);
    assert_eq!(find(&mut a, "shop", &rawdoc! {}).len(), 1);

    // A collection whose strings compare otherwise than this server had heard.
    a.run_ok("shop", &rawdoc! {"drop": "c"}).unwrap();
    let collation = rawdoc! {"create": "c", "collation": {"locale": "en", "strength": 2}};
    a.run_ok("shop", &collation).unwrap();
    let insert = rawdoc! {"insert": "c", "documents": [{"_id": 1, "name": "Ink"}]};
    a.run_ok("shop", &insert).unwrap();
    let update =
        rawdoc! {"update": "c", "updates": [{"q": {"name": "INK"}, "u": {"$set": {"n": 5}}}]};
    let updated = b.run_ok("shop", &update).unwrap();
    assert_eq!(updated.get_i32("nModified").unwrap(), 1);
    assert_eq!(count(&mut a, "shop"), 5);

    let status = a.run_ok("admin", &rawdoc! {"serverStatus": 1}).unwrap();
    let store = status
        .get_document("argon")
        .and_then(|argon| argon.get_document("store"))
        .unwrap();
    assert_eq!(store.get_str("kind").unwrap(), "mongodb");
    assert!(store.get_bool("reachable").unwrap());
}

#[test]
fn a_server_that_was_paused_or_killed_neither_loses_nor_doubles() {
    let set = ReplicaSet::start(1).unwrap();
    let (mut first, second) = (serve(&set), serve(&set));
    let (mut a, mut b) = (first.connect().unwrap(), second.connect().unwrap());
    a.run_ok("shop", &increment(1)).unwrap();
    assert_eq!(count(&mut b, "shop"), 1);

    first.pause().unwrap();
    for round in 2..=10 {
        b.run_ok("shop", &increment(round)).unwrap();
    }
    first.resume().unwrap();
    assert_eq!(count(&mut a, "shop"), 10);
    a.run_ok("shop", &increment(10)).unwrap();
    a.run_ok("shop", &increment(11)).unwrap();

    first.kill().unwrap();
    b.run_ok("shop", &increment(11)).unwrap();
    assert_eq!(count(&mut b, "shop"), 11);
    first.restart().unwrap();
    assert_eq!(count(&mut first.connect().unwrap(), "shop"), 11);
}

#[test]
fn a_database_that_becomes_a_project_and_back_changes_sides_everywhere() {
    let mut pair = Pair::start(&[]);
    let Pair { direct, a, b, .. } = &mut pair;
    direct.run_ok("shop", &insert(1)).unwrap();
    for round in 2..5 {
        assert_eq!(ids(a, "shop"), [1]);
        assert_eq!(ids(b, "shop"), [1]);
        a.run_ok("shop", &rawdoc! {"createProject": 1}).unwrap();
        // The other passed the name on a moment ago.
        b.run_ok("shop", &insert(round)).unwrap();
        assert_eq!(ids(direct, "shop"), [1]);
        assert_eq!(ids(a, "shop"), [round]);
        b.run_ok("shop", &rawdoc! {"dropProject": 1, "confirm": "shop"})
            .unwrap();
        std::mem::swap(a, b);
    }
    assert_eq!(ids(a, "shop"), [1]);
    assert_eq!(ids(b, "shop"), [1]);

    // Dropped through one server, written to through another: one of the two sides has it.
    for round in 5..8 {
        a.run_ok("shop", &rawdoc! {"dropDatabase": 1}).unwrap();
        a.run_ok("shop", &insert(round)).unwrap();
        b.run_ok("shop", &insert(-round)).unwrap();
        assert_eq!(ids(a, "shop"), [round, -round]);
        assert_eq!(ids(b, "shop"), [round, -round]);
        std::mem::swap(a, b);
    }
}

#[test]
fn a_name_that_goes_upstream_unless_it_is_a_project_is_looked_for() {
    let mut pair = Pair::start(&["--new-databases", "upstream"]);
    let Pair { direct, a, b, .. } = &mut pair;
    assert!(ids(b, "shop").is_empty());
    a.run_ok("shop", &rawdoc! {"createProject": 1}).unwrap();
    b.run_ok("shop", &insert(1)).unwrap();
    assert_eq!(ids(a, "shop"), [1]);
    assert!(ids(direct, "shop").is_empty());
}

#[test]
fn a_server_that_was_paused_passes_nothing_on_by_old_names() {
    let mut pair = Pair::start(&[]);
    let Pair {
        direct,
        a,
        b,
        second,
        ..
    } = &mut pair;
    direct.run_ok("shop", &insert(1)).unwrap();
    assert_eq!(ids(b, "shop"), [1]);
    second.pause().unwrap();
    a.run_ok("shop", &rawdoc! {"createProject": 1}).unwrap();
    second.resume().unwrap();
    b.run_ok("shop", &insert(2)).unwrap();
    assert_eq!(ids(a, "shop"), [2]);
    assert_eq!(ids(direct, "shop"), [1]);
}

#[test]
fn prefix_branches_are_seen_and_gone_everywhere_at_once() {
    let mut pair = Pair::start(&[]);
    let Pair { direct, a, b, .. } = &mut pair;
    direct.run_ok("shop", &insert(1)).unwrap();
    for round in 2..4 {
        assert_eq!(ids(b, "shop"), [1]);
        let create = rawdoc! {"createBranch": "x", "engine": "prefix"};
        a.run_ok("shop", &create).unwrap();
        // Its names are no longer main's, and it is there.
        let stray = rawdoc! {"insert": "branch_x_c", "documents": [{"_id": 7}]};
        let refused = b.run_command("shop", &stray).unwrap();
        assert_eq!(refused.get_i32("code").unwrap(), 73, "{refused:?}");
        b.run_ok("shop~x", &insert(round)).unwrap();
        assert_eq!(ids(a, "shop~x"), [1, round]);
        a.run_ok("shop", &rawdoc! {"dropBranch": "x"}).unwrap();
        let gone = b.run_command("shop~x", &insert(9)).unwrap();
        assert_eq!(gone.get_i32("code").unwrap(), 26, "{gone:?}");
        let left = direct
            .run_ok("shop", &rawdoc! {"listCollections": 1, "nameOnly": true})
            .unwrap();
        let left = left.get_document("cursor").unwrap();
        assert_eq!(
            left.get_array("firstBatch").unwrap().into_iter().count(),
            1,
            "{left:?}"
        );
        std::mem::swap(a, b);
    }
}

#[test]
fn passing_through_costs_no_look_at_the_catalogue_per_command() {
    const COMMANDS: i64 = 600;
    let mut pair = Pair::start(&[]);
    let Pair { direct, a, .. } = &mut pair;
    direct.run_ok("shop", &insert(1)).unwrap();
    assert_eq!(ids(a, "shop"), [1]);
    let queries = |direct: &mut Client| {
        let status = direct
            .run_ok("admin", &rawdoc! {"serverStatus": 1})
            .unwrap();
        let counters = status.get_document("opcounters").unwrap();
        let queries = counters.get("query").unwrap().unwrap();
        queries
            .as_i64()
            .or(queries.as_i32().map(i64::from))
            .unwrap()
    };
    let (before, began) = (queries(direct), Instant::now());
    for _ in 0..COMMANDS {
        assert_eq!(ids(a, "shop"), [1]);
    }
    // Readings in the background go by time, a few in each tenth of a second, and not by commands.
    let looks = queries(direct) - before - COMMANDS;
    let tenths = i64::try_from(began.elapsed().as_millis() / 100).unwrap();
    assert!(looks <= 3 * (tenths + 10), "{looks} in {tenths}");
}
