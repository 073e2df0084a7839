//! The protocol below the commands: handshakes old and new, streamed answers, and what closes a connection.
//!
//! Expectations are what mongod 6.0.5 was seen to do; specifications "MongoDB Handshake", "OP_MSG",
//! "Server Discovery And Monitoring".

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use argon_testkit::server::Argon;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document, doc, oid::ObjectId, rawdoc};
use futures::StreamExt as _;

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST_ALLOWED: u32 = 1 << 16;

/// Flags of an OP_REPLY.
const QUERY_FAILURE: u32 = 1 << 1;
const AWAIT_CAPABLE: u32 = 1 << 3;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn an_old_driver_is_greeted_with_op_reply() {
    let argon = start();
    let mut peer = Peer::connect(&argon);
    for (command, number_to_return) in [
        (rawdoc! {"isMaster": 1, "helloOk": true}, 1),
        (rawdoc! {"ismaster": 1, "helloOk": true}, -1),
        (
            rawdoc! {"$query": {"isMaster": 1, "helloOk": true}, "$readPreference": {"mode": "primary"}},
            -1,
        ),
    ] {
        let answer = peer.query("admin.$cmd", 0, number_to_return, &command);
        assert_eq!((answer.op_code, answer.flags), (OP_REPLY, AWAIT_CAPABLE));
        assert!(answer.body.get_bool("ismaster").unwrap());
        assert!(answer.body.get_bool("helloOk").unwrap());
        assert_eq!(answer.body.get_str("msg").unwrap(), "isdbgrid");
    }
    let answer = peer.query("shop.$cmd", 0, -1, &rawdoc! {"buildinfo": 1});
    assert_eq!(answer.body.get_str("version").unwrap(), "6.0.5");
}

#[test]
fn legacy_queries_are_refused() {
    let argon = start();
    let mut peer = Peer::connect(&argon);
    let hello = rawdoc! {"hello": 1};
    for (flags, number_to_return, command, code) in [
        (0, -1, rawdoc! {"ping": 1}, 352),
        (0, 2, hello.clone(), 16979),
        (0, 0, hello.clone(), 16979),
        (1 << 6, -1, hello.clone(), 18527),
    ] {
        let answer = peer.query("admin.$cmd", flags, number_to_return, &command);
        assert_eq!(answer.flags, AWAIT_CAPABLE);
        assert_eq!(answer.body.get_i32("code").unwrap(), code);
    }
    let answer = peer.query("shop.c", 0, -1, &hello);
    assert_eq!(answer.flags, QUERY_FAILURE);
    assert_eq!(answer.body.get_i32("code").unwrap(), 5_739_101);
    assert!(answer.body.get_str("$err").is_ok());
}

#[test]
fn client_metadata_comes_once_and_well_formed() {
    let argon = start();
    let driver = || rawdoc! {"name": "test", "version": "1"};
    let client = || rawdoc! {"driver": driver(), "os": {"type": "Linux"}};
    let hello = |client: RawDocumentBuf| rawdoc! {"hello": 1, "client": client, "$db": "admin"};

    let mut peer = Peer::connect(&argon);
    assert_eq!(peer.msg(&hello(rawdoc! {"driver": driver()})).code(), 183);
    assert_eq!(
        peer.msg(&hello(rawdoc! {"driver": 1, "os": {"type": "Linux"}}))
            .code(),
        14
    );
    let long = rawdoc! {"application": {"name": "x".repeat(129)}, "driver": driver(), "os": {"type": "Linux"}};
    assert_eq!(peer.msg(&hello(long)).code(), 184);
    let large = rawdoc! {"driver": driver(), "os": {"type": "Linux"}, "platform": "x".repeat(512)};
    assert_eq!(peer.msg(&hello(large)).code(), 185);
    // A failed one does not count.
    assert_eq!(peer.msg(&hello(client())).code(), 0);
    assert_eq!(peer.msg(&hello(client())).code(), 186);

    let mut peer = Peer::connect(&argon);
    assert_eq!(peer.msg(&rawdoc! {"hello": 1, "$db": "admin"}).code(), 0);
    assert_eq!(peer.msg(&hello(client())).code(), 186);
}

