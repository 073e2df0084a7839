//! Answers of mongod come through as they are.

use std::io::{Read, Write};
use std::net::TcpStream;

use bson::raw::RawDocumentBuf;
use bson::{RawDocument, rawdoc};
use futures::StreamExt;
use mongodb::bson::{Document, doc};

use super::{Rig, batch, code, drive, fill};

/// Fields that no two answers have in common.
const EACH_ITS_OWN: &[&str] = &["$clusterTime", "operationTime", "electionId", "opTime"];

fn without_times(reply: &RawDocument) -> Document {
    let mut reply: Document = bson::deserialize_from_slice(reply.as_bytes()).unwrap();
    for field in EACH_ITS_OWN {
        reply.remove(field);
    }
    reply
}

#[test]
fn answers_are_those_of_a_direct_connection() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "shop", 10);
    let commands = [
        rawdoc! {"find": "c", "filter": {"_id": {"$lt": 3}}},
        rawdoc! {"find": "c", "filter": {"$nonsense": 1}},
        rawdoc! {"insert": "c", "documents": [{"_id": 1}]},
        rawdoc! {"insert": "c", "documents": [{"_id": 1}, {"_id": 2}], "ordered": false},
        rawdoc! {"update": "c", "updates": [{"q": {}, "u": {"$inc": {"text": 1}}}]},
        rawdoc! {"aggregate": "c", "pipeline": [{"$count": "n"}], "cursor": {}},
        rawdoc! {"getMore": 12345_i64, "collection": "c"},
        rawdoc! {"listCollections": 1, "nameOnly": true},
        rawdoc! {"listIndexes": "c"},
        rawdoc! {"createIndexes": "c", "indexes": [{"key": {"a": 1}, "name": "_id_"}]},
        rawdoc! {"count": "c"},
        rawdoc! {"distinct": "c", "key": "_id"},
        rawdoc! {"findAndModify": "c", "query": {"_id": 77}, "remove": true},
        rawdoc! {"drop": "nothing"},
        rawdoc! {"noSuchCommand": 1},
        rawdoc! {"collMod": "c", "nonsense": 1},
    ];
    for command in commands {
        let expected = direct.run_command("shop", &command).unwrap();
        let got = through.run_command("shop", &command).unwrap();
        assert_eq!(without_times(&got), without_times(&expected), "{command:?}");
    }
}

#[test]
fn cursors_go_on_over_any_connection() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "old", 1000);
    let find = rawdoc! {"find": "c", "sort": {"_id": 1}, "batchSize": 100};
    let (mut ids, cursor) = batch(&through.run_ok("old", &find).unwrap());
    assert_ne!(cursor, 0);
    let mut cursor = cursor;
    while cursor != 0 {
        let more = rawdoc! {"getMore": cursor, "collection": "c", "batchSize": 150};
        let (next, left) = batch(&rig.argon.connect().unwrap().run_ok("old", &more).unwrap());
        ids.extend(next);
        cursor = left;
    }
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());

    let (_, cursor) = batch(&through.run_ok("old", &find).unwrap());
    let kill = rawdoc! {"killCursors": "c", "cursors": [cursor]};
    let killed = through.run_ok("old", &kill).unwrap();
    assert_eq!(
        killed
            .get_array("cursorsKilled")
            .unwrap()
            .into_iter()
            .count(),
        1
    );
    let more = rawdoc! {"getMore": cursor, "collection": "c"};
    assert_eq!(code(&through.run_command("old", &more).unwrap()), Some(43));
}

#[test]
fn change_streams_resume() {
    let rig = Rig::start("", &["--new-databases", "upstream"]);
    drive(async {
        let client = mongodb::Client::with_uri_str(rig.argon.uri())
            .await
            .unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        collection.insert_one(doc! {"_id": 0}).await.unwrap();
        let mut stream = collection.watch().await.unwrap();
        collection.insert_one(doc! {"_id": 1}).await.unwrap();
        let event = stream.next().await.unwrap().unwrap();
        assert_eq!(event.document_key.unwrap(), doc! {"_id": 1});
        let token = stream.resume_token().unwrap();
        drop(stream);
        collection.insert_one(doc! {"_id": 2}).await.unwrap();
        let mut stream = collection.watch().resume_after(token).await.unwrap();
        let event = stream.next().await.unwrap().unwrap();
        assert_eq!(event.document_key.unwrap(), doc! {"_id": 2});
    });
}

