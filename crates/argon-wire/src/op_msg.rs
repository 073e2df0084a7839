//! OP_MSG: every command and every reply.
//!
//! ```text
//!  16       20
//!  | flags   | section …                                | checksum
//!              0 | document                              (CRC-32C of all before it,
//!              1 | size | identifier NUL | document …     if flag bit 0 is set)
//! ```
//!
//! Sections come in any order and exactly one has kind 0. `size` counts itself and what follows, not the kind.
//!
//! Source: specification "OP_MSG".

use std::ops::BitOr;

use bytes::Bytes;

use crate::error::{Error, SectionError};
use crate::header::{self, Header, OpCode};
use crate::limits::{HEADER_BYTES, Limits, MAX_SEQUENCES};
use crate::output::{Output, patch_length, put_cstring};
use crate::reader::{Reader, read_i32};

/// Where the sections start.
const SECTIONS: usize = HEADER_BYTES + 4;
/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 4;
const KIND_BODY: u8 = 0;
const KIND_SEQUENCE: u8 = 1;

/// The flags of an OP_MSG. Bits 0 to 15 have to be understood by the receiver, the others may be ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsgFlags(pub u32);

impl MsgFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The message ends with a CRC-32C.
    pub const CHECKSUM_PRESENT: Self = Self(1);
    /// The sender goes on without an answer to this message.
    pub const MORE_TO_COME: Self = Self(1 << 1);
    /// The client takes several replies to this request.
    pub const EXHAUST_ALLOWED: Self = Self(1 << 16);

    const REQUIRED: u32 = 0xffff;
    const KNOWN: u32 = Self::CHECKSUM_PRESENT.0 | Self::MORE_TO_COME.0 | Self::EXHAUST_ALLOWED.0;

    /// Whether every flag of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for MsgFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A command or a reply. Documents are slices of the message they came in, which lives as long as any of them does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpMsg {
    /// All flags, unknown optional ones included.
    pub flags: MsgFlags,
    /// The document of the section of kind 0; its ends are checked, its elements are not.
    pub body: Bytes,
    /// The sections of kind 1, in the order they came. Names differ from each other; whether one is also a field of the
    /// body (mongod 6.0.5: 40433) is for the reader of the body to check.
    pub sequences: Vec<Sequence>,
}

/// A field of a command that is an array of documents, sent beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The name of the field: `documents`, `updates`, `deletes`.
    pub identifier: String,
    /// The documents; their ends are checked, their elements are not.
    pub documents: Vec<Bytes>,
}

/// Why a message of the right kind is not taken.
pub(crate) enum Fault {
    Fatal(Error),
    Refused(MsgFlags, SectionError),
}

/// Parses a whole message.
///
/// Sections come before the checksum, because that is the order of mongod 6.0.5: it answers a bad section even if the
/// checksum is bad too.
pub(crate) fn parse(frame: &Bytes, limits: &Limits) -> Result<OpMsg, Fault> {
    let mut reader = Reader::new(frame, HEADER_BYTES, frame.len());
    let Some(flags) = reader.u32() else {
        let op_code = OpCode::MSG;
        return Err(Fault::Fatal(Error::Truncated {
            op_code,
            length: frame.len(),
        }));
    };
    if flags & MsgFlags::REQUIRED & !MsgFlags::KNOWN != 0 {
        return Err(Fault::Fatal(Error::RequiredFlags { flags }));
    }
    let flags = MsgFlags(flags);
    let has_checksum = flags.contains(MsgFlags::CHECKSUM_PRESENT);
    let mut end = frame.len();
    if has_checksum {
        if reader.left() <= CHECKSUM_BYTES {
            return Err(Fault::Refused(flags, SectionError::ChecksumMissing));
        }
        end -= CHECKSUM_BYTES;
    }
    let reader = Reader::new(frame, SECTIONS, end);
    let msg = sections(reader, flags, limits)?;
    if has_checksum {
        verify(frame, end).map_err(Fault::Fatal)?;
    }
    Ok(msg)
}

fn sections(mut reader: Reader<'_>, flags: MsgFlags, limits: &Limits) -> Result<OpMsg, Fault> {
    let refused = |reason| Fault::Refused(flags, reason);
    let mut body = None;
    let mut sequences: Vec<Sequence> = Vec::new();
    loop {
        let offset = reader.offset();
        match reader.u8() {
            None => break,
            Some(KIND_BODY) if body.is_some() => {
                return Err(refused(SectionError::DuplicateBody { offset }));
            }
            Some(KIND_BODY) => body = Some(reader.document(limits).map_err(refused)?),
            Some(KIND_SEQUENCE) if sequences.len() == MAX_SEQUENCES => {
                return Err(Fault::Fatal(Error::TooManySequences { max: MAX_SEQUENCES }));
            }
            Some(KIND_SEQUENCE) => {
                let sequence = sequence(&mut reader, &sequences, limits).map_err(refused)?;
                sequences.push(sequence);
            }
            Some(kind) => return Err(refused(SectionError::UnknownKind { kind, offset })),
        }
    }
    let body = body.ok_or(SectionError::MissingBody).map_err(refused)?;
    Ok(OpMsg {
        flags,
        body,
        sequences,
    })
}

