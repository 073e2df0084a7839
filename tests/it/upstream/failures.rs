//! Members that step down, are killed or fall silent, and networks that fail.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use argon_testkit::network::{Network, Weather};
use argon_testkit::replica_set::ReplicaSet;
use bson::rawdoc;
use mongodb::Client;
use mongodb::bson::{Document, doc};

use super::{before, code, drive, wait_until};

const UPSTREAM: &[&str] = &["--new-databases", "upstream"];

/// Writes numbered documents from several tasks until `disturb` is through; then everything acknowledged is there, once.
fn write_while(uri: &str, disturb: impl FnOnce() + Send + 'static) {
    let uri = uri.to_owned();
    drive(async move {
        let client = Client::with_uri_str(&uri).await.unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        collection.insert_one(doc! {"_id": -1}).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicI32::new(0));
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let (collection, stop, next) =
                    (collection.clone(), Arc::clone(&stop), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut written = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        collection.insert_one(doc! {"_id": id}).await.unwrap();
                        let counted = collection
                            .update_one(doc! {"_id": id}, doc! {"$inc": {"n": 1}})
                            .await
                            .unwrap();
                        assert_eq!(counted.modified_count, 1);
                        written.push(id);
                    }
                    written
                })
            })
            .collect();
        tokio::task::spawn_blocking(disturb).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for writer in writers {
            written.extend(writer.await.unwrap());
        }
        assert!(!written.is_empty());
        let exact = collection.count_documents(doc! {"n": 1}).await.unwrap();
        assert_eq!(exact, u64::try_from(written.len()).unwrap());
        let twice = collection
            .count_documents(doc! {"n": {"$gt": 1}})
            .await
            .unwrap();
        assert_eq!(twice, 0);
    });
}

