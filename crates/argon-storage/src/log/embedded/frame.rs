//! A frame: one stored document in a segment, found and checked without reading what comes before.
//!
//! The header has a checksum of its own and names the record it carries, and the payload has one
//! too and names it as well. So one damaged place, wherever it is, still tells whose record it is.

use bytes::Bytes;

use crate::raw::verify;
use crate::record::record_place;
use crate::{BranchId, Lsn};

/// The header's size, in bytes.
pub(super) const HEADER_BYTES: usize = 64;

/// Frames start at multiples of this, in bytes: where to look for the next one after damage.
pub(super) const ALIGN: usize = 8;

/// The first bytes of every frame.
const MAGIC: [u8; 4] = *b"ArFr";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal,)*) => {
        /// What a frame carries. The numbers are part of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            const fn number(self) -> u32 {
                match self {
                    $(Kind::$variant => $number,)*
                }
            }

            const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Kind::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// The whole catalogue and all settings; first in every segment.
    Checkpoint = 1,
    /// A record.
    Record = 2,
    /// A part of the record that follows.
    Part = 3,
    /// A project and its main branch.
    CreateProject = 4,
    /// A branch.
    CreateBranch = 5,
    /// The end of a branch.
    DropBranch = 6,
    /// The end of a project.
    DropProject = 7,
    /// A setting.
    PutSetting = 8,
    /// The store was closed in order; everything before was durable.
    End = 9,
}

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Dense over the frames of a store, in the order of writing.
    pub(super) sequence: u64,
    /// Every frame with a smaller sequence was on disk before this one was written. It tells a write
    /// that was cut short by a power loss from damage to what had been acknowledged.
    pub(super) durable: u64,
    /// The branch a record belongs to; zeros in other frames.
    pub(super) branch: BranchId,
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) payload_bytes: u32,
}

impl Header {
    /// A header of a frame that belongs to no branch. Its place in the order comes later.
    pub(super) fn of(kind: Kind) -> Self {
        let branch = BranchId::from_bytes([0; 16]);
        Header::of_record(kind, branch, Lsn::ZERO, Lsn::ZERO)
    }

    pub(super) fn of_record(kind: Kind, branch: BranchId, first: Lsn, last: Lsn) -> Self {
        Header {
            kind,
            sequence: 0,
            durable: 0,
            branch,
            first,
            last,
            payload_bytes: 0,
        }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..40].copy_from_slice(self.branch.as_bytes());
        bytes[40..48].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.last.0.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.kind.number().to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        if bytes[..4] != MAGIC || u32_at(60)? != crc32c::crc32c(&bytes[..60]) {
            return None;
        }
        Some(Header {
            kind: Kind::from_number(u32_at(56)?)?,
            sequence: u64_at(8)?,
            durable: u64_at(16)?,
            branch: BranchId::from_bytes(*bytes.get(24..)?.first_chunk()?),
            first: Lsn(u64_at(40)?),
            last: Lsn(u64_at(48)?),
            payload_bytes: u32_at(4)?,
        })
    }
}

/// Appends a frame to `buffer`, which begins at a multiple of [`ALIGN`] in the segment.
pub(super) fn put(buffer: &mut Vec<u8>, mut header: Header, payload: &[u8]) {
    header.payload_bytes =
        u32::try_from(payload.len()).expect("a stored document is shorter than BSON's 2 GiB");
    buffer.extend_from_slice(&header.encode());
    buffer.extend_from_slice(payload);
    buffer.resize(buffer.len().next_multiple_of(ALIGN), 0);
}

/// Whose record it is: branch, first and last position.
pub(super) type Place = (BranchId, Lsn, Lsn);

/// What stands at one place of a segment.
#[derive(Debug)]
pub(super) enum Step {
    /// A frame; `payload` is `None` if it is damaged. The next one begins at `next`.
    Frame {
        header: Header,
        payload: Option<Bytes>,
        next: usize,
    },
    /// No header, but something else than zeros. What can be told about it, and where the next
    /// frame begins, if one was found.
    Damage {
        place: Option<Place>,
        next: Option<usize>,
    },
    /// A frame whose end lies beyond the bytes at hand: this many are needed from its beginning.
    Short { needed: usize },
    /// Nothing was written here.
    End,
}

