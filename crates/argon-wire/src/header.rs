//! The sixteen bytes in front of every message, and the numbers of the messages.
//!
//! ```text
//!  0             4           8            12       16
//!  | messageLength | requestID | responseTo | opCode | …      four little-endian int32
//! ```

use std::fmt;

use crate::error::Error;
use crate::limits::{HEADER_BYTES, Limits};
use crate::reader::read_i32;

/// What kind of message it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpCode(pub i32);

impl OpCode {
    /// The answer to [`OpCode::QUERY`].
    pub const REPLY: Self = Self(1);
    /// Removed from MongoDB in 5.1.
    pub const UPDATE: Self = Self(2001);
    /// Removed from MongoDB in 5.1.
    pub const INSERT: Self = Self(2002);
    /// Kept by MongoDB for the first `hello` only.
    pub const QUERY: Self = Self(2004);
    /// Removed from MongoDB in 5.1.
    pub const GET_MORE: Self = Self(2005);
    /// Removed from MongoDB in 5.1.
    pub const DELETE: Self = Self(2006);
    /// Removed from MongoDB in 5.1.
    pub const KILL_CURSORS: Self = Self(2007);
    /// A wrapper around another message.
    pub const COMPRESSED: Self = Self(2012);
    /// Every command and every reply since MongoDB 3.6.
    pub const MSG: Self = Self(2013);
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::REPLY => "OP_REPLY",
            Self::UPDATE => "OP_UPDATE",
            Self::INSERT => "OP_INSERT",
            Self::QUERY => "OP_QUERY",
            Self::GET_MORE => "OP_GET_MORE",
            Self::DELETE => "OP_DELETE",
            Self::KILL_CURSORS => "OP_KILL_CURSORS",
            Self::COMPRESSED => "OP_COMPRESSED",
            Self::MSG => "OP_MSG",
            Self(other) => return write!(f, "opcode {other}"),
        };
        f.write_str(name)
    }
}

impl fmt::Debug for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which message it is, and which one it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The sender's number for this message; any value, negative ones included.
    pub request_id: i32,
    /// The `request_id` this message answers; 0 in a request. mongod 6.0.5 closes on a request that has another value.
    pub response_to: i32,
}

/// Reads the length of the message at the start of `bytes`; `None` if that is not there yet.
///
/// # Errors
/// [`Error::MessageLength`] if no message may have this length.
pub(crate) fn message_bytes(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
    let Some(length) = read_i32(bytes, 0) else {
        return Ok(None);
    };
    match usize::try_from(length) {
        Ok(n) if (HEADER_BYTES..=limits.message_bytes).contains(&n) => Ok(Some(n)),
        _ => Err(Error::MessageLength {
            length: i64::from(length),
            max: limits.message_bytes,
        }),
    }
}

/// Reads the header of a whole message.
pub(crate) fn parse(frame: &[u8]) -> Option<(Header, OpCode)> {
    let header = Header {
        request_id: read_i32(frame, 4)?,
        response_to: read_i32(frame, 8)?,
    };
    Some((header, OpCode(read_i32(frame, 12)?)))
}

/// The bytes of a header.
pub(crate) fn to_bytes(length: i32, header: Header, op_code: OpCode) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let fields = [length, header.request_id, header.response_to, op_code.0];
    for (to, field) in bytes.chunks_exact_mut(4).zip(fields) {
        to.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}
