//! A command on its way: the message as it came, and the few facts that routing needs.

use std::ops::Range;

use argon_wire::{Header, MsgFlags, MsgWriter};
use bson::RawDocumentBuf;
use bytes::BytesMut;

use crate::element::{self, Element, elements};
use crate::error::{Error, Result};
use crate::reading::ReadPreference;

/// Bytes of a message's header and flags.
const SECTIONS: usize = 20;
const OP_MSG: i32 = 2013;

/// Commands that a secondary may answer, if the client's read preference says so.
///
/// Source: MongoDB manual, "Read Preference"; the others go to the primary, as a mongos sends them.
const READS: &[&str] = &[
    "aggregate",
    "collStats",
    "count",
    "dataSize",
    "dbStats",
    "distinct",
    "explain",
    "find",
    "listCollections",
    "listIndexes",
];

/// A command as one whole OP_MSG, uncompressed.
#[derive(Clone, Debug)]
pub struct Request {
    frame: BytesMut,
    flags: MsgFlags,
    body: Range<usize>,
    command: Range<usize>,
    database: Range<usize>,
    lsid: Option<Range<usize>>,
    txn_number: Option<Range<usize>>,
    cluster_time: Option<Range<usize>>,
    read_concern: Option<Range<usize>>,
    read_preference: Option<ReadPreference>,
    cursor: Option<i64>,
    in_transaction: bool,
    starts_transaction: bool,
    waits: bool,
}

impl Request {
    /// Reads the facts of `frame`.
    ///
    /// # Errors
    /// The frame as it was, if it is no OP_MSG or not sound as far as routing looks.
    pub fn read(frame: BytesMut) -> Result<Request, BytesMut> {
        match facts(&frame) {
            Some(mut request) => {
                request.frame = frame;
                Ok(request)
            }
            None => Err(frame),
        }
    }

    /// A command of our own.
    ///
    /// # Errors
    /// [`Error::Frame`] if it is too long for a message.
    pub fn command_of(database: &str, mut command: RawDocumentBuf) -> Result<Request> {
        command.append(bson::cstr!("$db"), database);
        let mut frame = BytesMut::new();
        let header = Header {
            request_id: 1,
            response_to: 0,
        };
        let mut writer = MsgWriter::new(&mut frame, header, MsgFlags::NONE);
        writer.body(command.as_bytes());
        writer.finish()?;
        Request::read(frame).map_err(|_| Error::Malformed("a command that cannot be read back"))
    }

    /// The whole message.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Gives the message back.
    #[must_use]
    pub fn into_frame(self) -> BytesMut {
        self.frame
    }

