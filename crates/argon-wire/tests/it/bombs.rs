//! Small messages that want to become large ones.

use std::io::Write;

use argon_wire::{
    BytesMut, Compressor, Error, HEADER_BYTES, Limits, MAX_MESSAGE_BYTES, SectionError, compress,
    decode,
};

/// An OP_COMPRESSED message of a message of kind `op_code` that claims `size` bytes.
fn compressed(op_code: i32, size: i32, id: u8, bytes: &[u8]) -> BytesMut {
    let length = i32::try_from(HEADER_BYTES + 9 + bytes.len()).unwrap();
    let mut message = BytesMut::new();
    for field in [length, 1, 0, 2012, op_code, size] {
        message.extend_from_slice(&field.to_le_bytes());
    }
    message.extend_from_slice(&[id]);
    message.extend_from_slice(bytes);
    message
}

/// `megabytes` of zeros, compressed.
fn zeros(compressor: Compressor, megabytes: usize) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    match compressor {
        Compressor::Zlib => {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            (0..megabytes).for_each(|_| encoder.write_all(&zeros).unwrap());
            encoder.finish().unwrap()
        }
        Compressor::Zstd => {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            (0..megabytes).for_each(|_| encoder.write_all(&zeros).unwrap());
            encoder.finish().unwrap()
        }
        Compressor::Snappy => snap::raw::Encoder::new()
            .compress_vec(&zeros.repeat(megabytes))
            .unwrap(),
        Compressor::Noop => zeros.repeat(megabytes),
    }
}

#[test]
fn a_claim_beyond_the_limit_is_refused_before_inflating() {
    let max = i32::try_from(MAX_MESSAGE_BYTES - HEADER_BYTES).unwrap();
    for claim in [max + 1, i32::MAX, -1, i32::MIN] {
        for compressor in [Compressor::Snappy, Compressor::Zlib, Compressor::Zstd] {
            let mut buf = compressed(2013, claim, compressor.id(), b"whatever");
            let error = decode(&mut buf, &Limits::default()).unwrap_err();
            assert!(matches!(error, Error::UncompressedSize { claimed, .. } if claimed == claim));
        }
    }
}

#[test]
fn what_inflates_to_another_length_is_refused() {
    for compressor in [
        Compressor::Snappy,
        Compressor::Zlib,
        Compressor::Zstd,
        Compressor::Noop,
    ] {
        let bytes = zeros(compressor, 3);
        for claim in [0, 1, 20, 1000, (3 << 20) - 1, (3 << 20) + 1, 47_000_000] {
            let mut buf = compressed(2013, claim, compressor.id(), &bytes);
            let error = decode(&mut buf, &Limits::default()).unwrap_err();
            assert!(
                matches!(error, Error::Inflate { .. }),
                "{compressor} {claim}: {error}"
            );
        }
        // The right claim gets past the compressor; the zeros are then a body of length 0.
        let mut buf = compressed(2013, 3 << 20, compressor.id(), &bytes);
        let error = decode(&mut buf, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{compressor}: {error}");
    }
}

#[test]
fn bombs_do_not_go_off() {
    for compressor in [Compressor::Zlib, Compressor::Zstd] {
        let bytes = zeros(compressor, 200);
        let mut buf = compressed(2013, 20, compressor.id(), &bytes);
        let error = decode(&mut buf, &Limits::default()).unwrap_err();
        assert!(
            matches!(error, Error::Inflate { claimed: 20, .. }),
            "{compressor}: {error}"
        );
    }
}

#[test]
fn compression_does_not_nest() {
    let inner = compressed(2013, 20, 1, b"whatever");
    let mut buf = compressed(2012, 1000, 1, &inner);
    assert!(matches!(
        decode(&mut buf, &Limits::default()),
        Err(Error::NestedCompression)
    ));
    assert!(matches!(
        compress(&inner, Compressor::Zstd, &mut Vec::new()),
        Err(Error::NestedCompression)
    ));
}

/// An OP_MSG of these sections.
fn msg(sections: &[u8]) -> BytesMut {
    let mut message = BytesMut::new();
    let length = i32::try_from(20 + sections.len()).unwrap();
    for field in [length, 1, 0, 2013, 0] {
        message.extend_from_slice(&field.to_le_bytes());
    }
    message.extend_from_slice(sections);
    message
}

fn sequence(name: &str, count: usize) -> Vec<u8> {
    let mut section = vec![1];
    section.extend(
        i32::try_from(4 + name.len() + 1 + count * 5)
            .unwrap()
            .to_le_bytes(),
    );
    section.extend(name.bytes());
    section.push(0);
    section.extend(b"\x05\0\0\0\0".repeat(count));
    section
}

#[test]
fn handles_are_made_for_as_many_documents_as_a_write_may_have() {
    let mut buf = msg(&sequence("documents", 100_001));
    let Err(Error::Refused(refused)) = decode(&mut buf, &Limits::default()) else {
        panic!("accepted")
    };
    let (count, max) = (100_001, 100_000);
    assert_eq!(
        refused.reason,
        SectionError::TooManyDocuments { count, max }
    );
    let mut sections = sequence("documents", 100_000);
    sections.extend(b"\0\x05\0\0\0\0");
    assert!(decode(&mut msg(&sections), &Limits::default()).is_ok());
}
