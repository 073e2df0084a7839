//! The thread that makes changes durable, in order, as many at once as are waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::active::{Active, CHECKPOINT_SHARE, Placed, Work, checkpoint};
use super::disk::Failure;
use super::segment::Segment;
use super::shared::{Done, Pending, Shared, Spare, Task};
use crate::Error;
use crate::log::Durability;

/// The most that one durable write takes, in bytes: what is behind it should not wait too long.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// Groups larger than this, in bytes, are a bulk load: zeros written ahead would cost it more than
/// they save.
const BULK_GROUP_BYTES: usize = 256 << 10;

/// A spare is prepared only for a store that is written to this often.
const SPARE_AFTER_GROUPS: u64 = 64;

/// The first spare's size, in bytes; each is four times as large as the one before, up to a segment's.
const SPARE_BYTES_MIN: u64 = 4 << 20;

pub(super) struct Committer {
    shared: Arc<Shared>,
    active: Active,
    interval: Option<Duration>,
    /// When what was written last has to be on disk.
    sync_due: Option<Instant>,
    groups: u64,
    spare_bytes: u64,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, active: Active, durability: Durability) -> Self {
        let interval = match durability {
            Durability::Ack => None,
            Durability::Interval(interval) => Some(interval),
        };
        let spare_bytes = SPARE_BYTES_MIN.min(active.segment_bytes);
        Committer {
            shared,
            active,
            interval,
            sync_due: None,
            groups: 0,
            spare_bytes,
        }
    }

    /// Works until the store is closed or poisoned.
    pub(super) fn run(mut self) {
        while let Some(group) = self.shared.next_group(GROUP_BYTES_MAX, self.sync_due) {
            if let Err(failure) = self.sync_if_due() {
                self.fail(group, failure);
                continue;
            }
            if group.is_empty() {
                continue;
            }
            match self.write(&group) {
                Ok(placed) => self.publish(group, &placed),
                Err(failure) => self.fail(group, failure),
            }
        }
        if matches!(self.shared.refusal(), Some(Error::Poisoned { .. })) {
            return;
        }
        // Nothing is lost without the mark; but with it, damage to the last group is told from a
        // write that was cut short.
        let ended = self.active.sync().and_then(|()| self.active.write_end());
        if let Err(Failure::Undone(error) | Failure::Poison(error)) = ended {
            tracing::warn!(%error, "closing the store");
        }
    }

    fn sync_if_due(&mut self) -> Result<(), Failure> {
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            self.active.sync()?;
            self.sync_due = None;
        }
        Ok(())
    }

    /// Writes a group; when it returns, its changes are what the durability setting calls durable.
    fn write(&mut self, group: &[Pending]) -> Result<Vec<Placed>, Failure> {
        let bytes = group.iter().map(|pending| pending.work.len()).sum();
        self.prepare(bytes)?;
        let work = || group.iter().map(|pending| &pending.work);
        let checkpoint = (self.active.position == 0).then(|| {
            let published = self.shared.read();
            checkpoint(&published.ledger, &published.settings)
        });
        let written = match self.active.write(work(), checkpoint.as_deref()) {
            // The spare may be what took the last room.
            Err(Failure::Undone(_)) if self.give_up_spare() => {
                self.active.write(work(), checkpoint.as_deref())
            }
            outcome => outcome,
        };
        let placed = written?;
        // Old segments are removed on the strength of a checkpoint and of copies: those cannot wait.
        let cannot_wait = checkpoint.is_some() || work().any(|work| matches!(work, Work::Copy(_)));
        match self.interval {
            Some(interval) if !cannot_wait => {
                self.sync_due
                    .get_or_insert_with(|| Instant::now() + interval);
            }
            _ => self.active.sync()?,
        }
        Ok(placed)
    }

    /// Begins a new segment if it is time to, and has the next one prepared.
    fn prepare(&mut self, bytes: usize) -> Result<(), Failure> {
        self.groups += 1;
        // A segment without blocks of its own gives way to one that has them.
        let gives_way = self.active.allocated == 0
            && self.active.position > 0
            && matches!(*self.shared.spare.lock(), Spare::Ready { .. });
        if self.active.is_full_for(bytes) || gives_way {
            let old = self.active.number;
            let spare_bytes = self.shared.take_spare();
            self.active.rotate(spare_bytes)?;
            let (number, file) = (self.active.number, Arc::clone(&self.active.file));
            self.shared.publish(|published| {
                let segment = Segment {
                    file,
                    end: 0,
                    sizes: Default::default(),
                };
                published.segments.insert(number, segment);
            });
            self.shared.task(Task::Summarize(old));
            self.shared.task(Task::Clean);
        }
        let half_full = self.active.position * 2 >= self.active.allocated;
        if self.groups >= SPARE_AFTER_GROUPS && half_full && bytes <= BULK_GROUP_BYTES {
            let spare_bytes = self
                .spare_bytes
                .max(self.active.checkpoint_bytes * CHECKPOINT_SHARE);
            if self.shared.want_spare(spare_bytes) {
                self.spare_bytes = (self.spare_bytes * 4).min(self.active.segment_bytes);
            }
        }
        Ok(())
    }

    fn give_up_spare(&self) -> bool {
        self.shared.take_spare().is_some()
            && std::fs::remove_file(self.active.paths.spare()).is_ok()
    }

    fn publish(&self, group: Vec<Pending>, placed: &[Placed]) {
        let (number, end) = (self.active.number, self.active.position);
        let mut dropped = false;
        self.shared.publish(|published| {
            published.checkpointed = number;
            if let Some(segment) = published.segments.get_mut(&number) {
                segment.end = end;
                for placed in placed {
                    *segment.sizes.entry(placed.branch).or_default() += placed.bytes;
                }
            }
            let mut rest = placed;
            for pending in &group {
                let (own, others) = rest.split_at(pending.work.records());
                rest = others;
                // Copies take the originals' place when all are made.
                if let Work::Change(change) = &pending.work {
                    for placed in own {
                        published.index.add(placed.branch, placed.block);
                    }
                    dropped |= published.apply(change);
                }
            }
        });
        let bytes = group.iter().map(|pending| pending.work.len()).sum();
        let mut rest = placed;
        for pending in group {
            let (own, others) = rest.split_at(pending.work.records());
            rest = others;
            // Whoever dropped the ticket does not want to know.
            match pending.done {
                Done::Ticket(done) => drop(done.send(Ok(()))),
                Done::Copied(done) => drop(done.send(Ok(own.to_vec()))),
            }
        }
        self.shared.release(bytes);
        if dropped {
            self.shared.task(Task::Clean);
        }
    }

    fn fail(&self, group: Vec<Pending>, failure: Failure) {
        let (error, poison) = match failure {
            Failure::Undone(error) => (error, false),
            Failure::Poison(error) => (error, true),
        };
        self.shared.fail(group, &error, poison);
    }
}
