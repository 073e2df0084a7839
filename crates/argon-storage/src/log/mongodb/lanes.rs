//! What waits to be sent: a lane per branch, in the order of its log.
//!
//! Of one lane at most one portion is under way at a time, so a record is sent only once everything before it is
//! durable. Lanes do not wait for each other. This is state only; `writer` sends what is taken from here.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::record::Encoded;
use crate::{BranchId, Error, Lsn, Result};

/// From this on, in bytes, [`Lanes::ready`] waits.
const QUEUE_BYTES_SOFT: usize = 32 << 20;

/// From this on, in bytes, a record is refused. Between the two is room for those whose wait ended at the same moment.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// The most bytes of records in one batch; a larger record goes alone. A command's document is limited to MongoDB's
/// 16 MiB (`maxBsonObjectSize`), a record's to less ([`crate::record::STORED_BYTES_MAX`] and its header).
const BATCH_BYTES: usize = 12 << 20;

/// The most records in one batch; far below MongoDB's `maxWriteBatchSize`, so that the first does not wait for long.
const BATCH_RECORDS: usize = 1000;

/// How many batches are under way at a time, each with lanes of its own.
const SENDERS_MAX: usize = 8;

/// From this many lanes on, those that are idle are forgotten.
const LANES_MAX: usize = 100_000;

/// Where a log is known to be durable up to; it may go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Where the record begins that ends there; `None` at the base, which is no record's end.
    pub(super) first: Option<Lsn>,
    pub(super) last: Lsn,
}

/// A record that waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: Encoded,
    pub(super) submitted: Instant,
    pub(super) done: oneshot::Sender<Result<()>>,
}

impl Pending {
    pub(super) fn complete(self, outcome: Result<()>) {
        // Whoever dropped the ticket does not want to know.
        drop(self.done.send(outcome));
    }
}

/// Records of one lane that are sent together, in order.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) branch: BranchId,
    /// The position before the first is not known to be the head: it has to be looked at.
    pub(super) unchecked: bool,
    pub(super) records: VecDeque<Pending>,
    /// An attempt may have stored some of it.
    pub(super) perhaps: bool,
    /// The bytes of those that have left it.
    pub(super) bytes_done: usize,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    inner: Mutex<Inner>,
    /// [`Lanes::ready`] waits here.
    room: Notify,
    /// [`Lanes::drained`] waits here.
    quiet: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    lanes: HashMap<BranchId, Lane>,
    /// Lanes with records and nothing under way, the longest waiting first.
    waiting: VecDeque<BranchId>,
    /// What waits or is under way, in bytes.
    bytes: usize,
    senders: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    /// The position before the branch's own log.
    base: Option<Lsn>,
    /// What is known to be durable; the head may be further.
    durable: Option<End>,
    /// The last position submitted, while anything waits or is under way.
    planned: Lsn,
    pending: VecDeque<Pending>,
    is_flying: bool,
    /// The first of those that wait does not follow `durable`.
    unchecked: bool,
    /// A record was refused: nothing is taken until [`Lanes::resume`].
    refused: bool,
    /// The branch was dropped.
    gone: bool,
    /// Something was submitted since [`Lanes::active`].
    active: bool,
}

impl Lane {
    fn is_busy(&self) -> bool {
        self.is_flying || !self.pending.is_empty()
    }
}