    /// The command document.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes(&self.body)
    }

    /// The command's name as it was sent.
    #[must_use]
    pub fn command(&self) -> &str {
        std::str::from_utf8(self.bytes(&self.command)).unwrap_or_default()
    }

    /// The database it is sent to.
    #[must_use]
    pub fn database(&self) -> &str {
        std::str::from_utf8(self.bytes(&self.database)).unwrap_or_default()
    }

    /// Its number, which the answer names.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.frame.get(4..).and_then(element::int32).unwrap_or(0)
    }

    /// The flags of the message.
    #[must_use]
    pub fn flags(&self) -> MsgFlags {
        self.flags
    }

    /// Whether the sender wants no answer (`w: 0`).
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.flags.contains(MsgFlags::MORE_TO_COME)
    }

    /// Whether it belongs to a multi-document transaction.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Whether it is a write that the client may send again under its transaction number.
    #[must_use]
    pub fn is_retryable_write(&self) -> bool {
        self.txn_number.is_some() && (!self.in_transaction || self.ends_transaction())
    }

    /// Whether it may be sent again although it may have been run: the server knows it by its number.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.txn_number.is_some() && !self.in_transaction && !self.is_silent()
    }

    /// Whether it commits or aborts a transaction.
    #[must_use]
    pub fn ends_transaction(&self) -> bool {
        matches!(self.command(), "commitTransaction" | "abortTransaction")
    }

    /// The cursor of a `getMore`.
    #[must_use]
    pub fn cursor(&self) -> Option<i64> {
        self.cursor
    }

    /// The text of the command's first field: usually the collection.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        elements(self.body()).next()?.text()
    }

    /// The text of the field called `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        element::field(self.body(), key)?.text()
    }

    /// The cursors that a `killCursors` names.
    #[must_use]
    pub fn killed_cursors(&self) -> Vec<i64> {
        if self.command() != "killCursors" {
            return Vec::new();
        }
        let list = element::field(self.body(), "cursors");
        list.as_ref()
            .and_then(Element::document)
            .map(|list| elements(list).filter_map(|id| id.integer()).collect())
            .unwrap_or_default()
    }

    pub(crate) fn starts_transaction(&self) -> bool {
        self.starts_transaction
    }

    /// Whether it waits for documents that are still to come.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    pub(crate) fn txn_number(&self) -> Option<i64> {
        let element = self.txn_number.as_ref().map(|range| self.bytes(range))?;
        element
            .last_chunk()
            .map(|number| i64::from_le_bytes(*number))
    }

    pub(crate) fn lsid(&self) -> Option<&[u8]> {
        self.lsid.as_ref().map(|range| self.bytes(range))
    }

    /// Where it may be answered; `None` means by the primary.
    pub(crate) fn read_preference(&self) -> Option<&ReadPreference> {
        self.read_preference.as_ref()
    }

    pub(crate) fn cluster_time(&self) -> Option<&[u8]> {
        self.cluster_time.as_ref().map(|range| self.bytes(range))
    }

    /// Puts `time`, a whole `$clusterTime` document, in the place of the one that the client sent, and lets the read
    /// concern wait for nothing later than `latest`.
    ///
    /// Both have one length wherever they come from, so nothing moves; a document of another length stays as it is.
    pub(crate) fn replace_cluster_time(&mut self, time: &[u8], latest: u64) {
        let mut changed = false;
        if let Some(range) = self.cluster_time.clone()
            && range.len() == time.len()
            && let Some(place) = self.frame.get_mut(range)
        {
            place.copy_from_slice(time);
            changed = true;
        }
        if let Some(range) = self.read_concern.clone()
            && let Some(concern) = self.frame.get_mut(range)
        {
            let after = element::field(concern, "afterClusterTime")
                .filter(|after| after.kind == element::TIMESTAMP)
                .map(|after| after.whole.end - 8..after.whole.end);
            if let Some(place) = after.and_then(|range| concern.get_mut(range)) {
                let asked = place
                    .first_chunk()
                    .map_or(0, |time| u64::from_le_bytes(*time));
                if asked > latest {
                    place.copy_from_slice(&latest.to_le_bytes());
                    changed = true;
                }
            }
        }
        if changed {
            self.refresh_checksum();
        }
    }

    /// Takes the transaction number out of a retryable write, for a server that refuses it.
    pub(crate) fn strip_txn_number(&mut self) {
        let Some(range) = self.txn_number.take() else {
            return;
        };
        let cut = range.len();
        self.frame.copy_within(range.end.., range.start);
        self.frame.truncate(self.frame.len() - cut);
        for at in [0, self.body.start] {
            if let Some(place) = self.frame.get_mut(at..at + 4)
                && let Some(length) = element::int32(place)
                && let Ok(cut) = i32::try_from(cut)
            {
                place.copy_from_slice(&(length - cut).to_le_bytes());
            }
        }
        self.refresh_checksum();
        let frame = std::mem::take(&mut self.frame);
        if let Some(mut request) = facts(&frame) {
            request.frame = frame;
            *self = request;
        } else {
            self.frame = frame;
        }
    }

    /// The request with another command document in the place of the one that came; document sequences stay. `None` if
    /// that document is not sound as far as routing looks.
    #[must_use]
    pub fn with_body(&self, body: &[u8]) -> Option<Request> {
        let (before, after) = (..self.body.start, self.body.end..);
        let mut frame = BytesMut::with_capacity(self.frame.len() + body.len());
        frame.extend_from_slice(self.frame.get(before).unwrap_or_default());
        frame.extend_from_slice(body);
        frame.extend_from_slice(self.frame.get(after).unwrap_or_default());
        element::patch_length(&mut frame);
        let mut request = Request::read(frame).ok()?;
        request.refresh_checksum();
        Some(request)
    }

    fn refresh_checksum(&mut self) {
        if self.flags.contains(MsgFlags::CHECKSUM_PRESENT) {
            argon_wire::write_checksum(&mut self.frame);
        }
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.frame.get(range.clone()).unwrap_or_default()
    }
}

