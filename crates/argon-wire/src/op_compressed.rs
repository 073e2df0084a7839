//! OP_COMPRESSED: another message in a smaller coat.
//!
//! ```text
//!  16             20                 24             25
//!  | originalOpcode | uncompressedSize | compressorId | compressed bytes
//! ```
//!
//! What is compressed is the message without its header; the header outside stands for both.
//!
//! Source: specification "OP_COMPRESSED".

use bytes::Bytes;

use crate::compressor::Compressor;
use crate::error::Error;
use crate::header::{self, Header, OpCode};
use crate::limits::{HEADER_BYTES, Limits};
use crate::output::{Output, frame};
use crate::reader::{Reader, read_i32};

/// Where the compressed bytes start.
const COMPRESSED: usize = HEADER_BYTES + 9;

/// Inflates a whole message to the frame it was before it was compressed.
///
/// The header is put back as it was, because a checksum inside covers it.
pub(crate) fn inflate(
    compressed: &Bytes,
    header: Header,
    limits: &Limits,
) -> Result<(Bytes, OpCode, Compressor), Error> {
    let mut reader = Reader::new(compressed, HEADER_BYTES, compressed.len());
    let fixed = (|| Some((reader.i32()?, reader.i32()?, reader.u8()?)))();
    let Some((op_code, claimed, id)) = fixed else {
        let op_code = OpCode::COMPRESSED;
        return Err(Error::Truncated {
            op_code,
            length: compressed.len(),
        });
    };
    let op_code = OpCode(op_code);
    if op_code == OpCode::COMPRESSED {
        return Err(Error::NestedCompression);
    }
    let Some(compressor) = Compressor::from_id(id) else {
        return Err(Error::UnknownCompressor { id });
    };
    let max = limits.message_bytes.saturating_sub(HEADER_BYTES);
    let size = match usize::try_from(claimed) {
        Ok(size) if size <= max => size,
        _ => return Err(Error::UncompressedSize { claimed, max }),
    };
    let Ok(length) = i32::try_from(HEADER_BYTES + size) else {
        return Err(Error::UncompressedSize { claimed, max });
    };
    // Zeroed pages come from the system untouched, so a lie about the size costs address space and not memory.
    let mut inflated = vec![0; HEADER_BYTES + size];
    let (head, rest) = inflated.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(&header::to_bytes(length, header, op_code));
    let input = compressed.get(COMPRESSED..).unwrap_or_default();
    match compressor.inflate(input, rest) {
        Ok(()) => Ok((Bytes::from(inflated), op_code, compressor)),
        Err(source) => Err(Error::Inflate {
            compressor,
            claimed: size,
            source,
        }),
    }
}

/// Appends `message`, one whole encoded message, to `out` as OP_COMPRESSED.
///
/// Which messages must not be compressed (`hello` and those of authentication) is for the caller to know.
///
/// # Errors
/// [`Error::NestedCompression`] if it is compressed already, [`Error::Truncated`] if it is no message,
/// [`Error::Deflate`] and [`Error::MessageLength`]; `out` is then as it was.
pub fn compress<O: Output>(
    message: &[u8],
    compressor: Compressor,
    out: &mut O,
) -> Result<(), Error> {
    let (Some((header, op_code)), Some((_, rest))) = (
        header::parse(message),
        message.split_at_checked(HEADER_BYTES),
    ) else {
        let op_code = OpCode(read_i32(message, 12).unwrap_or(0));
        return Err(Error::Truncated {
            op_code,
            length: message.len(),
        });
    };
    if op_code == OpCode::COMPRESSED {
        return Err(Error::NestedCompression);
    }
    let length = rest.len();
    let Ok(size) = i32::try_from(length) else {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        return Err(Error::MessageLength {
            length,
            max: Limits::default().message_bytes,
        });
    };
    let deflated = compressor.deflate(rest).map_err(|source| Error::Deflate {
        compressor,
        length,
        source,
    })?;
    frame(
        out,
        header::to_bytes(0, header, OpCode::COMPRESSED),
        |out| {
            out.put_i32_le(op_code.0);
            out.put_i32_le(size);
            out.put_u8(compressor.id());
            out.put_slice(&deflated);
            Ok(())
        },
    )
}