#[test]
fn compression_is_each_sides_own() {
    let rig = Rig::start("compressors=zstd", &["--new-databases", "upstream"]);
    drive(async {
        for compressor in ["snappy", "zlib", "zstd"] {
            let uri = format!("{}?compressors={compressor}", rig.argon.uri());
            let client = mongodb::Client::with_uri_str(uri).await.unwrap();
            let collection = client.database("shop").collection::<Document>(compressor);
            let documents = (0..100).map(|id| doc! {"_id": id, "text": "long ".repeat(1000)});
            collection.insert_many(documents).await.unwrap();
            assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 100);
            let duplicate = collection.insert_one(doc! {"_id": 1}).await;
            assert!(duplicate.unwrap_err().to_string().contains("E11000"));
        }
    });
}

#[test]
fn exhaust_cursors_stream() {
    const EXHAUST_ALLOWED: u32 = 1 << 16;
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "old", 50);
    let find = rawdoc! {"find": "c", "sort": {"_id": 1}, "batchSize": 10};
    let (mut ids, cursor) = batch(&through.run_ok("old", &find).unwrap());

    let mut socket = TcpStream::connect(rig.argon.addr()).unwrap();
    socket.set_read_timeout(Some(super::PATIENCE)).unwrap();
    let more = rawdoc! {"getMore": cursor, "collection": "c", "batchSize": 10, "$db": "old"};
    socket
        .write_all(&message(7, EXHAUST_ALLOWED, &more))
        .unwrap();
    let mut answered = 7;
    loop {
        let (header, flags, body) = read(&mut socket);
        assert_eq!(header[2], answered, "each answers the one before");
        answered = header[1];
        ids.extend(batch(&body).0);
        if flags & 2 == 0 {
            break;
        }
    }
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    // The connection goes on.
    socket
        .write_all(&message(8, 0, &rawdoc! {"count": "c", "$db": "old"}))
        .unwrap();
    assert_eq!(read(&mut socket).2.get_i32("n").unwrap(), 50);
}

/// An OP_MSG with a checksum if the flags say so, put together here.
fn message(id: i32, flags: u32, body: &RawDocument) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = i32::try_from(21 + body.as_bytes().len()).unwrap();
    for number in [length, id, 0, 2013] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.push(0);
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// Length, id and the answered id of the next message, its flags and document.
fn read(socket: &mut TcpStream) -> ([i32; 3], u32, RawDocumentBuf) {
    let mut head = [0; 21];
    socket.read_exact(&mut head).unwrap();
    let number = |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let mut body = vec![0; usize::try_from(number(0)).unwrap() - head.len()];
    socket.read_exact(&mut body).unwrap();
    let header = [number(0), number(4), number(8)];
    let body = RawDocumentBuf::from_bytes(body).unwrap();
    (header, number(16).cast_unsigned(), body)
}

#[test]
fn unacknowledged_writes_are_run_before_the_next_command() {
    const MORE_TO_COME: u32 = 2;
    let rig = Rig::start("", &["--new-databases", "upstream"]);
    let mut socket = TcpStream::connect(rig.argon.addr()).unwrap();
    socket.set_read_timeout(Some(super::PATIENCE)).unwrap();
    for id in 0..50 {
        let insert = rawdoc! {
            "insert": "c", "documents": [{"_id": id}], "writeConcern": {"w": 0}, "$db": "shop",
        };
        socket
            .write_all(&message(2 * id + 1, MORE_TO_COME, &insert))
            .unwrap();
        socket
            .write_all(&message(
                2 * id + 2,
                0,
                &rawdoc! {"count": "c", "$db": "shop"},
            ))
            .unwrap();
        assert_eq!(read(&mut socket).2.get_i32("n").unwrap(), id + 1);
    }
}

#[test]
fn a_standalone_server_takes_a_drivers_writes() {
    let mongod = argon_testkit::mongod::Mongod::start(argon_testkit::mongod::Options {
        volatile: true,
        ..Default::default()
    })
    .unwrap();
    let uri = format!("mongodb://{}/", mongod.addr());
    let argon = super::before(&uri, &["--new-databases", "upstream"]);
    drive(async {
        // Retryable writes are on unless they are turned off.
        let client = mongodb::Client::with_uri_str(argon.uri()).await.unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        collection
            .insert_many((0..10).map(|id| doc! {"_id": id}))
            .await
            .unwrap();
        collection
            .update_one(doc! {"_id": 1}, doc! {"$set": {"a": 1}})
            .await
            .unwrap();
        collection.delete_one(doc! {"_id": 2}).await.unwrap();
        assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 9);
    });
}