/// The facts of `frame`, without the frame itself.
fn facts(frame: &[u8]) -> Option<Request> {
    if element::int32(frame.get(12..)?)? != OP_MSG {
        return None;
    }
    let flags = MsgFlags(element::int32(frame.get(16..)?)?.cast_unsigned());
    let start = body_start(frame, flags)?;
    let document = frame.get(start..)?;
    let length = usize::try_from(element::int32(document)?).ok()?;
    let document = document.get(..length)?;
    let mut request = Request {
        frame: BytesMut::new(),
        flags,
        body: start..start + length,
        command: 0..0,
        database: 0..0,
        lsid: None,
        txn_number: None,
        cluster_time: None,
        read_concern: None,
        read_preference: None,
        cursor: None,
        in_transaction: false,
        starts_transaction: false,
        waits: false,
    };
    let place = |range: &Range<usize>| start + range.start..start + range.end;
    let value = |element: &Element<'_>| {
        let end = start + element.whole.end;
        end - element.value.len()..end
    };
    let mut end = 4;
    let mut preference = None;
    for element in elements(document) {
        if element.whole.start == 4 {
            std::str::from_utf8(element.key).ok()?;
            request.command = start + 5..start + 5 + element.key.len();
            if element.key == b"getMore" {
                request.cursor = element.integer();
            }
        }
        match element.key {
            b"$db" => {
                element.text()?;
                let value = value(&element);
                request.database = value.start + 4..value.end - 1;
            }
            b"lsid" => request.lsid = Some(value(&element)),
            b"txnNumber" => request.txn_number = Some(place(&element.whole)),
            b"autocommit" => request.in_transaction = element.integer() == Some(0),
            b"startTransaction" => request.starts_transaction = element.integer() == Some(1),
            b"$clusterTime" => request.cluster_time = Some(value(&element)),
            b"readConcern" => request.read_concern = Some(value(&element)),
            b"$readPreference" => preference = element.document(),
            // Only a cursor that waits for documents takes a time limit for its batches.
            b"maxTimeMS" => request.waits = request.cursor.is_some(),
            _ => {}
        }
        end = element.whole.end;
    }
    // The walk has to have come to the document's end, else something in it is damaged.
    if end + 1 != length || document.get(end) != Some(&0) || request.database.is_empty() {
        return None;
    }
    if let Some(preference) = preference
        && !request.in_transaction
        && frame
            .get(request.command.clone())
            .is_some_and(|name| READS.iter().any(|read| read.as_bytes() == name))
    {
        request.read_preference = ReadPreference::parse(preference);
    }
    Some(request)
}

