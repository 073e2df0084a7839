//! Bytes that no driver sends: the server answers with an error or closes the connection.
//!
//! It never crashes, never leaves the sender waiting, and never holds memory for what was only
//! announced. Each message goes over a connection of its own, whose sending side is then closed:
//! whatever the server makes of it, it must end the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use argon_testkit::server::Argon;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const OP_REPLY: i32 = 1;
const OP_UPDATE: i32 = 2001;
const OP_QUERY: i32 = 2004;
const OP_COMPRESSED: i32 = 2012;
const OP_MSG: i32 = 2013;

const CHECKSUM_PRESENT: u32 = 1;
const HEADER_BYTES: usize = 16;
/// MongoDB manual, "hello": `maxMessageSizeBytes`.
const MESSAGE_BYTES_MAX: i32 = 48_000_000;
const DEPTH: usize = 10_000;
/// How long the server may take to end a connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much more memory the server may hold after all of this.
const GROWTH_BYTES_MAX: u64 = 200 * 1024 * 1024;
const RANDOM_MESSAGES: usize = 1_000;
const STALLED_CONNECTIONS: usize = 100;

#[test]
fn frames() {
    let mut server = Server::start();
    for bytes in [
        &b""[..],
        &[1],
        &[0; 10],
        &[0; 15],
        &[0; 16],
        &[0xFF; 16],
        &[0xFF; 4096],
    ] {
        server.survives("raw bytes", bytes);
    }
    let ping = op_msg(0, &body(&rawdoc! {"ping": 1, "$db": "admin"}));
    for length in [
        i32::MIN,
        -1,
        0,
        1,
        15,
        16,
        20,
        MESSAGE_BYTES_MAX + 1,
        i32::MAX,
    ] {
        let mut message = ping.clone();
        message[..4].copy_from_slice(&length.to_le_bytes());
        server.survives(&format!("length {length}"), &message);
    }
    for end in 0..ping.len() {
        server.survives(&format!("{end} bytes of a ping"), &ping[..end]);
    }
    for opcode in [
        i32::MIN,
        -1,
        0,
        OP_REPLY,
        OP_UPDATE,
        2002,
        2005,
        2006,
        2007,
        9999,
        i32::MAX,
    ] {
        server.survives(
            &format!("opcode {opcode}"),
            &message(opcode, &ping[HEADER_BYTES..]),
        );
    }
    let answer = server.survives("a good ping", &ping);
    assert!(
        reply(&answer).get("ok").unwrap().is_some(),
        "a ping is still answered"
    );
}

#[test]
fn sections() {
    let mut server = Server::start();
    let ping = body(&rawdoc! {"ping": 1, "$db": "admin"});
    let insert = body(&rawdoc! {"insert": "c", "$db": "malformed"});
    let documents = |length: i32, identifier: &[u8], payload: &[u8]| {
        [&[1][..], &length.to_le_bytes(), identifier, payload].concat()
    };
    let document = rawdoc! {"_id": 1}.into_bytes();
    for (name, sections) in [
        ("no section", Vec::new()),
        ("two bodies", [&ping[..], &ping].concat()),
        ("section kind 7", [&[7][..], &ping[1..]].concat()),
        ("only a sequence", documents(18, b"documents\0", b"")),
        (
            "sequence of length 0",
            [&insert[..], &documents(0, b"documents\0", b"")].concat(),
        ),
        (
            "negative sequence",
            [&insert[..], &documents(-5, b"documents\0", &document)].concat(),
        ),
        (
            "huge sequence",
            [&insert[..], &documents(i32::MAX, b"documents\0", b"")].concat(),
        ),
        (
            "no identifier",
            [&insert[..], &documents(13, b"documents", b"")].concat(),
        ),
        (
            "bad identifier",
            [&insert[..], &documents(8, b"\xFF\xFE\xFD\0", b"")].concat(),
        ),
        (
            "half a document",
            [&insert[..], &documents(17, b"documents\0", &document[..3])].concat(),
        ),
        ("sequence twice", {
            let sequence = documents(14 + 14, b"documents\0", &document);
            [&insert[..], &sequence, &sequence].concat()
        }),
    ] {
        server.survives(name, &op_msg(0, &sections));
    }
    for flag in 0..32 {
        server.survives(&format!("flag bit {flag}"), &op_msg(1 << flag, &ping));
    }
}