fn sequence(
    reader: &mut Reader<'_>,
    before: &[Sequence],
    limits: &Limits,
) -> Result<Sequence, SectionError> {
    let (offset, left) = (reader.offset(), reader.left());
    let size = reader.i32().unwrap_or(0);
    let refused = SectionError::SequenceSize { offset, size, left };
    let part = usize::try_from(size)
        .ok()
        .and_then(|n| n.checked_sub(4))
        .and_then(|n| reader.split(n));
    let Some(mut part) = part else {
        return Err(refused);
    };

    let offset = part.offset();
    let Some(identifier) = part.cstring() else {
        return Err(refused);
    };
    let Ok(identifier) = str::from_utf8(&identifier) else {
        return Err(SectionError::IdentifierEncoding { offset });
    };
    let identifier = identifier.to_owned();
    if before.iter().any(|s| s.identifier == identifier) {
        return Err(SectionError::DuplicateSequence { identifier });
    }
    let max = limits.sequence_documents;
    let documents = part.documents(limits, |count| {
        if count > max {
            Err(SectionError::TooManyDocuments { count, max })
        } else {
            Ok(())
        }
    })?;
    Ok(Sequence {
        identifier,
        documents,
    })
}

/// Compares the CRC-32C at `end` with that of everything before it.
fn verify(frame: &[u8], end: usize) -> Result<(), Error> {
    let (covered, rest) = frame.split_at_checked(end).unwrap_or((frame, &[]));
    let computed = crc32c::crc32c(covered);
    let received = read_i32(rest, 0).map_or(0, |v| u32::from_le_bytes(v.to_le_bytes()));
    if computed == received {
        Ok(())
    } else {
        Err(Error::Checksum { computed, received })
    }
}

/// Computes the checksum at the end of `message`, one whole OP_MSG that has one, anew: for whoever changed the message.
pub fn write_checksum(message: &mut [u8]) {
    if let Some((covered, place)) = message.split_last_chunk_mut::<CHECKSUM_BYTES>() {
        *place = crc32c::crc32c(covered).to_le_bytes();
    }
}

/// Writes one OP_MSG straight into the buffer that goes to the socket.
///
/// Lengths are filled in and the checksum is computed by [`MsgWriter::finish`]. Documents are not checked: they are ours.
///
/// ```
/// use argon_wire::{Header, MsgFlags, MsgWriter};
///
/// let mut out = Vec::new();
/// let header = Header { request_id: 2, response_to: 1 };
/// let mut writer = MsgWriter::new(&mut out, header, MsgFlags::NONE);
/// writer.body_with(|out| out.extend_from_slice(b"\x05\0\0\0\0"));
/// writer.finish()?;
/// assert_eq!(out.len(), 26);
/// # Ok::<(), argon_wire::Error>(())
/// ```
#[must_use = "a message that is not finished has no length"]
pub struct MsgWriter<'a, O: Output> {
    out: &'a mut O,
    start: usize,
    flags: MsgFlags,
    fault: Option<Error>,
}

impl<'a, O: Output> MsgWriter<'a, O> {
    /// Starts a message at the end of `out`; [`MsgFlags::CHECKSUM_PRESENT`] makes it end with a checksum.
    pub fn new(out: &'a mut O, header: Header, flags: MsgFlags) -> Self {
        let start = out.as_ref().len();
        out.put_slice(&header::to_bytes(0, header, OpCode::MSG));
        out.put_u32_le(flags.0);
        Self {
            out,
            start,
            flags,
            fault: None,
        }
    }

    /// Appends the body, a whole document. A message has exactly one.
    pub fn body(&mut self, document: &[u8]) {
        self.body_with(|out| out.put_slice(document));
    }

    /// Appends the body that `write` writes, a whole document: no copy is made.
    pub fn body_with<T>(&mut self, write: impl FnOnce(&mut O) -> T) -> T {
        self.out.put_u8(KIND_BODY);
        write(self.out)
    }

