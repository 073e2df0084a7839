//! Reading a branch's log: the range asked for, and the proof that nothing in it is missing.

use bytes::Bytes;

use super::ledger::Branch;
use crate::record::Stored;
use crate::{BranchId, Error, Lsn, Record, Result};

/// Collects the records of one [`read`](super::LogStore::read), fed in order from the last
/// record that begins at or before [`Self::next`].
pub(crate) struct Reading {
    branch: BranchId,
    up_to: Lsn,
    bytes_left: usize,
    /// The position that comes next.
    next: Lsn,
    done: bool,
    records: Vec<Record>,
}

impl Reading {
    pub(crate) fn new(branch: &Branch, after: Lsn, up_to: Lsn, bytes_max: usize) -> Result<Self> {
        let from = after.max(branch.meta.base()).next();
        let up_to = up_to.min(branch.head.clone()?);
        Ok(Self::range(branch.meta.id, from, up_to, bytes_max))
    }

    /// Of the records that hold positions from `from` to `up_to`, which are known to be in the branch's own log.
    pub(crate) fn range(branch: BranchId, from: Lsn, up_to: Lsn, bytes_max: usize) -> Self {
        Reading {
            branch,
            up_to,
            bytes_left: bytes_max,
            next: from,
            done: from > up_to,
            records: Vec::new(),
        }
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
        if last < self.next {
            // Before the start, or a copy of what was taken already.
            return Ok(true);
        }
        if first > self.next {
            return Err(self.missing(self.next));
        }
        if first < self.next && !self.records.is_empty() {
            return Err(self.corrupt(first, "it overlaps the record before"));
        }
        self.records.push(stored.into_record(part)?);
        self.next = last.next();
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.done = last >= self.up_to || self.bytes_left == 0;
        Ok(!self.done)
    }

    /// The records, once the store has no more or none are wanted.
    pub(crate) fn finish(self) -> Result<Vec<Record>> {
        if !self.done {
            return Err(self.missing(self.next));
        }
        Ok(self.records)
    }

    /// The position wanted next.
    pub(crate) fn next(&self) -> Lsn {
        self.next
    }

    /// The last position wanted.
    pub(crate) fn up_to(&self) -> Lsn {
        self.up_to
    }

    pub(crate) fn corrupt(&self, lsn: Lsn, reason: &str) -> Error {
        Error::Corrupt {
            branch: self.branch,
            lsn,
            reason: reason.to_owned(),
        }
    }

    fn missing(&self, lsn: Lsn) -> Error {
        self.corrupt(lsn, "the record is missing")
    }
}