#[test]
fn an_awaited_hello_waits_and_a_streamed_one_goes_on_until_the_server_stops() {
    let mut argon = start();
    let mut peer = Peer::connect(&argon);
    let (process, counter) = peer
        .msg(&rawdoc! {"hello": 1, "$db": "admin"})
        .topology_version();
    let awaiting = |process: ObjectId, counter: i64, wait_ms: i32| {
        rawdoc! {
            "hello": 1, "maxAwaitTimeMS": wait_ms, "$db": "admin",
            "topologyVersion": {"processId": process, "counter": counter},
        }
    };

    let asked = Instant::now();
    assert_eq!(peer.msg(&awaiting(process, counter, 150)).code(), 0);
    assert!(asked.elapsed() >= Duration::from_millis(150));
    let asked = Instant::now();
    assert_eq!(
        peer.msg(&awaiting(ObjectId::new(), counter, 15_000)).code(),
        0
    );
    assert_eq!(
        peer.msg(&awaiting(process, counter + 1, 15_000)).code(),
        51764
    );
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "neither may wait"
    );

    let mut to = peer.send(
        OP_MSG,
        0,
        &op_msg(EXHAUST_ALLOWED, &awaiting(process, counter, 100)),
    );
    for _ in 0..3 {
        let answer = peer.receive().unwrap();
        assert_eq!(answer.response_to, to);
        assert_eq!(answer.flags, MORE_TO_COME);
        to = answer.request_id;
    }

    // The end is an answer too: an error, after which nothing comes.
    let stopping = std::thread::spawn(move || argon.stop());
    let last = loop {
        let answer = peer.receive().unwrap();
        assert_eq!(answer.response_to, to);
        to = answer.request_id;
        if answer.flags & MORE_TO_COME == 0 {
            break answer;
        }
    };
    assert_eq!(last.code(), 91);
    assert!(peer.receive().is_none());
    stopping.join().unwrap().unwrap();
}

#[test]
fn an_answer_nobody_asked_for_closes_the_connection() {
    let argon = start();
    let ping = op_msg(0, &rawdoc! {"ping": 1, "$db": "admin"});
    let mut peer = Peer::connect(&argon);
    peer.send(OP_MSG, 7, &ping);
    assert!(peer.receive().is_none());
}

#[test]
fn a_field_cannot_be_in_the_body_and_beside_it() {
    let argon = start();
    let mut peer = Peer::connect(&argon);
    let document = rawdoc! {"_id": 1};
    let body = rawdoc! {"insert": "c", "documents": [document.clone()], "$db": "shop"};
    let mut message = op_msg(0, &body);
    let size = i32::try_from(4 + b"documents\0".len() + document.as_bytes().len()).unwrap();
    message.push(1);
    message.extend_from_slice(&size.to_le_bytes());
    message.extend_from_slice(b"documents\0");
    message.extend_from_slice(document.as_bytes());
    peer.send(OP_MSG, 0, &message);
    assert_eq!(peer.receive().unwrap().code(), 40433);
}

#[test]
fn a_checksum_is_answered_with_a_checksum() {
    let argon = start();
    let mut peer = Peer::connect(&argon);
    for (section, code) in [
        (section(&rawdoc! {"ping": 1, "$db": "admin"}), 0),
        (
            section(&rawdoc! {"ping": 1, "colour": "red", "$db": "admin"}),
            40415,
        ),
        // Refused by the codec already: a section of no known kind.
        (vec![9], 40432),
    ] {
        let mut message = CHECKSUM_PRESENT.to_le_bytes().to_vec();
        message.extend_from_slice(&section);
        // The checksum covers the header, so the whole message is put together here.
        let length = i32::try_from(16 + message.len() + 4).unwrap();
        let mut whole = Vec::new();
        for number in [length, 1, 0, OP_MSG] {
            whole.extend_from_slice(&number.to_le_bytes());
        }
        whole.extend_from_slice(&message);
        let checksum = crc32c::crc32c(&whole);
        whole.extend_from_slice(&checksum.to_le_bytes());
        peer.stream.write_all(&whole).unwrap();
        let answer = peer.receive().unwrap();
        assert_eq!(answer.code(), code);
        assert_eq!(answer.flags, CHECKSUM_PRESENT);
        let (covered, checksum) = answer.whole.split_at(answer.whole.len() - 4);
        assert_eq!(crc32c::crc32c(covered).to_le_bytes(), checksum);
    }
}