#[test]
fn a_step_down_loses_no_retryable_write() {
    let set = Arc::new(ReplicaSet::start(3).unwrap());
    let argon = before(&set.uri(), UPSTREAM);
    let disturbed = Arc::clone(&set);
    write_while(&argon.uri(), move || {
        for _ in 0..2 {
            disturbed.step_down().unwrap();
            disturbed.primary().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
}

#[test]
fn a_killed_primary_loses_no_retryable_write() {
    let set = Arc::new(Mutex::new(ReplicaSet::start(3).unwrap()));
    let uri = set.lock().unwrap().uri();
    let argon = before(&uri, UPSTREAM);
    let disturbed = Arc::clone(&set);
    write_while(&argon.uri(), move || {
        let mut set = disturbed.lock().unwrap();
        let primary = set.primary().unwrap();
        set.kill(primary).unwrap();
        set.primary().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        set.restart(primary).unwrap();
    });
}

#[test]
fn a_change_of_state_is_told_as_a_mongos_does() {
    let set = ReplicaSet::start(1).unwrap();
    let argon = before(&set.uri(), UPSTREAM);
    let mut through = argon.connect().unwrap();
    through
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    for error in [91, 189, 10107, 11600, 11602, 13435, 13436] {
        set.fail_command(
            0,
            bson::RawBson::Document(rawdoc! {"times": 3}),
            rawdoc! {"failCommands": ["insert"], "errorCode": error},
        )
        .unwrap();
        let lsid = rawdoc! {"id": bson::Binary::from(bson::Uuid::new())};
        let insert = rawdoc! {
            "insert": "c", "documents": [{"_id": error}], "lsid": lsid, "txnNumber": 1_i64,
        };
        let refused = through.run_command("shop", &insert).unwrap();
        assert_eq!(code(&refused), Some(6), "{refused:?}");
        assert_eq!(refused.get_str("codeName").unwrap(), "HostUnreachable");
        assert!(refused.get("topologyVersion").unwrap().is_none());
        let labels = refused.get_array("errorLabels").unwrap();
        let label = labels.into_iter().next().unwrap().unwrap();
        assert_eq!(label.as_str(), Some("RetryableWriteError"));
        through.run_ok("shop", &insert).unwrap();
    }
    // The same in what a write waits for.
    set.fail_command(
        0,
        bson::RawBson::Document(rawdoc! {"times": 1}),
        rawdoc! {"failCommands": ["insert"], "writeConcernError": {"code": 91, "errmsg": "shutting down"}},
    )
    .unwrap();
    let insert = rawdoc! {"insert": "c", "documents": [{"_id": 2}]};
    let reply = through.run_command("shop", &insert).unwrap();
    let concern = reply.get_document("writeConcernError").unwrap();
    assert_eq!(concern.get_i32("code").unwrap(), 6);
}

#[test]
fn a_lost_connection_is_told_with_labels() {
    let set = ReplicaSet::start(1).unwrap();
    let argon = before(&set.uri(), UPSTREAM);
    let mut through = argon.connect().unwrap();
    through
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    // A retryable write is tried three times, the others once.
    let lose = |times: i32| {
        let data = rawdoc! {"failCommands": ["insert"], "closeConnection": true};
        set.fail_command(0, bson::RawBson::Document(rawdoc! {"times": times}), data)
            .unwrap();
    };
    let lsid = || rawdoc! {"id": bson::Binary::from(bson::Uuid::new())};
    lose(1);
    let plain = rawdoc! {"insert": "c", "documents": [{"_id": 2}]};
    let lost = through.run_command("shop", &plain).unwrap();
    assert_eq!(code(&lost), Some(6));
    assert!(
        lost.get("errorLabels").unwrap().is_none(),
        "not to be repeated: {lost:?}"
    );

    lose(3);
    let retryable =
        rawdoc! {"insert": "c", "documents": [{"_id": 3}], "lsid": lsid(), "txnNumber": 1_i64};
    let lost = through.run_command("shop", &retryable).unwrap();
    let label = lost.get_array("errorLabels").unwrap().get_str(0).unwrap();
    assert_eq!(label, "RetryableWriteError");

    lose(1);
    let in_transaction = rawdoc! {
        "insert": "c", "documents": [{"_id": 4}], "lsid": lsid(), "txnNumber": 1_i64, "autocommit": false,
        "startTransaction": true,
    };
    let lost = through.run_command("shop", &in_transaction).unwrap();
    let label = lost.get_array("errorLabels").unwrap().get_str(0).unwrap();
    assert_eq!(label, "TransientTransactionError");
}

#[test]
fn without_a_primary_commands_wait_and_then_fail() {
    let mut set = ReplicaSet::start(1).unwrap();
    let uri = format!("{}&serverSelectionTimeoutMS=500", set.uri());
    let argon = before(&uri, UPSTREAM);
    let mut through = argon.connect().unwrap();
    let insert = |id: i32| rawdoc! {"insert": "c", "documents": [{"_id": id}]};
    through.run_ok("shop", &insert(1)).unwrap();
    set.kill(0).unwrap();
    wait_until("the command fails for want of a server", || {
        code(&through.run_command("shop", &insert(2)).unwrap()) == Some(133)
    });
    set.restart(0).unwrap();
    wait_until("the upstream is found again", || {
        argon_testkit::client::is_ok(&through.run_command("shop", &insert(3)).unwrap())
    });
}

#[test]
fn a_network_that_fails_is_left_and_found_again() {
    let set = ReplicaSet::start(1).unwrap();
    let query = "serverSelectionTimeoutMS=2000&connectTimeoutMS=500&heartbeatFrequencyMS=500";
    let network = Network::around(&set.addrs(), query).unwrap();
    let argon = before(&network.uri(), UPSTREAM);
    let mut through = argon.connect().unwrap();
    let count = rawdoc! {"count": "c"};
    through
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    for weather in [Weather::Refused, Weather::Silent] {
        network.set(weather);
        // Even what is under way on a line that is cut comes to an end.
        let failed = through.run_command("shop", &count).unwrap();
        assert!(
            matches!(code(&failed), Some(6 | 133)),
            "{weather:?}: {failed:?}"
        );
        network.set(Weather::Fine);
        wait_until("the network is found again", || {
            argon_testkit::client::is_ok(&through.run_command("shop", &count).unwrap())
        });
    }
    network.set(Weather::Slow(std::time::Duration::from_millis(50)));
    assert_eq!(
        through
            .run_ok("shop", &count)
            .unwrap()
            .get_i32("n")
            .unwrap(),
        1
    );
}

#[test]
fn reads_go_where_the_client_prefers() {
    let set = ReplicaSet::start(3).unwrap();
    let argon = before(&set.uri(), UPSTREAM);
    let mut through = argon.connect().unwrap();
    let insert = rawdoc! {
        "insert": "c", "documents": [{"_id": 1}], "writeConcern": {"w": 3, "wtimeout": 60_000},
    };
    through.run_ok("shop", &insert).unwrap();
    let mut host = |mode: &str| {
        let read = rawdoc! {
            "aggregate": "c", "cursor": {}, "pipeline": [{"$collStats": {"latencyStats": {}}}],
            "$readPreference": {"mode": mode},
        };
        let reply = through.run_ok("shop", &read).unwrap();
        let first = reply
            .get_document("cursor")
            .unwrap()
            .get_array("firstBatch")
            .unwrap();
        first
            .get_document(0)
            .unwrap()
            .get_str("host")
            .unwrap()
            .to_owned()
    };
    let port = |member: usize| format!(":{}", set.addrs()[member].port());
    let primary = port(set.primary().unwrap());
    for _ in 0..10 {
        assert!(host("primary").ends_with(&primary));
        assert!(host("primaryPreferred").ends_with(&primary));
        assert!(!host("secondary").ends_with(&primary));
        assert!(!host("secondaryPreferred").ends_with(&primary));
    }
    // A cursor goes on where it was made.
    let documents: Vec<_> = (10..200).map(|id| rawdoc! {"_id": id}).collect();
    let insert = rawdoc! {"insert": "c", "writeConcern": {"w": 3}};
    through
        .call("shop", &insert, Some(("documents", &documents)))
        .unwrap();
    for _ in 0..10 {
        let find = rawdoc! {"find": "c", "batchSize": 10, "$readPreference": {"mode": "secondary"}};
        let (_, mut cursor) = super::batch(&through.run_ok("shop", &find).unwrap());
        while cursor != 0 {
            let more = rawdoc! {"getMore": cursor, "collection": "c", "batchSize": 90};
            cursor = super::batch(&through.run_ok("shop", &more).unwrap()).1;
        }
    }
    // One command ends cursors of several members.
    let mut open = |mode: &str| {
        let find = rawdoc! {"find": "c", "batchSize": 10, "$readPreference": {"mode": mode}};
        super::batch(&through.run_ok("shop", &find).unwrap()).1
    };
    let (first, second) = (open("primary"), open("secondary"));
    let kill = rawdoc! {"killCursors": "c", "cursors": [first, second, 4711_i64]};
    let killed = through.run_ok("shop", &kill).unwrap();
    let ended = |list: &str| killed.get_array(list).unwrap().into_iter().count();
    assert_eq!(
        (ended("cursorsKilled"), ended("cursorsNotFound")),
        (2, 1),
        "{killed:?}"
    );
}
