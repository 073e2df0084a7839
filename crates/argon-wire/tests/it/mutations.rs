//! A fuzzer for every machine: valid messages, damaged in the ways that have broken decoders, always the same ones.

use argon_wire::{
    Compressor, Header, MsgFlags, MsgWriter, OpQuery, compress, encode_query, encode_reply,
};
use bson::rawdoc;

use crate::invariants::check;

const ROUNDS: usize = 300_000;
/// Compressed messages cost much more to decode.
const ROUNDS_COMPRESSED: usize = 30_000;

/// Lengths and numbers that sit on an edge of something.
const EDGES: [i32; 18] = [
    0,
    1,
    4,
    5,
    15,
    16,
    20,
    21,
    25,
    -1,
    -4,
    -5,
    0x7fff_ffff,
    -0x8000_0000,
    48_000_000,
    48_000_001,
    16_793_600,
    0x0100_0000,
];

/// Marsaglia's xorshift: enough for picking places, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

fn messages() -> Vec<Vec<u8>> {
    let header = Header {
        request_id: 7,
        response_to: 0,
    };
    let insert = rawdoc! { "insert": "c", "ordered": true, "$db": "shop~feature-x" };
    let documents = (0..4).map(|i| rawdoc! { "_id": i, "name": "something" }.into_bytes());
    let mut messages = Vec::new();
    for flags in [
        MsgFlags::NONE,
        MsgFlags::CHECKSUM_PRESENT,
        MsgFlags::MORE_TO_COME,
    ] {
        let mut out = Vec::new();
        let mut writer = MsgWriter::new(&mut out, header, flags);
        writer.sequence("documents", documents.clone());
        writer.body(insert.as_bytes());
        writer.sequence("more", documents.clone().take(1));
        writer.finish().unwrap();
        messages.push(out);
    }
    let query = OpQuery {
        flags: 4,
        full_collection_name: "admin.$cmd".into(),
        number_to_skip: 0,
        number_to_return: -1,
        query: rawdoc! { "isMaster": 1 }.into_bytes().into(),
        return_fields_selector: Some(rawdoc! { "a": 1 }.into_bytes().into()),
    };
    let mut out = Vec::new();
    encode_query(header, &query, &mut out).unwrap();
    messages.push(out);
    let mut out = Vec::new();
    encode_reply(header, 8, insert.as_bytes(), &mut out).unwrap();
    messages.push(out);
    messages
}

fn damage(random: &mut Random, message: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let at = random.below(message.len());
        match random.below(7) {
            0 => message[at] ^= 1 << random.below(8),
            1 => message[at] = random.byte(),
            2 | 3 => {
                let edge = EDGES[random.below(EDGES.len())];
                let near = edge.wrapping_add(i32::try_from(random.below(3)).unwrap() - 1);
                let end = message.len().min(at + 4);
                message[at..end].copy_from_slice(&near.to_le_bytes()[..end - at]);
            }
            4 => message.truncate(at + 1),
            5 => message.insert(at, random.byte()),
            _ => {
                let (from, length) = (random.below(message.len()), random.below(40));
                let part = message[from..message.len().min(from + length)].to_vec();
                message.splice(at..at, part);
            }
        }
    }
    // Mostly keep the frame whole, so that what is inside it gets looked at.
    if random.below(8) > 0 && message.len() >= 16 {
        let length = i32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_le_bytes());
    }
}

fn run(seed: u64, rounds: usize, messages: &[Vec<u8>]) {
    let mut random = Random(seed);
    let mut decoded = 0;
    for _ in 0..rounds {
        let mut message = messages[random.below(messages.len())].clone();
        damage(&mut random, &mut message);
        decoded += check(&message);
    }
    // Noise that is turned away at the door would test nothing.
    assert!(decoded > rounds / 50, "{decoded} of {rounds} got through");
}

#[test]
fn damaged_messages_are_survived() {
    run(0x0001_A120, ROUNDS, &messages());
}

#[test]
fn damaged_compressed_messages_are_survived() {
    let compressed = messages()
        .iter()
        .flat_map(|message| {
            [
                Compressor::Snappy,
                Compressor::Zlib,
                Compressor::Zstd,
                Compressor::Noop,
            ]
            .map(|c| {
                let mut out = Vec::new();
                compress(message, c, &mut out).unwrap();
                out
            })
        })
        .collect::<Vec<_>>();
    run(0x0002_A120, ROUNDS_COMPRESSED, &compressed);
}
