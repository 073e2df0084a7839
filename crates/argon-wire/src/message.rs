//! From a stream of bytes to messages.

use bytes::{Bytes, BytesMut};

use crate::compressor::Compressor;
use crate::error::{Error, Refused};
use crate::header::{self, Header, OpCode};
use crate::limits::{HEADER_BYTES, Limits};
use crate::op_compressed;
use crate::op_msg::{self, Fault, OpMsg};
use crate::op_query::{self, OpQuery, OpReply};

/// The least room [`room_for`] asks for.
const ROOM_BYTES_MIN: usize = 16 * 1024;

/// One message, out of any compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose message it is, and what it answers.
    pub header: Header,
    /// How it was compressed, if it was.
    pub compressor: Option<Compressor>,
    /// What it says.
    pub payload: Payload,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A command or a reply.
    Msg(OpMsg),
    /// A legacy request.
    Query(OpQuery),
    /// A legacy answer; a server closes on one, as mongod 6.0.5 does.
    Reply(OpReply),
    /// Any other message, whose contents are not looked at. mongod 6.0.5 answers OP_GET_MORE with an OP_REPLY
    /// (`queryFailure`, 5739101) and closes on the others.
    Unsupported {
        /// What it is.
        op_code: OpCode,
    },
}

/// Takes the first message off the front of `buf`; `None` if it is not all there yet.
///
/// A bad length is found as soon as its four bytes are there. Documents of the message are slices of it, so `buf` has to
/// find new memory for what comes next while one of them lives.
///
/// # Errors
/// [`Error::Refused`] takes the message off too: answer it and go on. After any other error the connection has to be closed.
pub fn decode(buf: &mut BytesMut, limits: &Limits) -> Result<Option<Message>, Error> {
    let frame = take(buf, limits)?;
    frame.map(|frame| parse(frame.freeze(), limits)).transpose()
}

/// Takes the first message off the front of `buf` as it is, for whoever only passes it on; `None` if it is not all there yet.
///
/// # Errors
/// [`Error::MessageLength`] if no message may have its length.
pub fn take(buf: &mut BytesMut, limits: &Limits) -> Result<Option<BytesMut>, Error> {
    match header::message_bytes(buf, limits)? {
        Some(length) if length <= buf.len() => Ok(Some(buf.split_to(length))),
        _ => Ok(None),
    }
}

/// The message `frame`, one whole message, out of any compression, and how it was compressed.
///
/// # Errors
/// What [`decode`] gives for a message that does not inflate.
pub fn inflate(frame: BytesMut, limits: &Limits) -> Result<(BytesMut, Option<Compressor>), Error> {
    match header::parse(&frame) {
        Some((header, OpCode::COMPRESSED)) => {
            let (frame, _, compressor) = op_compressed::inflate(&frame.freeze(), header, limits)?;
            Ok((BytesMut::from(frame), Some(compressor)))
        }
        _ => Ok((frame, None)),
    }
}

/// How many bytes to make room for before the next read into `buf`, when [`decode`] wants more.
///
/// Never more than the rest of the message, and for a long one at most as much as has come already: a peer that
/// announces 48 MB and sends nothing costs nothing.
#[must_use]
pub fn room_for(buf: &[u8], limits: &Limits) -> usize {
    let missing = match header::message_bytes(buf, limits) {
        Ok(Some(length)) => length.saturating_sub(buf.len()),
        Ok(None) | Err(_) => 0,
    };
    missing.min(buf.len()).max(ROOM_BYTES_MIN)
}

/// Parses `frame`, one whole message.
///
/// # Errors
/// Those of [`decode`].
pub fn parse(frame: Bytes, limits: &Limits) -> Result<Message, Error> {
    let Some((header, op_code)) = header::parse(&frame) else {
        return Err(Error::MessageLength {
            length: i64::try_from(frame.len()).unwrap_or(i64::MAX),
            max: limits.message_bytes,
        });
    };
    let (frame, op_code, compressor) = if op_code == OpCode::COMPRESSED {
        let (frame, op_code, compressor) = op_compressed::inflate(&frame, header, limits)?;
        (frame, op_code, Some(compressor))
    } else {
        (frame, op_code, None)
    };
    debug_assert!(frame.len() >= HEADER_BYTES, "a header was parsed");
    let payload = match op_code {
        OpCode::MSG => op_msg::parse(&frame, limits).map(Payload::Msg),
        OpCode::QUERY => op_query::parse(&frame, limits).map(Payload::Query),
        OpCode::REPLY => op_query::parse_reply(&frame, limits).map(Payload::Reply),
        op_code => Ok(Payload::Unsupported { op_code }),
    };
    match payload {
        Ok(payload) => Ok(Message {
            header,
            compressor,
            payload,
        }),
        Err(Fault::Fatal(error)) => Err(error),
        Err(Fault::Refused(flags, reason)) => {
            let refused = Refused {
                header,
                op_code,
                flags,
                compressor,
                reason,
            };
            Err(Error::Refused(Box::new(refused)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op_msg::{MsgFlags, MsgWriter};

    const DOC: &[u8] = b"\x05\0\0\0\0";

    fn ping(flags: MsgFlags) -> Vec<u8> {
        let mut out = Vec::new();
        let header = Header {
            request_id: 7,
            response_to: 0,
        };
        let mut writer = MsgWriter::new(&mut out, header, flags);
        writer.body(DOC);
        writer.finish().unwrap();
        out
    }

    #[test]
    fn each_prefix_of_a_message_needs_more() {
        let whole = ping(MsgFlags::CHECKSUM_PRESENT);
        for end in 0..whole.len() {
            let mut buf = BytesMut::from(&whole[..end]);
            assert_eq!(decode(&mut buf, &Limits::default()).unwrap(), None);
            assert_eq!(buf.len(), end);
        }
    }

    #[test]
    fn messages_come_off_one_by_one() {
        let mut buf =
            BytesMut::from(&[ping(MsgFlags::NONE), ping(MsgFlags::MORE_TO_COME)].concat()[..]);
        for flags in [MsgFlags::NONE, MsgFlags::MORE_TO_COME] {
            let message = decode(&mut buf, &Limits::default()).unwrap().unwrap();
            let body = Bytes::from_static(DOC);
            assert_eq!(
                message.payload,
                Payload::Msg(OpMsg {
                    flags,
                    body,
                    sequences: vec![]
                })
            );
            assert_eq!(message.header.request_id, 7);
        }
        assert!(buf.is_empty());
    }

    #[test]
    fn documents_are_slices_of_the_buffer() {
        let mut buf = BytesMut::from(&ping(MsgFlags::NONE)[..]);
        let range = buf.as_ptr_range();
        let message = decode(&mut buf, &Limits::default()).unwrap().unwrap();
        let Payload::Msg(msg) = message.payload else {
            panic!("not a message")
        };
        assert!(range.contains(&msg.body.as_ptr()));
    }

    #[test]
    fn room_is_asked_for_as_bytes_come() {
        fn check(length: i32, come: usize, expected: usize) {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.resize(come.max(4), 0);
            bytes.truncate(come);
            assert_eq!(
                room_for(&bytes, &Limits::default()),
                expected,
                "{length} {come}"
            );
        }
        check(0, 0, ROOM_BYTES_MIN);
        check(48_000_000, 4, ROOM_BYTES_MIN);
        check(48_000_000, 1 << 20, 1 << 20);
        check(48_000_000, 47_000_000, 1_000_000);
        check(-1, 4, ROOM_BYTES_MIN);
    }
}