#[test]
fn checksums() {
    let mut server = Server::start();
    let ping = body(&rawdoc! {"ping": 1, "$db": "admin"});
    let mut message = op_msg(CHECKSUM_PRESENT, &[&ping[..], &[0; 4]].concat());
    server.survives("checksum 0", &message);
    let end = message.len() - 4;
    let checksum = crc32c::crc32c(&message[..end]);
    message[end..].copy_from_slice(&(checksum ^ 1).to_le_bytes());
    let answer = server.survives("one wrong bit", &message);
    assert!(answer.is_empty() || reply(&answer).get_f64("ok").unwrap() == 0.0);
    message[end..].copy_from_slice(&checksum.to_le_bytes());
    let answer = server.survives("the right checksum", &message);
    assert!(reply(&answer).get_f64("ok").unwrap() == 1.0);
}

#[test]
fn compression() {
    let mut server = Server::start();
    let ping = op_msg(0, &body(&rawdoc! {"ping": 1, "$db": "admin"}));
    let payload = &ping[HEADER_BYTES..];
    let length = i32::try_from(payload.len()).unwrap();
    let compressed = |opcode: i32, size: i32, compressor: u8, payload: &[u8]| {
        let head = [
            &opcode.to_le_bytes()[..],
            &size.to_le_bytes(),
            &[compressor],
        ]
        .concat();
        message(OP_COMPRESSED, &[&head, payload].concat())
    };
    for compressor in 0..=4 {
        for size in [i32::MIN, -1, 0, 1, length, MESSAGE_BYTES_MAX + 1, i32::MAX] {
            let name = format!("compressor {compressor}, size {size}");
            server.survives(&name, &compressed(OP_MSG, size, compressor, payload));
            server.survives(&name, &compressed(OP_COMPRESSED, size, compressor, payload));
            server.survives(&name, &compressed(OP_MSG, size, compressor, b""));
        }
    }
    // zlib's stream of a million zeros takes a thousand bytes, and claims to be a ping.
    let bomb = [&[0x78, 0x9C, 0xED, 0xC1][..], &[0; 1000]].concat();
    server.survives("a bomb", &compressed(OP_MSG, length, 2, &bomb));
}

#[test]
fn op_query() {
    let mut server = Server::start();
    let query = |name: &[u8], skip: i32, count: i32, document: &[u8]| {
        let numbers = [&skip.to_le_bytes()[..], &count.to_le_bytes()].concat();
        message(OP_QUERY, &[&[0; 4][..], name, &numbers, document].concat())
    };
    let hello = rawdoc! {"isMaster": 1}.into_bytes();
    for (name, bytes) in [
        ("no terminator", query(b"admin.$cmd", 0, -1, &hello)),
        ("empty name", query(b"\0", 0, -1, &hello)),
        ("no dot", query(b"admin\0", 0, -1, &hello)),
        ("not UTF-8", query(b"\xFF\xFE.$cmd\0", 0, -1, &hello)),
        ("a query", query(b"admin.c\0", 0, 10, &hello)),
        (
            "odd numbers",
            query(b"admin.$cmd\0", i32::MIN, i32::MAX, &hello),
        ),
        ("no document", query(b"admin.$cmd\0", 0, -1, b"")),
        (
            "half a document",
            query(b"admin.$cmd\0", 0, -1, &hello[..7]),
        ),
        (
            "an empty document",
            query(b"admin.$cmd\0", 0, -1, b"\x05\0\0\0\0"),
        ),
        ("$query of a number", {
            query(b"admin.$cmd\0", 0, -1, rawdoc! {"$query": 1}.as_bytes())
        }),
    ] {
        server.survives(name, &bytes);
    }
    let answer = server.survives("hello", &query(b"admin.$cmd\0", 0, -1, &hello));
    assert!(!answer.is_empty(), "a legacy hello is still answered");
}

