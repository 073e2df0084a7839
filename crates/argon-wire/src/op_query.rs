//! OP_QUERY and its answer OP_REPLY, which MongoDB 6.0 keeps for the first `hello` of old drivers.
//!
//! ```text
//! OP_QUERY  16       20                       numberToSkip   query      returnFieldsSelector
//!           | flags   | fullCollectionName NUL | numberToReturn | document | document?
//! OP_REPLY  16           20         28             32               36
//!           | responseFlags | cursorID | startingFrom | numberReturned | document …
//! ```
//!
//! Source: MongoDB manual, "Legacy Opcodes".

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{Error, SectionError};
use crate::header::{self, Header, OpCode};
use crate::limits::{HEADER_BYTES, Limits};
use crate::op_msg::{Fault, MsgFlags};
use crate::output::{Output, frame, put_cstring};
use crate::reader::Reader;

/// A legacy request; a command if its namespace ends with `.$cmd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpQuery {
    /// Bit 2 secondaryOk, bit 4 noCursorTimeout, bit 6 exhaust; unknown bits are ignored, as mongod 6.0.5 does.
    pub flags: u32,
    /// The namespace. mongod 6.0.5 takes names here that are not UTF-8.
    pub full_collection_name: Bytes,
    /// Documents to skip; no command heeds it.
    pub number_to_skip: i32,
    /// 1 or -1 in a command.
    pub number_to_return: i32,
    /// The command or the query; its ends are checked, its elements are not.
    pub query: Bytes,
    /// The projection, if there is one.
    pub return_fields_selector: Option<Bytes>,
}

impl OpQuery {
    /// Bit 6 of the flags. mongod 6.0.5 answers a command that has it with 18527.
    pub const EXHAUST: u32 = 1 << 6;

    /// The database of a command, `None` for a query of a collection. What is not UTF-8 in its name is replaced.
    #[must_use]
    pub fn command_database(&self) -> Option<Cow<'_, str>> {
        self.full_collection_name
            .strip_suffix(b".$cmd")
            .map(String::from_utf8_lossy)
    }
}

/// The answer to an OP_QUERY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpReply {
    /// [`OpReply::QUERY_FAILURE`], [`OpReply::AWAIT_CAPABLE`].
    pub flags: u32,
    /// 0: no cursor.
    pub cursor_id: i64,
    /// Place of the first document in the cursor.
    pub starting_from: i32,
    /// The documents; their number is on the wire too.
    pub documents: Vec<Bytes>,
}

impl OpReply {
    /// The document is `{$err, code, ok: 0}`; set on the answer to a query that is no command.
    pub const QUERY_FAILURE: u32 = 1 << 1;
    /// Set on the answer to every command, errors included.
    pub const AWAIT_CAPABLE: u32 = 1 << 3;
}

pub(crate) fn parse(bytes: &Bytes, limits: &Limits) -> Result<OpQuery, Fault> {
    let mut reader = Reader::new(bytes, HEADER_BYTES, bytes.len());
    let fixed = (|| {
        Some((
            reader.u32()?,
            reader.cstring()?,
            reader.i32()?,
            reader.i32()?,
        ))
    })();
    let Some((flags, full_collection_name, number_to_skip, number_to_return)) = fixed else {
        let op_code = OpCode::QUERY;
        return Err(Fault::Fatal(Error::Truncated {
            op_code,
            length: bytes.len(),
        }));
    };
    let mut document = || reader.document(limits);
    let query = document().map_err(refused)?;
    let return_fields_selector = if reader.left() > 0 {
        Some(reader.document(limits).map_err(refused)?)
    } else {
        None
    };
    Ok(OpQuery {
        flags,
        full_collection_name,
        number_to_skip,
        number_to_return,
        query,
        return_fields_selector,
    })
}

pub(crate) fn parse_reply(bytes: &Bytes, limits: &Limits) -> Result<OpReply, Fault> {
    let mut reader = Reader::new(bytes, HEADER_BYTES, bytes.len());
    let fixed = (|| Some((reader.u32()?, reader.i64()?, reader.i32()?, reader.i32()?)))();
    let Some((flags, cursor_id, starting_from, claimed)) = fixed else {
        let op_code = OpCode::REPLY;
        return Err(Fault::Fatal(Error::Truncated {
            op_code,
            length: bytes.len(),
        }));
    };
    let documents = reader
        .documents(limits, |found| {
            let max = limits.sequence_documents;
            if found > max {
                return Err(SectionError::TooManyDocuments { count: found, max });
            }
            if usize::try_from(claimed) == Ok(found) {
                Ok(())
            } else {
                Err(SectionError::ReplyCount { claimed, found })
            }
        })
        .map_err(refused)?;
    Ok(OpReply {
        flags,
        cursor_id,
        starting_from,
        documents,
    })
}

fn refused(reason: SectionError) -> Fault {
    Fault::Refused(MsgFlags::NONE, reason)
}

/// Appends one OP_QUERY to `out`.
///
/// # Errors
/// [`Error::MessageLength`], and [`Error::InteriorNul`] for the namespace; `out` is then as it was.
pub fn encode_query<O: Output>(header: Header, query: &OpQuery, out: &mut O) -> Result<(), Error> {
    frame(out, header::to_bytes(0, header, OpCode::QUERY), |out| {
        out.put_u32_le(query.flags);
        put_cstring(out, &query.full_collection_name)?;
        out.put_i32_le(query.number_to_skip);
        out.put_i32_le(query.number_to_return);
        out.put_slice(&query.query);
        if let Some(selector) = &query.return_fields_selector {
            out.put_slice(selector);
        }
        Ok(())
    })
}

/// Appends the OP_REPLY that holds one document to `out`: what every answer to an OP_QUERY is.
///
/// # Errors
/// [`Error::MessageLength`]; `out` is then as it was.
pub fn encode_reply<O: Output>(
    header: Header,
    flags: u32,
    document: &[u8],
    out: &mut O,
) -> Result<(), Error> {
    frame(out, header::to_bytes(0, header, OpCode::REPLY), |out| {
        out.put_u32_le(flags);
        out.put_i64_le(0);
        out.put_i32_le(0);
        out.put_i32_le(1);
        out.put_slice(document);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_by_their_namespace() {
        fn check(namespace: &'static [u8], expected: Option<&str>) {
            let query = OpQuery {
                flags: 0,
                full_collection_name: Bytes::from_static(namespace),
                number_to_skip: 0,
                number_to_return: -1,
                query: Bytes::new(),
                return_fields_selector: None,
            };
            assert_eq!(query.command_database().as_deref(), expected);
        }
        check(b"admin.$cmd", Some("admin"));
        check(b"shop~feature-x.$cmd", Some("shop~feature-x"));
        check(b"adm\xff.$cmd", Some("adm\u{fffd}"));
        check(b".$cmd", Some(""));
        check(b"admin.$cmd.sys.inprog", None);
        check(b"t.c", None);
        check(b"", None);
    }
}
