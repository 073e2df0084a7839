//! An answer on its way back: the message as it came, and what it tells about its server.

use std::ops::Range;

use argon_wire::MsgFlags;
use bytes::BytesMut;

use crate::element::{self, elements};
use crate::is_state_change;

/// Bytes of a message's header and flags, and of the section's kind.
const BODY: usize = 21;

/// An answer as one whole OP_MSG, uncompressed.
#[derive(Debug)]
pub struct Reply {
    frame: BytesMut,
    facts: Facts,
}

/// What is read of an answer.
#[derive(Debug, Default)]
struct Facts {
    body: Range<usize>,
    failed: bool,
    has_write_concern_error: bool,
    has_write_errors: bool,
    code: Option<i64>,
    cursor: Option<i64>,
    cluster_time: Option<Range<usize>>,
}

impl Reply {
    pub(crate) fn read(frame: BytesMut) -> Reply {
        let facts = facts(&frame).unwrap_or_default();
        Reply { frame, facts }
    }

    /// The whole message.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Gives the message away.
    #[must_use]
    pub fn into_frame(self) -> BytesMut {
        self.frame
    }

    /// The document.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.frame.get(self.facts.body.clone()).unwrap_or_default()
    }

    /// Puts another document in the place of the one that came; an answer that could not be read stays as it is.
    pub fn replace_body(&mut self, body: &[u8]) {
        let start = self.facts.body.start;
        if start == 0 {
            return;
        }
        let mut frame = BytesMut::with_capacity(start + body.len());
        frame.extend_from_slice(self.frame.get(..start).unwrap_or_default());
        frame.extend_from_slice(body);
        element::patch_length(&mut frame);
        // A checksum that the server may have put behind the old one is gone with it.
        if let Some(flags) = frame.get_mut(16) {
            *flags &= !1;
        }
        *self = Reply::read(frame);
    }

    /// Whether another answer follows that nobody has to ask for (exhaust).
    #[must_use]
    pub fn has_more(&self) -> bool {
        let flags = self.frame.get(16..).and_then(element::int32).unwrap_or(0);
        MsgFlags(flags.cast_unsigned()).contains(MsgFlags::MORE_TO_COME)
    }

    /// Whether the command failed (`ok: 0`), or part of it.
    #[must_use]
    pub fn has_error(&self) -> bool {
        self.facts.failed || self.facts.has_write_concern_error || self.facts.has_write_errors
    }

    /// The code of a command that failed.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        self.facts.code.filter(|_| self.facts.failed)
    }

    /// Whether the server says that it is not the primary any more, or goes away.
    pub(crate) fn has_state_change(&self) -> bool {
        let concern = || {
            let concern = element::field(self.body(), "writeConcernError")?;
            element::field(concern.document()?, "code")?.integer()
        };
        self.code().is_some_and(is_state_change)
            || (self.facts.has_write_concern_error && concern().is_some_and(is_state_change))
    }

    /// The cursor that it leaves open, 0 if it left none, `None` if it is no cursor's answer.
    #[must_use]
    pub fn cursor(&self) -> Option<i64> {
        self.facts.cursor
    }

    pub(crate) fn cluster_time(&self) -> Option<&[u8]> {
        let range = self.facts.cluster_time.clone()?;
        self.frame.get(range)
    }
}

fn facts(frame: &[u8]) -> Option<Facts> {
    if frame.get(BODY - 1) != Some(&0) {
        return None;
    }
    let document = frame.get(BODY..)?;
    let length = usize::try_from(element::int32(document)?).ok()?;
    let mut facts = Facts {
        body: BODY..BODY + length,
        ..Facts::default()
    };
    for element in elements(document) {
        match element.key {
            b"ok" => facts.failed = element.integer() != Some(1),
            b"code" => facts.code = element.integer(),
            b"writeConcernError" => facts.has_write_concern_error = true,
            b"writeErrors" => facts.has_write_errors = true,
            b"cursor" => {
                let id = element
                    .document()
                    .and_then(|cursor| element::field(cursor, "id"));
                facts.cursor = id.and_then(|id| id.integer());
            }
            b"$clusterTime" => {
                let end = BODY + element.whole.end;
                facts.cluster_time = Some(end - element.value.len()..end);
            }
            _ => {}
        }
    }
    Some(facts)
}
