//! Messages that are not as they should be, and what mongod 6.0.5 did with them.

use argon_wire::{Compressor, compress};
use bson::{RawDocumentBuf, rawdoc};

use Outcome::{Answers, Closes, Served, Silent, Varies, Waits};

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The codec takes it; the command answers, with an error perhaps.
    Served,
    /// An error with this code, and the next message is read.
    Answers(i32),
    /// No answer, because none is wanted, and the next message is read.
    Silent,
    /// No answer, because the message is not all there.
    Waits,
    /// The connection is closed.
    Closes,
    /// Not the same each time.
    Varies,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) mongod: Outcome,
    /// What we do, and why, where it is something else.
    pub(super) differs: Option<(Outcome, &'static str)>,
}

pub(super) fn ping() -> RawDocumentBuf {
    rawdoc! { "ping": 1, "$db": "admin" }
}

/// A message with a header that fits.
fn frame(op_code: i32, parts: &[&[u8]]) -> Vec<u8> {
    let rest = parts.concat();
    let length = i32::try_from(16 + rest.len()).unwrap();
    let mut bytes = Vec::new();
    for field in [length, 7, 0, op_code] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(rest);
    bytes
}

fn msg(flags: u32, parts: &[&[u8]]) -> Vec<u8> {
    frame(2013, &[&flags.to_le_bytes(), &parts.concat()])
}

/// An OP_MSG with a checksum, right or not.
fn checked(flags: u32, parts: &[&[u8]], good: bool) -> Vec<u8> {
    let mut bytes = msg(flags | 1, &[&parts.concat(), &[0; 4]]);
    let end = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..end]) ^ u32::from(!good);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn with_length(length: i32) -> Vec<u8> {
    let mut bytes = msg(0, &[&body(&ping())]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn body(document: &RawDocumentBuf) -> Vec<u8> {
    [&[0], document.as_bytes()].concat()
}

/// A section of kind 1 which says it has `size` bytes, or as many as it has.
fn sequence(name: &[u8], documents: &[u8], size: Option<i32>) -> Vec<u8> {
    let rest = [name, &[0], documents].concat();
    let size = size.unwrap_or_else(|| i32::try_from(4 + rest.len()).unwrap());
    [&[1], &size.to_le_bytes()[..], &rest].concat()
}

fn document(length: i32, rest: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), rest].concat()
}

fn query(namespace: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let numbers = [&0_i32.to_le_bytes()[..], &(-1_i32).to_le_bytes()].concat();
    frame(2004, &[&[0; 4], namespace, &numbers, &rest.concat()])
}

/// An OP_COMPRESSED message with the claim off by `off`.
fn compressed(plain: &[u8], compressor: Compressor, off: i32) -> Vec<u8> {
    let mut out = Vec::new();
    compress(plain, compressor, &mut out).unwrap();
    let claim = i32::from_le_bytes(out[20..24].try_into().unwrap()) + off;
    out[20..24].copy_from_slice(&claim.to_le_bytes());
    out
}