#[test]
fn a_driver_behind_a_load_balancer_is_told_which_server_it_has() {
    let argon = start();
    let mut client = argon.connect().unwrap();
    let hello = client.run_ok("admin", &rawdoc! {"hello": 1}).unwrap();
    assert!(hello.get("serviceId").unwrap().is_none());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // It refuses a server that does not say which one it is.
        let uri = format!("{}?loadBalanced=true", argon.uri());
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        let documents = (0..300).map(|id| doc! {"_id": id});
        collection.insert_many(documents).await.unwrap();
        let cursor = collection.find(doc! {}).batch_size(50).await.unwrap();
        assert_eq!(cursor.count().await, 300);
    });
}

fn start() -> Argon {
    Argon::start(Path::new(env!("CARGO_BIN_EXE_argon"))).unwrap()
}

fn section(body: &RawDocument) -> Vec<u8> {
    let mut section = vec![0];
    section.extend_from_slice(body.as_bytes());
    section
}

fn op_msg(flags: u32, body: &RawDocument) -> Vec<u8> {
    let mut message = flags.to_le_bytes().to_vec();
    message.extend_from_slice(&section(body));
    message
}

/// One connection that is spoken over byte by byte.
struct Peer {
    stream: TcpStream,
    last_request_id: i32,
}

struct Answer {
    request_id: i32,
    response_to: i32,
    op_code: i32,
    flags: u32,
    body: RawDocumentBuf,
    whole: Vec<u8>,
}

impl Answer {
    /// The error's code, 0 for success.
    fn code(&self) -> i32 {
        if self.body.get_f64("ok").unwrap() == 1.0 {
            return 0;
        }
        self.body.get_i32("code").unwrap()
    }

    fn topology_version(&self) -> (ObjectId, i64) {
        let version = self.body.get_document("topologyVersion").unwrap();
        let process = version.get_object_id("processId").unwrap();
        (process, version.get_i64("counter").unwrap())
    }
}

impl Peer {
    fn connect(argon: &Argon) -> Peer {
        let stream = TcpStream::connect(argon.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer {
            stream,
            last_request_id: 0,
        }
    }

    /// Sends a message and gives its request id.
    fn send(&mut self, op_code: i32, response_to: i32, content: &[u8]) -> i32 {
        self.last_request_id += 1;
        let length = i32::try_from(16 + content.len()).unwrap();
        let mut message = Vec::new();
        for number in [length, self.last_request_id, response_to, op_code] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.extend_from_slice(content);
        self.stream.write_all(&message).unwrap();
        self.last_request_id
    }

    fn msg(&mut self, body: &RawDocument) -> Answer {
        let id = self.send(OP_MSG, 0, &op_msg(0, body));
        let answer = self.receive().unwrap();
        assert_eq!((answer.response_to, answer.op_code), (id, OP_MSG));
        answer
    }

    fn query(
        &mut self,
        name: &str,
        flags: i32,
        number_to_return: i32,
        body: &RawDocument,
    ) -> Answer {
        let mut query = flags.to_le_bytes().to_vec();
        query.extend_from_slice(name.as_bytes());
        query.push(0);
        query.extend_from_slice(&0_i32.to_le_bytes());
        query.extend_from_slice(&number_to_return.to_le_bytes());
        query.extend_from_slice(body.as_bytes());
        let id = self.send(OP_QUERY, 0, &query);
        let answer = self.receive().unwrap();
        assert_eq!((answer.response_to, answer.op_code), (id, OP_REPLY));
        answer
    }

    /// The next message; `None` once the server has closed the connection.
    fn receive(&mut self) -> Option<Answer> {
        let mut header = [0; 16];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                return None;
            }
            Err(error) => panic!("{error}"),
        }
        let number =
            |bytes: &[u8], at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = usize::try_from(number(&header, 0)).unwrap();
        let mut whole = header.to_vec();
        whole.resize(length, 0);
        self.stream.read_exact(&mut whole[16..]).unwrap();
        let op_code = number(&whole, 12);
        let start = if op_code == OP_REPLY { 36 } else { 21 };
        let end = start + usize::try_from(number(&whole, start)).unwrap();
        Some(Answer {
            request_id: number(&whole, 4),
            response_to: number(&whole, 8),
            op_code,
            flags: u32::from_le_bytes(whole[16..20].try_into().unwrap()),
            body: RawDocument::from_bytes(&whole[start..end])
                .unwrap()
                .to_owned(),
            whole,
        })
    }
}