    /// Appends a document sequence. A message may have [`MAX_SEQUENCES`].
    pub fn sequence<D: AsRef<[u8]>>(
        &mut self,
        identifier: &str,
        documents: impl IntoIterator<Item = D>,
    ) {
        self.out.put_u8(KIND_SEQUENCE);
        let at = self.out.as_ref().len();
        self.out.put_i32_le(0);
        let named = put_cstring(self.out, identifier.as_bytes());
        for document in documents {
            self.out.put_slice(document.as_ref());
        }
        let sized = patch_length(self.out, at, at);
        if let Err(error) = named.and(sized) {
            self.fault.get_or_insert(error);
        }
    }

    /// Completes the message.
    ///
    /// # Errors
    /// [`Error::MessageLength`] if it became too long, [`Error::InteriorNul`] if a sequence could not be named. The
    /// buffer is then as it was before [`MsgWriter::new`].
    pub fn finish(self) -> Result<(), Error> {
        let Self {
            out,
            start,
            flags,
            fault,
        } = self;
        if let Some(error) = fault {
            out.truncate(start);
            return Err(error);
        }
        let has_checksum = flags.contains(MsgFlags::CHECKSUM_PRESENT);
        if has_checksum {
            // The checksum covers the length, so the length has to count the checksum first.
            out.put_u32_le(0);
        }
        patch_length(out, start, start)?;
        if has_checksum {
            let end = out.as_ref().len() - CHECKSUM_BYTES;
            let covered = out.as_ref().get(start..end).unwrap_or_default();
            let checksum = crc32c::crc32c(covered);
            out.truncate(end);
            out.put_u32_le(checksum);
        }
        Ok(())
    }
}

/// Appends one OP_MSG to `out`.
///
/// # Errors
/// [`Error::MessageLength`] and [`Error::InteriorNul`]; `out` is then as it was.
pub fn encode_msg<O: Output>(header: Header, msg: &OpMsg, out: &mut O) -> Result<(), Error> {
    let mut writer = MsgWriter::new(out, header, msg.flags);
    writer.body(&msg.body);
    for sequence in &msg.sequences {
        writer.sequence(&sequence.identifier, &sequence.documents);
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_MESSAGE_BYTES;

    const DOC: &[u8] = b"\x05\0\0\0\0";

    /// Writes a message after `before`, which has to be there afterwards, and returns what was added.
    fn check(
        flags: MsgFlags,
        write: impl FnOnce(&mut MsgWriter<'_, Vec<u8>>),
    ) -> Result<Vec<u8>, Error> {
        let before = b"before";
        let mut out = before.to_vec();
        let mut writer = MsgWriter::new(
            &mut out,
            Header {
                request_id: 2,
                response_to: 1,
            },
            flags,
        );
        write(&mut writer);
        let finished = writer.finish();
        let added = out.split_off(before.len());
        assert_eq!(out, before);
        assert!(
            finished.is_ok() || added.is_empty(),
            "a message that failed is left in the buffer"
        );
        finished.map(|()| added)
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        let bytes = check(MsgFlags::CHECKSUM_PRESENT, |writer| {
            writer.sequence("d", [DOC, DOC]);
            writer.body_with(|out| out.extend_from_slice(DOC));
        });
        let mut expected = b"\x2f\0\0\0\x02\0\0\0\x01\0\0\0\xdd\x07\0\0\x01\0\0\0".to_vec();
        expected.extend(b"\x01\x10\0\0\0d\0\x05\0\0\0\0\x05\0\0\0\0");
        expected.extend(b"\0\x05\0\0\0\0");
        expected.extend(crc32c::crc32c(&expected).to_le_bytes());
        assert_eq!(bytes.unwrap(), expected);
    }

    #[test]
    fn checksum_is_castagnoli() {
        // RFC 3720, "B.4. CRC Examples": 32 bytes of zeros. Another CRC-32 would agree with itself in every other test.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn what_is_too_long_is_taken_back() {
        for room in [
            MAX_MESSAGE_BYTES - SECTIONS - 1,
            MAX_MESSAGE_BYTES - SECTIONS,
        ] {
            let result = check(MsgFlags::NONE, |writer| {
                writer.body_with(|out| out.resize(out.len() + room, 0));
            });
            assert_eq!(result.is_ok(), room == MAX_MESSAGE_BYTES - SECTIONS - 1);
        }
        let too_long = check(MsgFlags::NONE, |writer| {
            writer.sequence("d", [vec![0; MAX_MESSAGE_BYTES]]);
            writer.body(DOC);
        });
        assert!(matches!(too_long, Err(Error::MessageLength { .. })));
    }

    #[test]
    fn a_name_with_a_nul_is_taken_back() {
        let result = check(MsgFlags::NONE, |writer| {
            writer.body(DOC);
            writer.sequence("a\0b", [DOC]);
        });
        assert!(matches!(result, Err(Error::InteriorNul { name }) if name == "a\0b"));
    }
}