#[test]
fn nesting() {
    let mut server = Server::start();
    for (name, deep) in [("documents", nested(0x03)), ("arrays", nested(0x04))] {
        let commands: [(&str, &RawDocument, &str); 6] = [
            ("ping", &rawdoc! {"ping": 1}, "x"),
            ("filter", &rawdoc! {"find": "c"}, "filter"),
            ("sort", &rawdoc! {"find": "c"}, "sort"),
            ("documents", &rawdoc! {"insert": "c"}, "documents"),
            (
                "pipeline",
                &rawdoc! {"aggregate": "c", "cursor": {}},
                "pipeline",
            ),
            ("updates", &rawdoc! {"update": "c"}, "updates"),
        ];
        for (command, document, field) in commands {
            let element = element(if name == "arrays" { 0x04 } else { 0x03 }, field, &deep);
            let whole = append(document, &[&element[..], &db("malformed")].concat());
            server.survives(
                &format!("{command} of {name}"),
                &op_msg(0, &body_bytes(&whole)),
            );
        }
    }
    let mut filter = rawdoc! {"a": 1};
    let mut expression = rawdoc! {"$abs": 1};
    for _ in 0..DEPTH {
        filter = rawdoc! {"$nor": [filter]};
        expression = rawdoc! {"$abs": expression};
    }
    let find = rawdoc! {"find": "c", "filter": filter, "$db": "malformed"};
    server.survives("$nor", &op_msg(0, &body(&find)));
    let pipeline = rawdoc! {"aggregate": "c", "pipeline": [{"$project": {"r": expression}}],
    "cursor": {}, "$db": "malformed"};
    server.survives("$abs", &op_msg(0, &body(&pipeline)));
}

#[test]
fn values() {
    let mut server = Server::start();
    let values: &[(&str, u8, &[u8])] = &[
        ("type 0x20", 0x20, b""),
        ("type 0x00", 0x00, b""),
        ("type 0x80", 0x80, b"\x01\0\0\0"),
        ("half a double", 0x01, b"\0\0\0"),
        ("string of length 0", 0x02, b"\0\0\0\0"),
        ("string of length -1", 0x02, b"\xFF\xFF\xFF\xFFa\0"),
        ("huge string", 0x02, b"\xFF\xFF\xFF\x7Fa\0"),
        ("string without end", 0x02, b"\x02\0\0\0ab"),
        ("string not UTF-8", 0x02, b"\x03\0\0\0\xC3\x28\0"),
        ("surrogate", 0x02, b"\x04\0\0\0\xED\xA0\x80\0"),
        ("document of length 0", 0x03, b"\0\0\0\0"),
        ("document of length 4", 0x03, b"\x04\0\0\0"),
        ("document of length -1", 0x03, b"\xFF\xFF\xFF\xFF\0"),
        ("huge document", 0x03, b"\xFF\xFF\xFF\x7F\0"),
        ("document without end", 0x03, b"\x05\0\0\0\x01"),
        (
            "array with odd keys",
            0x04,
            b"\x0C\0\0\0\x10x\0\x01\0\0\0\0",
        ),
        ("array of length 1", 0x04, b"\x01\0\0\0\0"),
        ("binary of length -1", 0x05, b"\xFF\xFF\xFF\xFF\0"),
        ("huge binary", 0x05, b"\xFF\xFF\xFF\x7F\0"),
        (
            "old binary, wrong inside",
            0x05,
            b"\x04\0\0\0\x02\xFF\xFF\xFF\x7F",
        ),
        ("old binary, too short", 0x05, b"\x01\0\0\0\x02\0"),
        ("half an id", 0x07, b"\0\0\0"),
        ("boolean 2", 0x08, b"\x02"),
        ("no boolean", 0x08, b""),
        ("half a date", 0x09, b"\0\0"),
        ("regex without end", 0x0B, b"abc"),
        ("regex of one string", 0x0B, b"abc\0"),
        ("regex not UTF-8", 0x0B, b"\xFF\0\xFE\0"),
        ("pointer without id", 0x0C, b"\x02\0\0\0a\0"),
        ("code of length 0", 0x0D, b"\0\0\0\0"),
        ("symbol without end", 0x0E, b"\x02\0\0\0ab"),
        ("scope of length 0", 0x0F, b"\0\0\0\0"),
        (
            "scope too long",
            0x0F,
            b"\xFF\0\0\0\x02\0\0\0a\0\x05\0\0\0\0",
        ),
        (
            "scope too short",
            0x0F,
            b"\x08\0\0\0\x02\0\0\0a\0\x05\0\0\0\0",
        ),
        ("half an integer", 0x10, b"\0"),
        ("half a decimal", 0x13, b"\0\0\0\0\0\0\0\0"),
    ];
    for (name, kind, value) in values {
        let bad = element(*kind, "v", value);
        for (place, command) in [
            ("ping", append(&rawdoc! {"ping": 1}, &bad)),
            (
                "insert",
                with_inner(&rawdoc! {"insert": "c"}, "documents", &bad),
            ),
            (
                "delete",
                with_inner(&rawdoc! {"delete": "c"}, "deletes", &bad),
            ),
        ] {
            let whole = append_bytes(&command, &db("malformed"));
            server.survives(&format!("{place}: {name}"), &op_msg(0, &body_bytes(&whole)));
        }
    }
    let name_not_utf8 = element(0x10, "v", &1_i32.to_le_bytes());
    let name_not_utf8: Vec<u8> = name_not_utf8
        .iter()
        .map(|byte| if *byte == b'v' { 0xFF } else { *byte })
        .collect();
    let whole = append(
        &RawDocumentBuf::new(),
        &[&name_not_utf8[..], &db("admin")].concat(),
    );
    server.survives(
        "a command that is not UTF-8",
        &op_msg(0, &body_bytes(&whole)),
    );
}