/// Reads what stands at `at`. `bytes` begins at a multiple of [`ALIGN`] in the segment.
pub(super) fn step(bytes: &Bytes, at: usize) -> Step {
    let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
        return Step::End;
    };
    if let Some(header) = Header::decode(rest) {
        let Some(needed) = usize::try_from(header.payload_bytes)
            .ok()
            .and_then(|n| n.checked_add(HEADER_BYTES))
        else {
            return damage(bytes, at);
        };
        if rest.len() < needed {
            return Step::Short { needed };
        }
        let payload = bytes.slice(at + HEADER_BYTES..at + needed);
        let payload = verify(&payload).is_ok().then_some(payload);
        return Step::Frame {
            header,
            payload,
            next: at + needed.next_multiple_of(ALIGN),
        };
    }
    // The payload of a frame that was never written is zeros too, so a longer look is not needed.
    if rest
        .iter()
        .take(HEADER_BYTES + ALIGN)
        .all(|byte| *byte == 0)
    {
        return Step::End;
    }
    damage(bytes, at)
}

fn damage(bytes: &Bytes, at: usize) -> Step {
    if let Some((place, length)) = salvage(bytes, at + HEADER_BYTES) {
        let place = Some(place);
        let next = at + (HEADER_BYTES + length).next_multiple_of(ALIGN);
        return Step::Damage {
            place,
            next: Some(next),
        };
    }
    Step::Damage {
        place: None,
        next: find_header(bytes, at + ALIGN),
    }
}

/// The next place, from `at` on, where a header is.
pub(super) fn find_header(bytes: &Bytes, mut at: usize) -> Option<usize> {
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
        if Header::decode(rest).is_some() {
            return Some(at);
        }
        at += ALIGN;
    }
    None
}

/// A payload's record and length, where the header before it is damaged.
fn salvage(bytes: &Bytes, at: usize) -> Option<(Place, usize)> {
    let rest = bytes.get(at..)?;
    let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    let end = at.checked_add(length)?;
    if length < 5 || end > bytes.len() {
        return None;
    }
    let payload = bytes.slice(at..end);
    verify(&payload).ok()?;
    Some((record_place(&payload)?, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::catalog::encode_setting;

    fn frames() -> Bytes {
        let mut buffer = Vec::new();
        for sequence in 0..3 {
            let header = Header {
                sequence,
                ..Header::of(Kind::PutSetting)
            };
            put(&mut buffer, header, &encode_setting("key", &[7; 33]));
        }
        buffer.into()
    }

    #[test]
    fn frames_follow_each_other() {
        let bytes = frames();
        let mut at = 0;
        for expected in 0..3 {
            let Step::Frame {
                header,
                payload: Some(_),
                next,
            } = step(&bytes, at)
            else {
                panic!("no frame at {at}");
            };
            assert_eq!(header.sequence, expected);
            at = next;
        }
        assert!(matches!(step(&bytes, at), Step::End));
    }

    #[test]
    fn one_damaged_byte_never_hides_the_next_frame() {
        let bytes = frames();
        let Step::Frame { next: second, .. } = step(&bytes, 0) else {
            panic!("no frame")
        };
        let payload_end = HEADER_BYTES + encode_setting("key", &[7; 33]).len();
        for at in 0..second {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x10;
            let (whole, next) = match step(&damaged.into(), 0) {
                Step::Frame { payload, next, .. } => (payload.is_some(), Some(next)),
                Step::Damage { next, .. } => (false, next),
                other => panic!("byte {at}: {other:?}"),
            };
            assert_eq!(next, Some(second), "byte {at}");
            // Padding carries nothing.
            assert_eq!(whole, at >= payload_end, "byte {at}");
        }
    }

    #[test]
    fn a_cut_frame_is_short_or_damaged_at_every_length() {
        let bytes = frames();
        for length in 1..HEADER_BYTES + 70 {
            assert!(
                matches!(
                    step(&bytes.slice(..length), 0),
                    Step::Short { .. } | Step::Damage { next: None, .. }
                ),
                "{length}"
            );
        }
    }
}
