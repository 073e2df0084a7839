//! Nanoseconds to decode and to encode messages as they are in practice. One thread, everything in cache.
//!
//! `cargo bench -p argon-wire`

#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::hint::black_box;
use std::time::Instant;

use argon_wire::{BytesMut, Compressor, Header, Limits, MsgFlags, MsgWriter, compress, decode};
use bson::rawdoc;

/// How long each line is measured.
const SECONDS: f64 = 0.5;

fn main() {
    let body = rawdoc! {
        "find": "users", "filter": { "_id": 123_456 }, "limit": 1, "singleBatch": true,
        "lsid": { "id": "0123456789abcdef0123" }, "txnNumber": 12_i64, "$db": "shop~feature-x",
        "$readPreference": { "mode": "primaryPreferred" },
    };
    let documents = (0..1_000)
        .map(|i| rawdoc! { "_id": i, "name": "x".repeat(160) }.into_bytes())
        .collect::<Vec<_>>();
    let find = message(MsgFlags::NONE, body.as_bytes(), &[]);
    let checked = message(MsgFlags::CHECKSUM_PRESENT, body.as_bytes(), &[]);
    let insert = message(MsgFlags::NONE, body.as_bytes(), &documents);

    decoding("decode find", &find);
    decoding("decode find, checksum", &checked);
    decoding("decode insert of 1,000", &insert);
    for compressor in Compressor::NEGOTIABLE {
        for (name, plain) in [("find", &find), ("insert of 1,000", &insert)] {
            let mut small = Vec::new();
            compress(plain, compressor, &mut small).expect("compressors do not fail");
            decoding(&format!("decode {name}, {compressor}"), &small);
            let mut out = Vec::new();
            measure(&format!("encode {name}, {compressor}"), plain.len(), || {
                out.clear();
                compress(plain, compressor, &mut out).expect("compressors do not fail");
            });
        }
    }
    for (name, flags) in [
        ("", MsgFlags::NONE),
        (", checksum", MsgFlags::CHECKSUM_PRESENT),
    ] {
        let mut out = Vec::new();
        measure(&format!("encode reply{name}"), find.len(), || {
            out.clear();
            let mut writer = MsgWriter::new(&mut out, Header::default(), flags);
            writer.body(black_box(body.as_bytes()));
            writer.finish().expect("it is short");
        });
    }
}

fn message(flags: MsgFlags, body: &[u8], documents: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MsgWriter::new(&mut out, Header::default(), flags);
    writer.body(body);
    if !documents.is_empty() {
        writer.sequence("documents", documents);
    }
    writer.finish().expect("it is short");
    out
}

/// Copying the message into the buffer counts: a socket would do it.
fn decoding(name: &str, message: &[u8]) {
    let limits = Limits::default();
    let mut buf = BytesMut::with_capacity(message.len());
    measure(name, message.len(), || {
        buf.extend_from_slice(black_box(message));
        black_box(decode(&mut buf, &limits))
            .expect("it is valid")
            .expect("it is whole");
    });
}

fn measure(name: &str, bytes: usize, mut run: impl FnMut()) {
    let mut rounds = 1_u32;
    loop {
        let start = Instant::now();
        (0..rounds).for_each(|_| run());
        let seconds = start.elapsed().as_secs_f64();
        if seconds >= SECONDS {
            let nanoseconds = seconds * 1e9 / f64::from(rounds);
            println!("{name:<32} {bytes:>8} bytes {nanoseconds:>12.0} ns");
            return;
        }
        rounds = rounds.saturating_mul(2);
    }
}
