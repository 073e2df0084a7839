//! What can be wrong with a message, by what the connection can still do.
//!
//! A message whose frame is sound and whose contents are not is answered, and the next message is read: [`Error::Refused`].
//! After any other error the position in the stream is not to be trusted any more, or MongoDB does not trust it, and the
//! connection has to be closed without an answer. Each line is what mongod 6.0.5 was seen to do, see `tests/it/mongod`.

use thiserror::Error;

use crate::compressor::Compressor;
use crate::header::{Header, OpCode};
use crate::op_msg::MsgFlags;

/// Why no message came of the bytes, or no bytes of the message.
#[derive(Debug, Error)]
pub enum Error {
    /// The message is shorter than a header, longer than the limit, or of negative length.
    #[error("message length {length} is not between 16 and {max}")]
    MessageLength {
        /// What the header says; as long as the message would have been when encoding.
        length: i64,
        /// The limit it was measured against.
        max: usize,
    },
    /// The message ends inside the fields every message of its kind has.
    #[error("{op_code} of {length} bytes ends inside its fixed fields")]
    Truncated {
        /// The kind of message.
        op_code: OpCode,
        /// Its length with the header.
        length: usize,
    },
    /// A flag among bits 0 to 15 that this version does not know. The sender relies on its meaning.
    #[error("OP_MSG sets unknown required flags: {flags:#010x}")]
    RequiredFlags {
        /// All flags of the message.
        flags: u32,
    },
    /// A third document sequence.
    #[error("OP_MSG has more than {max} document sequences")]
    TooManySequences {
        /// The limit.
        max: usize,
    },
    /// The message was changed on its way.
    #[error("checksum is {received:#010x} and should be {computed:#010x}")]
    Checksum {
        /// The CRC-32C of the message.
        computed: u32,
        /// The checksum it carries.
        received: u32,
    },
    /// A compressor this version does not know.
    #[error("compressor id {id} is unknown")]
    UnknownCompressor {
        /// The id on the wire.
        id: u8,
    },
    /// OP_COMPRESSED inside OP_COMPRESSED.
    #[error("a compressed message is compressed again")]
    NestedCompression,
    /// The message would be longer than the limit once inflated.
    #[error("compressed message inflates to {claimed} bytes, more than {max}")]
    UncompressedSize {
        /// `uncompressedSize` of the message.
        claimed: i32,
        /// How much it may be.
        max: usize,
    },
    /// The compressed bytes are damaged, or inflate to another length than the message says.
    #[error("{compressor} data does not inflate to {claimed} bytes")]
    Inflate {
        /// The compressor it names.
        compressor: Compressor,
        /// `uncompressedSize` of the message.
        claimed: usize,
        /// The compressor's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The compressor failed; it has no memory, as far as is known.
    #[error("{compressor} cannot compress {length} bytes")]
    Deflate {
        /// The compressor asked for.
        compressor: Compressor,
        /// Bytes given to it.
        length: usize,
        /// The compressor's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A name that is to be encoded holds a NUL, which ends names on the wire.
    #[error("name {name:?} holds a NUL")]
    InteriorNul {
        /// The name.
        name: String,
    },
    /// The frame is sound and its contents are not: answer with an error, unless the sender wants no answer, and go on.
    #[error(transparent)]
    Refused(Box<Refused>),
}

/// A well-framed message that cannot be understood, and what an answer to it needs.
#[derive(Debug, Error)]
#[error("{op_code} {}: {reason}", header.request_id)]
pub struct Refused {
    /// Its header: the answer's `response_to` is this `request_id`.
    pub header: Header,
    /// The kind of message, inside any compression: [`OpCode::QUERY`] wants an OP_REPLY, with `queryFailure` unset.
    pub op_code: OpCode,
    /// The flags of an OP_MSG, else none. An answer to a message with a checksum has one too.
    pub flags: MsgFlags,
    /// How the message was compressed; the answer may be the same way.
    pub compressor: Option<Compressor>,
    /// What is wrong.
    #[source]
    pub reason: SectionError,
}

impl Refused {
    /// Whether the sender waits for an answer.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        !self.flags.contains(MsgFlags::MORE_TO_COME)
    }
}

/// What is wrong inside a well-framed message. Offsets count from the start of the (inflated) message.
///
/// The number at the end of each line is the code with which mongod 6.0.5 answers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SectionError {
    /// No section of kind 0. 40587.
    #[error("OP_MSG messages must have a body")]
    MissingBody,
    /// More than one section of kind 0. 40430.
    #[error("Multiple body sections in message")]
    DuplicateBody {
        /// Where the second one is.
        offset: usize,
    },
    /// Neither body nor document sequence. 40432, and 13 (Unauthorized) for kind 2, the security token.
    #[error("Unknown section kind {kind}")]
    UnknownKind {
        /// The kind on the wire.
        kind: u8,
        /// Where the section is.
        offset: usize,
    },
    /// Two sequences of one name. 40431.
    #[error("Duplicate document sequence: {identifier}")]
    DuplicateSequence {
        /// The name.
        identifier: String,
    },
    /// The size of a sequence, or its name, reaches beyond what there is. 15 (Overflow).
    #[error("document sequence of {size} bytes at offset {offset} does not fit its {left} bytes")]
    SequenceSize {
        /// Where the section's size is.
        offset: usize,
        /// The size on the wire.
        size: i32,
        /// Bytes there are for it.
        left: usize,
    },
    /// The name of a sequence is not UTF-8. 40415, as for any name the command does not know.
    #[error("document sequence at offset {offset} has a name that is not UTF-8")]
    IdentifierEncoding {
        /// Where the name is.
        offset: usize,
    },
    /// More documents in a sequence than a write may have. 16 (InvalidLength).
    #[error("Write batch sizes must be between 1 and {max}. Got {count} operations.")]
    TooManyDocuments {
        /// How many there are.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The checksum is announced and there is no room for it. 51252.
    #[error("Invalid message size for an OpMsg containing a checksum")]
    ChecksumMissing,
    /// A document that is not delimited well. 22 (InvalidBSON), 10334 (BSONObjectTooLarge) for [`DocumentError::TooLarge`].
    #[error("document at offset {offset}: {error}")]
    Document {
        /// Where the document is.
        offset: usize,
        /// What is wrong.
        error: DocumentError,
    },
    /// An OP_REPLY holds more or fewer documents than it says.
    #[error("reply says it has {claimed} documents and has {found}")]
    ReplyCount {
        /// `numberReturned`.
        claimed: i32,
        /// Documents there are.
        found: usize,
    },
}

/// Why bytes are not a document, as far as its ends tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// The length is below five, or there is no room for a length.
    #[error("BSON data has to be at least 5 bytes (length {length}, {left} bytes left)")]
    TooShort {
        /// The length on the wire, 0 if there was no room for one.
        length: i32,
        /// Bytes left in the section.
        left: usize,
    },
    /// The length reaches beyond the section.
    #[error("Incorrect BSON length (length {length}, {left} bytes left)")]
    Overrun {
        /// The length on the wire.
        length: usize,
        /// Bytes left in the section.
        left: usize,
    },
    /// The length is beyond the limit.
    #[error("BSONObj size: {length} is invalid. Size must be between 0 and {max}")]
    TooLarge {
        /// The length on the wire.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The last byte is not NUL.
    #[error("BSON object not terminated with EOO (length {length})")]
    Unterminated {
        /// The length on the wire.
        length: usize,
    },
}