#[test]
fn stalled_senders_cost_nothing() {
    let server = Server::start();
    let before = server.argon.resident_bytes().unwrap();
    let mut stalled = Vec::new();
    for _ in 0..STALLED_CONNECTIONS {
        let mut stream = TcpStream::connect(server.argon.addr()).unwrap();
        let mut message = op_msg(0, &body(&rawdoc! {"ping": 1, "$db": "admin"}));
        message[..4].copy_from_slice(&MESSAGE_BYTES_MAX.to_le_bytes());
        stream.write_all(&message).unwrap();
        stalled.push(stream);
    }
    server.pings("while others stall");
    let growth = server
        .argon
        .resident_bytes()
        .unwrap()
        .saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "{growth} bytes held for {STALLED_CONNECTIONS} promises"
    );
}

#[test]
fn random_damage() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start();
    let good = [
        op_msg(
            0,
            &body(&rawdoc! {"find": "c", "filter": {"a": {"$in": [1, "x"]}}, "$db": "m"}),
        ),
        op_msg(
            0,
            &body(&rawdoc! {"insert": "c", "documents": [{"a": [1, 2]}], "$db": "m"}),
        ),
        op_msg(
            0,
            &body(&rawdoc! {"update": "c", "updates": [
            {"q": {"a": 1}, "u": {"$set": {"b": "x"}}, "upsert": true}], "$db": "m"}),
        ),
        op_msg(
            0,
            &body(&rawdoc! {"aggregate": "c", "pipeline": [
            {"$group": {"_id": "$a", "n": {"$sum": 1}}}], "cursor": {}, "$db": "m"}),
        ),
    ];
    for number in 0..RANDOM_MESSAGES {
        let mut bytes = good[random.random_range(0..good.len())].clone();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(HEADER_BYTES..bytes.len());
            bytes[at] = random.random();
        }
        server.sends(&format!("seed {seed}, message {number}"), &bytes);
    }
    server.pings(&format!("seed {seed}"));
}

/// A server that must be as healthy at the end as it was at the start.
struct Server {
    argon: Argon,
    resident_bytes: u64,
}

impl Server {
    fn start() -> Self {
        let argon = Argon::start(Path::new(env!("CARGO_BIN_EXE_argon"))).unwrap();
        let resident_bytes = argon.resident_bytes().unwrap();
        let server = Self {
            argon,
            resident_bytes,
        };
        server.pings("at the start");
        server
    }

    /// Sends `bytes`, returns the answer, and checks that others are still served.
    fn survives(&mut self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let answer = self.sends(name, bytes);
        self.pings(name);
        answer
    }

