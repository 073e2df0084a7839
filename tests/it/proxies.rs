//! Two servers on one replica set: what one has acknowledged the other knows.

use std::path::Path;

use argon_testkit::client::Client;
use argon_testkit::replica_set::ReplicaSet;
use argon_testkit::server::Argon;
use bson::raw::RawDocumentBuf;
use bson::{Binary, RawDocument, rawdoc, spec::BinarySubtype};

const BINARY: &str = env!("CARGO_BIN_EXE_argon");

fn serve(set: &ReplicaSet) -> Argon {
    Argon::start_with(Path::new(BINARY), None, &["--mongodb-uri", &set.uri()]).unwrap()
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
