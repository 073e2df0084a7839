//! Reading a branch's log: the range asked for, and the proof that nothing in it is missing.

use bytes::Bytes;

use super::ledger::Branch;
use crate::record::Stored;
use crate::{BranchId, Error, Lsn, Record, Result};

/// Collects the records of one [`read`](super::LogStore::read), fed in the store's order from the
/// last record that begins at or before [`Self::from`].
pub(crate) struct Reading {
    branch: BranchId,
    from: Lsn,
    up_to: Lsn,
    bytes_left: usize,
    /// The position the next record must have; `None` before the first.
    expected: Option<Lsn>,
    done: bool,
    records: Vec<Record>,
}

impl Reading {
    pub(crate) fn new(branch: &Branch, after: Lsn, up_to: Lsn, bytes_max: usize) -> Result<Self> {
        let from = after.max(branch.meta.base()).next();
        let up_to = up_to.min(branch.head.clone()?);
        Ok(Reading {
            branch: branch.meta.id,
            from,
            up_to,
            bytes_left: bytes_max,
            expected: None,
            done: from > up_to,
            records: Vec::new(),
        })
    }

    /// The first position wanted.
    pub(crate) fn from(&self) -> Lsn {
        self.from
    }

    /// Whether nothing further is wanted.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes the next stored record, `bytes` large; false once no more are wanted.
    pub(crate) fn take(
        &mut self,
        stored: Stored,
        bytes: usize,
        part: impl FnMut(u32) -> Result<Option<Bytes>>,
    ) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        let (first, last) = (stored.first(), stored.last());
        if last < self.from {
            // The last record at or before the start ends before it, so the next begins there.
            self.expected = Some(last.next());
            return Ok(true);
        }
        let in_place = match self.expected {
            None => first <= self.from,
            Some(expected) => first == expected,
        };
        if !in_place {
            return Err(self.missing(self.expected.unwrap_or(self.from)));
        }
        self.records.push(stored.into_record(part)?);
        self.expected = Some(last.next());
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.done = last >= self.up_to || self.bytes_left == 0;
        Ok(!self.done)
    }

    /// The records, once the store has no more or none are wanted.
    pub(crate) fn finish(self) -> Result<Vec<Record>> {
        if !self.done {
            return Err(self.missing(self.expected.unwrap_or(self.from)));
        }
        Ok(self.records)
    }

    fn missing(&self, lsn: Lsn) -> Error {
        Error::Corrupt {
            branch: self.branch,
            lsn,
            reason: "the record is missing".into(),
        }
    }
}