    /// Sends `bytes`, waits for the end of the connection, and returns what came before it.
    fn sends(&mut self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let answer = exchange(self.argon.addr(), bytes)
            .unwrap_or_else(|error| panic!("{name}: {error}; {}", self.argon.log_tail()));
        let running = self.argon.is_running().unwrap();
        assert!(
            running,
            "{name}: the server ended: {}",
            self.argon.log_tail()
        );
        answer
    }

    fn pings(&self, name: &str) {
        let ping = rawdoc! {"ping": 1};
        let reply = self
            .argon
            .connect()
            .and_then(|mut client| client.run_ok("admin", &ping));
        assert!(
            reply.is_ok(),
            "after {name}: {reply:?}; {}",
            self.argon.log_tail()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let growth = self
            .argon
            .resident_bytes()
            .unwrap()
            .saturating_sub(self.resident_bytes);
        assert!(
            growth < GROWTH_BYTES_MAX,
            "the server holds {growth} bytes more than before"
        );
        self.argon.stop().unwrap();
    }
}

/// Sends all of `bytes`, ends the sending side, and reads to the end of the connection.
fn exchange(addr: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    // The server may close at the first bad byte, before it has read the rest.
    let closed = |error: &std::io::Error| {
        matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ) || error.kind() == ErrorKind::NotConnected
    };
    let sent = stream
        .write_all(bytes)
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let read = stream.read_to_end(&mut answer).map(drop);
    for result in [sent, read] {
        match result {
            Err(error) if !closed(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(answer)
}

/// Returns the body of the OP_MSG at the start of `answer`.
fn reply(answer: &[u8]) -> RawDocumentBuf {
    let start = HEADER_BYTES + 5;
    assert!(answer.len() > start, "no answer");
    let length = i32::from_le_bytes(answer[start..start + 4].try_into().unwrap());
    let end = start + usize::try_from(length).unwrap();
    RawDocumentBuf::from_bytes(answer[start..end].to_vec()).unwrap()
}

fn message(opcode: i32, payload: &[u8]) -> Vec<u8> {
    let length = i32::try_from(HEADER_BYTES + payload.len()).unwrap();
    let header = [length, 1, 0, opcode].map(i32::to_le_bytes).concat();
    [&header[..], payload].concat()
}

fn op_msg(flags: u32, sections: &[u8]) -> Vec<u8> {
    message(OP_MSG, &[&flags.to_le_bytes()[..], sections].concat())
}

fn body(document: &RawDocument) -> Vec<u8> {
    body_bytes(document.as_bytes())
}

fn body_bytes(document: &[u8]) -> Vec<u8> {
    [&[0][..], document].concat()
}

/// One element of a document, whatever its value.
fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind][..], name.as_bytes(), &[0], value].concat()
}

fn db(name: &str) -> Vec<u8> {
    let length = i32::try_from(name.len() + 1).unwrap();
    element(
        0x02,
        "$db",
        &[&length.to_le_bytes()[..], name.as_bytes(), &[0]].concat(),
    )
}

fn append(document: &RawDocument, elements: &[u8]) -> Vec<u8> {
    append_bytes(document.as_bytes(), elements)
}

/// A document with `elements` at its end and the length that belongs to them.
fn append_bytes(document: &[u8], elements: &[u8]) -> Vec<u8> {
    let inside = &document[4..document.len() - 1];
    let length = i32::try_from(document.len() + elements.len()).unwrap();
    [&length.to_le_bytes()[..], inside, elements, &[0]].concat()
}

/// A command whose array `field` holds one document with the single element `bad`.
fn with_inner(command: &RawDocument, field: &str, bad: &[u8]) -> Vec<u8> {
    let inner = append(&RawDocumentBuf::new(), bad);
    let array = append(&RawDocumentBuf::new(), &element(0x03, "0", &inner));
    append(command, &element(0x04, field, &array))
}

/// A document or array, [`DEPTH`] times inside itself.
fn nested(kind: u8) -> Vec<u8> {
    let mut inner = RawDocumentBuf::new().into_bytes();
    for _ in 0..DEPTH {
        inner = append(&RawDocumentBuf::new(), &element(kind, "0", &inner));
    }
    inner
}