pub(super) fn cases() -> Vec<Case> {
    [
        msg_cases(),
        section_cases(),
        length_cases(),
        legacy_cases(),
        compressed_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn case(name: &'static str, bytes: Vec<u8>, mongod: Outcome) -> Case {
    Case {
        name,
        bytes,
        mongod,
        differs: None,
    }
}

impl Case {
    fn differs(mut self, ours: Outcome, reason: &'static str) -> Self {
        self.differs = Some((ours, reason));
        self
    }
}

fn msg_cases() -> Vec<Case> {
    let ping = body(&ping());
    let twice = ping.repeat(2);
    vec![
        case("ping", msg(0, &[&ping]), Served),
        case("checksum", checked(0, &[&ping], true), Served),
        case("checksum, bad", checked(0, &[&ping], false), Closes),
        case(
            "checksum, bad, after a bad section",
            checked(0, &[&twice], false),
            Answers(40430),
        ),
        case(
            "checksum, good, after a bad section",
            checked(0, &[&twice], true),
            Answers(40430),
        ),
        case("checksum, no room for it", msg(1, &[]), Answers(51252)),
        case(
            "checksum, room for a part",
            msg(1, &[b"abc"]),
            Answers(51252),
        ),
        case(
            "checksum, room for nothing else",
            msg(1, &[b"abcd"]),
            Answers(51252),
        ),
        case(
            "checksum, taken from the body",
            msg(1, &[&ping]),
            Answers(22),
        ),
        case("flag 2, required", msg(1 << 2, &[&ping]), Closes),
        case("flag 15, required", msg(1 << 15, &[&ping]), Closes),
        case("flag 16, exhaustAllowed", msg(1 << 16, &[&ping]), Served),
        case("flag 17, optional", msg(1 << 17, &[&ping]), Served),
        case("flag 31, optional", msg(1 << 31, &[&ping]), Served),
        case("moreToCome", msg(2, &[&ping]), Silent),
        case("moreToCome, two bodies", msg(2, &[&twice]), Silent),
        case(
            "moreToCome, unknown required flag",
            msg(6, &[&ping]),
            Closes,
        ),
        case("no flags", frame(2013, &[]), Closes),
        case("half of the flags", frame(2013, &[&[0; 2]]), Closes),
        case(
            "request id negative",
            {
                let mut bytes = msg(0, &[&ping]);
                bytes[4..8].copy_from_slice(&(-55_i32).to_le_bytes());
                bytes
            },
            Served,
        ),
        case(
            "response to something",
            {
                let mut bytes = msg(0, &[&ping]);
                bytes[8..12].copy_from_slice(&55_i32.to_le_bytes());
                bytes
            },
            Closes,
        )
        .differs(Served, "the codec reads replies too: the server checks it"),
    ]
}

fn section_cases() -> Vec<Case> {
    let ping = body(&ping());
    let insert = body(&rawdoc! { "insert": "wire", "$db": "test" });
    let empty = rawdoc! {}.into_bytes();
    let document_of = |length, rest: &[u8]| msg(0, &[&[0], &document(length, rest)]);
    let bytes = |section: &[u8]| msg(0, &[&insert, section]);
    let sized = |size| bytes(&sequence(b"documents", &empty, Some(size)));
    let holding = |documents: &[u8]| bytes(&sequence(b"documents", documents, None));
    let named = |names: &str| {
        names
            .bytes()
            .flat_map(|n| sequence(&[n], &empty, None))
            .collect::<Vec<_>>()
    };
    let length = i32::try_from(ping.len() - 1).unwrap();
    vec![
        case("no section", msg(0, &[]), Answers(40587)),
        case(
            "no body",
            msg(0, &[&sequence(b"documents", &empty, None)]),
            Answers(40587),
        ),
        case("two bodies", msg(0, &[&ping, &ping]), Answers(40430)),
        case(
            "a body and one more byte",
            msg(0, &[&ping, &[0]]),
            Answers(40430),
        ),
        case("kind 2", msg(0, &[&ping, &[2], &empty]), Answers(13)),
        case("kind 9", msg(0, &[&ping, &[9], &empty]), Answers(40432)),
        case("kind 255", msg(0, &[&ping, &[255]]), Answers(40432)),
        case("body of length 0", document_of(0, &[0]), Answers(22)),
        case("body of length 4", document_of(4, &[0]), Answers(22)),
        case("body of length -1", document_of(-1, &[0]), Answers(22)),
        case("body without a length", msg(0, &[&[0, 5, 0]]), Answers(22)),
        case(
            "body too long by 1",
            document_of(length + 1, &ping[5..]),
            Answers(22),
        ),
        case("body not terminated", document_of(5, &[1]), Answers(22)),
        case("body of 16 MiB", msg(0, &[&body(&large(16 << 20))]), Served),
        case(
            "body of 16 MiB and 16 KiB",
            msg(0, &[&body(&large(16_793_600))]),
            Served,
        ),
        case(
            "body of a byte more",
            msg(0, &[&body(&large(16_793_601))]),
            Answers(10334),
        ),
        case(
            "sequence first",
            msg(0, &[&sequence(b"documents", &empty, None), &insert]),
            Served,
        ),
        case("sequence empty", holding(&[]), Served),
        case(
            "sequence unknown",
            bytes(&sequence(b"unknown", &empty, None)),
            Served,
        ),
        case(
            "sequence without a name",
            bytes(&sequence(b"", &empty, None)),
            Served,
        ),
        case(
            "sequence not UTF-8",
            bytes(&sequence(b"\xff\xfe", &empty, None)),
            Answers(40415),
        ),
        case(
            "sequence twice",
            bytes(&sequence(b"documents", &empty, None).repeat(2)),
            Answers(40431),
        ),
        case("sequence of size 0", sized(0), Answers(15)),
        case("sequence of size 4", sized(4), Answers(15)),
        case("sequence of size -5", sized(-5), Answers(15)),
        case("sequence of size 1000", sized(1000), Answers(15)),
        case("sequence of size 2147483647", sized(i32::MAX), Answers(15)),
        case("sequence without a size", bytes(&[1, 0, 0]), Answers(15)),
        case(
            "sequence name without end",
            bytes(b"\x01\x09\0\0\0aaaaa"),
            Answers(15),
        ),
        case(
            "sequence document too long",
            holding(&document(50, &[0])),
            Answers(22),
        ),
        case(
            "sequence document of length 4",
            holding(&document(4, &[])),
            Answers(22),
        ),
        case(
            "sequence document of length 0",
            holding(&document(0, &[0])),
            Answers(22),
        ),
        case(
            "sequence document not terminated",
            holding(&document(5, &[1])),
            Answers(22),
        ),
        case(
            "sequence with 3 bytes left",
            holding(&[&empty[..], &[5, 0, 0]].concat()),
            Answers(22),
        ),
        case(
            "sequence document too large",
            holding(large(16_793_601).as_bytes()),
            Answers(10334),
        ),
        case(
            "sequence of 100,000",
            holding(&empty.repeat(100_000)),
            Served,
        ),
        case(
            "sequence of 100,001",
            holding(&empty.repeat(100_001)),
            Answers(16),
        ),
        case(
            "sequences a b, kind 9",
            bytes(&[&named("ab")[..], &[9]].concat()),
            Answers(40432),
        ),
        case("sequences a b c", bytes(&named("abc")), Closes),
        case("sequences a b a", bytes(&named("aba")), Closes),
        case("sequences a a b", bytes(&named("aab")), Answers(40431)),
    ]
}

/// A document of this many bytes.
fn large(length: usize) -> RawDocumentBuf {
    let rest = rawdoc! { "ping": 1, "$db": "admin", "x": "" }
        .as_bytes()
        .len();
    rawdoc! { "ping": 1, "$db": "admin", "x": "a".repeat(length - rest) }
}

fn length_cases() -> Vec<Case> {
    let whole = msg(0, &[&body(&ping())]);
    vec![
        case("length 15", with_length(15), Closes),
        case("length 0", with_length(0), Closes),
        case("length 4", with_length(4), Closes),
        case("length -1", with_length(-1), Closes),
        case("length -2147483648", with_length(i32::MIN), Closes),
        case("length 48000001", with_length(48_000_001), Closes),
        case("length 2147483647", with_length(i32::MAX), Closes),
        case(
            "length 48000000 and no more bytes",
            with_length(48_000_000),
            Waits,
        ),
        case("half a message", whole[..30].to_vec(), Waits),
        case("half a header", whole[..10].to_vec(), Waits),
        case("half a length", whole[..3].to_vec(), Waits),
    ]
}

fn legacy_cases() -> Vec<Case> {
    let hello = rawdoc! { "isMaster": 1 }.into_bytes();
    let command = |rest: &[&[u8]]| query(b"admin.$cmd\0", rest);
    let unterminated = [&hello[..hello.len() - 1], &[1]].concat();
    vec![
        case("query isMaster", command(&[&hello]), Served),
        case(
            "query with a selector",
            command(&[&hello, &rawdoc! {}.into_bytes()]),
            Served,
        ),
        case(
            "query with 3 more bytes",
            command(&[&hello, &[1, 2, 3]]),
            Answers(22),
        ),
        case(
            "query document of length 4",
            command(&[&document(4, &[0])]),
            Answers(22),
        ),
        case(
            "query document too long",
            command(&[&document(100, &[0])]),
            Answers(22),
        ),
        case(
            "query document not terminated",
            command(&[&unterminated]),
            Answers(22),
        ),
        case(
            "query document too large",
            command(&[large(16_793_601).as_bytes()]),
            Answers(10334),
        ),
        case(
            "query namespace not UTF-8",
            query(b"adm\xff.$cmd\0", &[&hello]),
            Served,
        ),
        case("query namespace empty", query(b"\0", &[&hello]), Served),
        case("query of no bytes", frame(2004, &[]), Closes),
        case("query of 4 bytes", frame(2004, &[&[0; 4]]), Closes),
        case(
            "OP_REPLY",
            frame(1, &[&[0; 16], &1_i32.to_le_bytes(), &hello]),
            Closes,
        ),
        case(
            "OP_UPDATE",
            frame(2001, &[&[0; 4], b"t.c\0", &[0; 4], &hello, &hello]),
            Closes,
        ),
        case(
            "OP_INSERT",
            frame(2002, &[&[0; 4], b"t.c\0", &hello]),
            Closes,
        ),
        case(
            "OP_GET_MORE",
            frame(2005, &[&[0; 4], b"t.c\0", &[0; 12]]),
            Answers(5_739_101),
        ),
        case(
            "OP_DELETE",
            frame(2006, &[&[0; 4], b"t.c\0", &[0; 4], &hello]),
            Closes,
        ),
        case(
            "OP_KILL_CURSORS",
            frame(2007, &[&[0; 4], &1_i32.to_le_bytes(), &[9; 8]]),
            Closes,
        ),
        case("opcode 2014", frame(2014, &[&hello]), Closes),
        case("opcode -1", frame(-1, &[&hello]), Closes),
    ]
}

fn compressed_cases() -> Vec<Case> {
    use Compressor::{Noop, Snappy, Zlib, Zstd};
    let ping_body = body(&ping());
    let ping = msg(0, &[&ping_body]);
    let hello = query(b"admin.$cmd\0", &[&rawdoc! { "isMaster": 1 }.into_bytes()]);
    let raw = |size: i32, id: u8, rest: &[u8]| {
        frame(
            2012,
            &[&2013_i32.to_le_bytes(), &size.to_le_bytes(), &[id], rest],
        )
    };
    let zlib = |more: &[u8]| {
        let bytes = [&compressed(&ping, Zlib, 0)[16..], more].concat();
        frame(2012, &[&bytes])
    };
    let zstd = |more: &[u8]| {
        let bytes = [&compressed(&ping, Zstd, 0)[16..], more].concat();
        frame(2012, &[&bytes])
    };
    let nested = |inner: Vec<u8>| {
        // compress() refuses, so the kind inside is put in by hand.
        let mut outer = compressed(&[&ping[..16], &inner[16..]].concat(), Snappy, 0);
        outer[16..20].copy_from_slice(&2012_i32.to_le_bytes());
        outer
    };
    vec![
        case("snappy", compressed(&ping, Snappy, 0), Served),
        case("zlib", compressed(&ping, Zlib, 0), Served),
        case("zstd", compressed(&ping, Zstd, 0), Served),
        case("noop", compressed(&ping, Noop, 0), Closes).differs(
            Served,
            "the specification has it for tests, and it is never negotiated",
        ),
        case("compressor 4", raw(20, 4, b"whatever"), Closes),
        case("compressor 255", raw(20, 255, b"whatever"), Closes),
        case(
            "snappy, claims 1 more",
            compressed(&ping, Snappy, 1),
            Closes,
        ),
        case(
            "snappy, claims 1 less",
            compressed(&ping, Snappy, -1),
            Closes,
        ),
        case("zlib, claims 1 more", compressed(&ping, Zlib, 1), Varies)
            .differs(Closes, "mongod reads what was in its memory before"),
        case("zlib, claims 1 less", compressed(&ping, Zlib, -1), Closes),
        case("zlib, more bytes", zlib(b"xyz"), Served),
        case("zstd, claims 1 more", compressed(&ping, Zstd, 1), Closes),
        case("zstd, claims 1 less", compressed(&ping, Zstd, -1), Closes),
        case("zstd, more bytes", zstd(b"xyz"), Closes),
        case("snappy, claims 0", raw(0, 1, &[0]), Closes),
        case("snappy, claims -1", raw(-1, 1, b"whatever"), Closes),
        case(
            "snappy, claims 47999985",
            raw(47_999_985, 1, b"whatever"),
            Closes,
        ),
        case(
            "snappy, claims 2147483647",
            raw(i32::MAX, 1, b"whatever"),
            Closes,
        ),
        case("snappy, nothing", raw(20, 1, &[]), Closes),
        case("snappy, noise", raw(20, 1, &[255; 6]), Closes),
        case("zlib, noise", raw(20, 2, b"garbage"), Closes),
        case("zstd, noise", raw(20, 3, b"garbage garbage"), Closes),
        case("compressed, 8 bytes", frame(2012, &[&[1; 8]]), Closes),
        case("compressed, no bytes", frame(2012, &[]), Closes),
        case(
            "compressed twice",
            nested(compressed(&ping, Snappy, 0)),
            Silent,
        )
        .differs(
            Closes,
            "mongod never answers, and the client would wait for ever",
        ),
        case("compressed query", compressed(&hello, Snappy, 0), Served),
        case(
            "compressed, checksum",
            compressed(&checked(0, &[&ping_body], true), Zstd, 0),
            Served,
        ),
        case(
            "compressed, bad checksum",
            compressed(&checked(0, &[&ping_body], false), Snappy, 0),
            Closes,
        ),
        case(
            "compressed, moreToCome",
            compressed(&msg(2, &[&ping_body]), Snappy, 0),
            Silent,
        ),
        case(
            "compressed, two bodies",
            compressed(&msg(0, &[&ping_body.repeat(2)]), Zlib, 0),
            Answers(40430),
        ),
        case(
            "compressed, kind 2014",
            {
                let mut bytes = compressed(&ping, Snappy, 0);
                bytes[16..20].copy_from_slice(&2014_i32.to_le_bytes());
                bytes
            },
            Closes,
        ),
    ]
}