/// Where the section of kind 0 has its document.
fn body_start(frame: &[u8], flags: MsgFlags) -> Option<usize> {
    let end = if flags.contains(MsgFlags::CHECKSUM_PRESENT) {
        frame.len().checked_sub(4)?
    } else {
        frame.len()
    };
    let mut at = SECTIONS;
    loop {
        match frame.get(at..end)?.first()? {
            0 => return Some(at + 1),
            1 => {
                let size = element::int32(frame.get(at + 1..end)?)?;
                at = at
                    .checked_add(1)?
                    .checked_add(usize::try_from(size).ok()?)?;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{RawDocument, rawdoc};
    use bytes::BufMut;

    fn request(body: RawDocumentBuf) -> Request {
        Request::command_of("shop", body).unwrap()
    }

    #[test]
    fn facts_of_a_command() {
        let request = request(rawdoc! {
            "find": "c", "$readPreference": {"mode": "secondary"}, "lsid": {"id": 1}, "txnNumber": 3_i64,
        });
        assert_eq!(request.command(), "find");
        assert_eq!(request.database(), "shop");
        assert!(request.is_retryable_write());
        assert!(request.read_preference().is_some());
        assert!(request.lsid().is_some());
    }

    #[test]
    fn writes_go_to_the_primary() {
        let request = request(rawdoc! {"insert": "c", "$readPreference": {"mode": "secondary"}});
        assert!(request.read_preference().is_none());
    }

    #[test]
    fn a_sequence_may_come_first() {
        let mut frame = BytesMut::new();
        let mut writer = MsgWriter::new(&mut frame, Header::default(), MsgFlags::CHECKSUM_PRESENT);
        writer.sequence("documents", [rawdoc! {"_id": 1}.as_bytes()]);
        writer.body(rawdoc! {"insert": "c", "$db": "x"}.as_bytes());
        writer.finish().unwrap();
        let request = Request::read(frame).unwrap();
        assert_eq!((request.command(), request.database()), ("insert", "x"));
    }

    #[test]
    fn a_transaction_number_comes_out() {
        for flags in [MsgFlags::NONE, MsgFlags::CHECKSUM_PRESENT] {
            let mut frame = BytesMut::new();
            let mut writer = MsgWriter::new(&mut frame, Header::default(), flags);
            writer.body(
                rawdoc! {"insert": "c", "txnNumber": 5_i64, "ordered": true, "$db": "x"}.as_bytes(),
            );
            writer.sequence("documents", [rawdoc! {"_id": 1}.as_bytes()]);
            writer.finish().unwrap();
            let mut request = Request::read(frame).unwrap();
            request.strip_txn_number();
            assert!(!request.is_retryable_write());
            let parsed = argon_wire::parse(
                request.into_frame().freeze(),
                &argon_wire::Limits::default(),
            );
            let argon_wire::Payload::Msg(msg) = parsed.unwrap().payload else {
                panic!("no OP_MSG")
            };
            assert_eq!(
                RawDocument::from_bytes(&msg.body).unwrap(),
                &*rawdoc! {"insert": "c", "ordered": true, "$db": "x"}
            );
            assert_eq!(msg.sequences.len(), 1);
        }
    }

    #[test]
    fn damage_is_not_read() {
        let whole = request(rawdoc! {"find": "c", "filter": {"a": [1, 2]}}).into_frame();
        for end in 0..whole.len() {
            let _ = Request::read(BytesMut::from(&whole[..end]));
        }
        for at in 16..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = Request::read(bytes);
            }
        }
        let mut trailing = whole.clone();
        trailing.put_u8(1);
        let _ = Request::read(trailing);
    }

    #[test]
    fn a_later_time_is_replaced() {
        let time = |seconds: u32| {
            rawdoc! {"clusterTime": bson::Timestamp { time: seconds, increment: 1 }, "signature": {"keyId": 0_i64}}
        };
        let mut request = request(rawdoc! {
            "find": "c",
            "readConcern": {"level": "majority", "afterClusterTime": bson::Timestamp { time: 9, increment: 1 }},
            "$clusterTime": time(9),
        });
        request.replace_cluster_time(time(5).as_bytes(), 5 << 32 | 1);
        assert_eq!(
            RawDocument::from_bytes(request.body()).unwrap(),
            &*rawdoc! {
                "find": "c",
                "readConcern": {"level": "majority", "afterClusterTime": bson::Timestamp { time: 5, increment: 1 }},
                "$clusterTime": time(5),
                "$db": "shop",
            }
        );
    }
}
