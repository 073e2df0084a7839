//! The MongoDB wire protocol: bytes to messages and back, without I/O.
//!
//! [`decode`] takes a buffer that somebody else fills and answers *need more* (`None`), *a message*, or *an error*.
//! [`MsgWriter`] writes a command or a reply straight into the buffer that goes out. Both sides of a connection are
//! here, so what one end encodes the other decodes.
//!
//! ```text
//!   socket ──▶ BytesMut ──decode──▶ Message ─┬─ Msg     command or reply: body, document sequences
//!                │                           ├─ Query   the first hello of an old driver
//!                └── the documents are       ├─ Reply   the answer to that
//!                    slices of it            └─ Unsupported
//! ```
//!
//! A proxy takes frames off with [`take`] and passes them on as they are, or gives them to [`parse`].
//!
//! What it promises: no input makes it panic, loop or allocate beyond [`Limits`]; every length is checked before memory
//! is; a compressed message inflates to exactly what it announces or not at all. What it does on bad input is what
//! mongod 6.0.5 was seen to do, with the differences named in `tests/it/mongod`.
//!
//! What it does not do: read elements of a document (it checks where a document ends, and that it does), know commands, or
//! answer. Error codes are the server's; the variants of [`Error`] and [`SectionError`] say which ones MongoDB gives.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod compressor;
mod error;
mod header;
mod limits;
mod message;
mod op_compressed;
mod op_msg;
mod op_query;
mod output;
mod reader;

pub use bytes::{Bytes, BytesMut};

pub use compressor::Compressor;
pub use error::{DocumentError, Error, Refused, SectionError};
pub use header::{Header, OpCode};
pub use limits::{
    HEADER_BYTES, Limits, MAX_BSON_OBJECT_BYTES, MAX_INTERNAL_BSON_BYTES, MAX_MESSAGE_BYTES,
    MAX_SEQUENCES, MAX_WRITE_BATCH,
};
pub use message::{Message, Payload, decode, inflate, parse, room_for, take};
pub use op_compressed::compress;
pub use op_msg::{MsgFlags, MsgWriter, OpMsg, Sequence, encode_msg, write_checksum};
pub use op_query::{OpQuery, OpReply, encode_query, encode_reply};
pub use output::Output;
