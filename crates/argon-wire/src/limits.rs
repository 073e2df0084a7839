//! The sizes a peer may ask for. A length that comes off the wire is compared with one of these before anything is allocated.

/// Bytes of a message header: `messageLength`, `requestID`, `responseTo`, `opCode`.
///
/// Source: MongoDB manual, "MongoDB Wire Protocol".
pub const HEADER_BYTES: usize = 16;

/// `maxMessageSizeBytes`: the longest message, header included.
///
/// Source: MongoDB manual, "hello"; mongod 6.0.5 waits for the rest of a message of this length and closes on one more.
pub const MAX_MESSAGE_BYTES: usize = 48_000_000;

/// `maxBsonObjectSize`: the longest document a user may store.
///
/// The codec does not enforce it, because a command may carry such a document and is then longer itself.
///
/// Source: MongoDB manual, "MongoDB Limits and Thresholds".
pub const MAX_BSON_OBJECT_BYTES: usize = 16 * 1024 * 1024;

/// The longest document a message may carry: [`MAX_BSON_OBJECT_BYTES`] and room for the command around it.
///
/// Source: mongod 6.0.5, "Size must be between 0 and 16793600(16MB)".
pub const MAX_INTERNAL_BSON_BYTES: usize = MAX_BSON_OBJECT_BYTES + 16 * 1024;

/// `maxWriteBatchSize`: how many documents one document sequence may hold.
///
/// Source: MongoDB manual, "hello".
pub const MAX_WRITE_BATCH: usize = 100_000;

/// How many document sequences one message may hold: `ops` and `nsInfo` of `bulkWrite` are the only two of any command.
///
/// Source: mongod 6.0.5 closes on the third, "Too many document sequences in OP_MSG".
pub const MAX_SEQUENCES: usize = 2;

/// The limits of one connection.
///
/// [`Limits::default`] is what MongoDB announces in `hello`; smaller ones are for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message, header included; also bounds what a compressed one inflates to.
    pub message_bytes: usize,
    /// Bytes of one document of a message.
    pub document_bytes: usize,
    /// Documents of one sequence.
    pub sequence_documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: MAX_MESSAGE_BYTES,
            document_bytes: MAX_INTERNAL_BSON_BYTES,
            sequence_documents: MAX_WRITE_BATCH,
        }
    }
}