impl Lanes {
    /// Takes a record as the next of its lane; true if a sender has to be started for it.
    pub(super) fn submit(&self, pending: Pending) -> Result<bool> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        if inner.closed {
            return Err(Error::Closed);
        }
        let bytes = pending.record.len();
        if inner.bytes > 0 && inner.bytes.saturating_add(bytes) > QUEUE_BYTES_MAX {
            return Err(Error::QueueFull {
                pending_bytes: inner.bytes,
            });
        }
        let (branch, first) = (pending.record.branch, pending.record.first);
        if inner.lanes.len() >= LANES_MAX && !inner.lanes.contains_key(&branch) {
            inner.lanes.retain(|_, lane| lane.is_busy() || lane.refused);
        }
        let lane = inner.lanes.entry(branch).or_default();
        if lane.gone {
            return Err(Error::BranchGone { branch });
        }
        let gap = |head| Error::Gap {
            branch,
            first,
            head,
        };
        let taken = |head| Error::Taken {
            branch,
            first,
            head,
        };
        if lane.refused {
            return Err(gap(lane.durable.map_or(Lsn::ZERO, |end| end.last)));
        }
        if lane.is_busy() {
            if first <= lane.planned {
                return Err(taken(lane.planned));
            }
            if first != lane.planned.next() {
                return Err(gap(lane.planned));
            }
        } else {
            match lane.durable.map(|end| end.last) {
                Some(durable) if first <= durable => return Err(taken(durable)),
                Some(durable) if first == durable.next() => lane.unchecked = false,
                // Others may have appended in between.
                _ => lane.unchecked = true,
            }
        }
        lane.planned = pending.record.last;
        lane.active = true;
        lane.pending.push_back(pending);
        inner.bytes += bytes;
        if lane.is_flying || lane.pending.len() > 1 {
            return Ok(false);
        }
        inner.waiting.push_back(branch);
        let start = inner.senders < SENDERS_MAX;
        inner.senders += usize::from(start);
        Ok(start)
    }

    /// Waits for room.
    pub(super) async fn ready(&self) -> Result<()> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Registered before looking, so that room made in between is not missed.
            room.as_mut().enable();
            {
                let inner = self.inner.lock();
                if inner.closed {
                    return Err(Error::Closed);
                }
                if inner.bytes < QUEUE_BYTES_SOFT {
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// The next batch for a sender: portions of different lanes. With none, the sender has to end.
    pub(super) fn take(&self) -> Option<Vec<Portion>> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let mut batch = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        while let Some(branch) = inner.waiting.pop_front() {
            let Some(lane) = inner.lanes.get_mut(&branch) else {
                continue;
            };
            let mut records = VecDeque::new();
            while let Some(next) = lane.pending.front() {
                let more = bytes + next.record.main.len();
                if count == BATCH_RECORDS || (count > 0 && more > BATCH_BYTES) {
                    break;
                }
                (bytes, count) = (more, count + 1);
                let next = lane.pending.pop_front();
                records.extend(next);
            }
            if records.is_empty() {
                inner.waiting.push_front(branch);
                break;
            }
            lane.is_flying = true;
            batch.push(Portion {
                branch,
                unchecked: std::mem::take(&mut lane.unchecked),
                records,
                perhaps: false,
                bytes_done: 0,
            });
        }
        if batch.is_empty() {
            inner.senders -= 1;
            drop(guard);
            self.quiet.notify_waiters();
            return None;
        }
        Some(batch)
    }

    /// A portion is stored, all of it. True if a sender has to be started for what waited behind it.
    pub(super) fn stored(&self, branch: BranchId, bytes: usize) -> bool {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.bytes = inner.bytes.saturating_sub(bytes);
        let mut start = false;
        if let Some(lane) = inner.lanes.get_mut(&branch) {
            lane.is_flying = false;
            if !lane.pending.is_empty() {
                inner.waiting.push_back(branch);
                start = inner.senders < SENDERS_MAX;
                inner.senders += usize::from(start);
            }
        }
        drop(guard);
        self.room.notify_waiters();
        start
    }

    /// A portion was refused: so is everything behind it, which is returned, and nothing more is taken.
    pub(super) fn refused(&self, branch: BranchId, bytes: usize, gone: bool) -> VecDeque<Pending> {
        let mut inner = self.inner.lock();
        let mut freed = bytes;
        let mut rest = VecDeque::new();
        if let Some(lane) = inner.lanes.get_mut(&branch) {
            lane.is_flying = false;
            lane.refused = true;
            lane.gone |= gone;
            rest = std::mem::take(&mut lane.pending);
            freed += rest
                .iter()
                .map(|pending| pending.record.len())
                .sum::<usize>();
        }
        inner.bytes = inner.bytes.saturating_sub(freed);
        drop(inner);
        self.room.notify_waiters();
        rest
    }

    pub(super) fn resume(&self, branch: BranchId) {
        if let Some(lane) = self.inner.lock().lanes.get_mut(&branch) {
            lane.refused = false;
        }
    }

    /// Remembers that everything up to the end of the record from `first` to `last` is durable.
    pub(super) fn learn(&self, branch: BranchId, first: Lsn, last: Lsn) {
        let mut inner = self.inner.lock();
        let lane = inner.lanes.entry(branch).or_default();
        if lane.durable.is_none_or(|end| end.last < last) {
            let first = Some(first);
            lane.durable = Some(End { first, last });
        }
    }

    pub(super) fn learn_base(&self, branch: BranchId, base: Lsn) {
        let mut inner = self.inner.lock();
        let lane = inner.lanes.entry(branch).or_default();
        lane.base = Some(base);
        lane.durable.get_or_insert(End {
            first: None,
            last: base,
        });
    }

    /// Remembers that the branch was dropped.
    pub(super) fn bury(&self, branch: BranchId) {
        self.inner.lock().lanes.entry(branch).or_default().gone = true;
    }

    /// Whether the branch is known to have been dropped.
    pub(super) fn is_gone(&self, branch: BranchId) -> bool {
        let inner = self.inner.lock();
        inner.lanes.get(&branch).is_some_and(|lane| lane.gone)
    }

    pub(super) fn base(&self, branch: BranchId) -> Option<Lsn> {
        self.inner.lock().lanes.get(&branch)?.base
    }

    /// Where the branch is known to be durable up to.
    pub(super) fn durable(&self, branch: BranchId) -> Option<End> {
        self.inner.lock().lanes.get(&branch)?.durable
    }

    /// The branches that were written to since the last call.
    pub(super) fn active(&self) -> Vec<BranchId> {
        let mut inner = self.inner.lock();
        let active = inner.lanes.iter_mut().filter(|(_, lane)| lane.active);
        active
            .map(|(branch, lane)| {
                lane.active = false;
                *branch
            })
            .collect()
    }

    /// Takes nothing more; what waits goes on.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.room.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Waits until nothing is under way.
    pub(super) async fn drained(&self) {
        loop {
            let mut quiet = std::pin::pin!(self.quiet.notified());
            quiet.as_mut().enable();
            if self.inner.lock().senders == 0 {
                return;
            }
            quiet.await;
        }
    }
}
