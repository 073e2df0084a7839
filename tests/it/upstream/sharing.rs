//! Many clients on few connections.

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use bson::rawdoc;

use super::{Rig, batch, code, numbered, wait_until};

/// Connections of commands that Argon passes on; the monitors' are the driver's, and those of the log have another name.
fn connections(direct: &mut argon_testkit::client::Client) -> usize {
    let pipeline = rawdoc! {
        "aggregate": 1, "cursor": {"batchSize": 1000}, "pipeline": [
            {"$currentOp": {"idleConnections": true}},
            {"$match": {"appName": "argon", "clientMetadata.driver.name": "argon"}},
            {"$project": {"_id": {"$literal": 1}}},
        ],
    };
    batch(&direct.run_ok("admin", &pipeline).unwrap()).0.len()
}

#[test]
fn two_hundred_clients_share_ten_connections() {
    let rig = Rig::start("maxPoolSize=10", &["--new-databases", "upstream"]);
    let (mut direct, mut through) = rig.connect();
    through
        .call(
            "shop",
            &rawdoc! {"insert": "c"},
            Some(("documents", &numbered(100))),
        )
        .unwrap();
    let clients: Vec<_> = (0..200).map(|_| rig.argon.connect().unwrap()).collect();
    let most = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(at, mut client)| {
                scope.spawn(move || {
                    for round in 0..20 {
                        let id = i32::try_from((at * 7 + round) % 100).unwrap();
                        let find = rawdoc! {"find": "c", "filter": {"_id": id}};
                        let found = batch(&client.run_ok("shop", &find).unwrap()).0;
                        assert_eq!(found, [id]);
                        let inc = rawdoc! {"update": "n", "updates": [
                            {"q": {"_id": id}, "u": {"$inc": {"n": 1}}, "upsert": true},
                        ]};
                        client.run_ok("shop", &inc).unwrap();
                    }
                })
            })
            .collect();
        let mut most = 0;
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            most = most.max(connections(&mut direct));
        }
        most
    });
    assert!((1..=10).contains(&most), "{most} connections");
    let sum = rawdoc! {"aggregate": "n", "cursor": {}, "pipeline": [
        {"$group": {"_id": {"$toInt": 1}, "n": {"$sum": "$n"}}},
    ]};
    let sum = direct.run_ok("shop", &sum).unwrap();
    let sum = sum
        .get_document("cursor")
        .unwrap()
        .get_array("firstBatch")
        .unwrap()
        .get_document(0)
        .unwrap();
    assert_eq!(sum.get_i32("n").unwrap(), 200 * 20);
}

#[test]
fn those_who_wait_for_documents_keep_nobody_waiting() {
    let rig = Rig::start("maxPoolSize=4", &["--new-databases", "upstream"]);
    let (_, mut through) = rig.connect();
    through
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    thread::scope(|scope| {
        let watchers: Vec<_> = (0..4)
            .map(|_| {
                let mut client = rig.argon.connect().unwrap();
                let watch =
                    rawdoc! {"aggregate": "c", "pipeline": [{"$changeStream": {}}], "cursor": {}};
                let (_, cursor) = batch(&client.run_ok("shop", &watch).unwrap());
                scope.spawn(move || {
                    let more = rawdoc! {"getMore": cursor, "collection": "c", "maxTimeMS": 30_000};
                    let reply = client.run_ok("shop", &more).unwrap();
                    let batch = reply
                        .get_document("cursor")
                        .unwrap()
                        .get_array("nextBatch")
                        .unwrap();
                    assert_eq!(batch.into_iter().count(), 1);
                })
            })
            .collect();
        // Every ordinary connection would be taken; these go on all the same.
        for _ in 0..20 {
            through.run_ok("shop", &rawdoc! {"count": "c"}).unwrap();
        }
        through
            .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 2}]})
            .unwrap();
        for watcher in watchers {
            watcher.join().unwrap();
        }
    });
}

#[test]
fn what_a_client_that_left_was_waiting_for_is_ended() {
    let rig = Rig::start("", &["--new-databases", "upstream"]);
    let (mut direct, mut through) = rig.connect();
    through
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    let watch = rawdoc! {"aggregate": "c", "pipeline": [{"$changeStream": {}}], "cursor": {}};
    let (_, cursor) = batch(&through.run_ok("shop", &watch).unwrap());
    let leave = |command: bson::raw::RawDocumentBuf, running: &mut dyn FnMut() -> bool| {
        let mut socket = TcpStream::connect(rig.argon.addr()).unwrap();
        let length = i32::try_from(21 + command.as_bytes().len()).unwrap();
        for number in [length, 1, 0, 2013, 0] {
            socket.write_all(&number.to_le_bytes()).unwrap();
        }
        socket.write_all(&[0]).unwrap();
        socket.write_all(command.as_bytes()).unwrap();
        wait_until("the command runs", running);
    };
    let mut running = || {
        let operations = rawdoc! {"aggregate": 1, "cursor": {}, "pipeline": [
            {"$currentOp": {}},
            {"$match": {"command.comment": "left"}},
            {"$project": {"_id": {"$literal": 1}}},
        ]};
        !batch(&direct.run_ok("admin", &operations).unwrap())
            .0
            .is_empty()
    };
    let find = rawdoc! {"find": "c", "filter": {"$where": "while (true) {}"}, "comment": "left", "$db": "shop"};
    leave(find, &mut running);
    wait_until("the command has ended", || !running());

    // mongod does not end this one by itself, and when it is told to, it may take until the next write.
    let more = rawdoc! {"getMore": cursor, "collection": "c", "maxTimeMS": 600_000, "comment": "left", "$db": "shop"};
    leave(more, &mut running);
    let more = rawdoc! {"getMore": cursor, "collection": "c", "maxTimeMS": 1};
    wait_until("the cursor is killed", || {
        matches!(
            code(&through.run_command("shop", &more).unwrap()),
            Some(43 | 237)
        )
    });
}
