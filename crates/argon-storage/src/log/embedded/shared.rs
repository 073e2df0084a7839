//! What submitters, the committing thread, readers and the keeper share.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use super::active::{Placed, Work};
use super::index::Index;
use super::segment::Segment;
use crate::log::Ticket;
use crate::log::ledger::{Change, Ledger};
use crate::{Error, Result};

/// From this on, in bytes, [`ready`](crate::LogStore::ready) waits.
const QUEUE_BYTES_SOFT: usize = 32 << 20;

/// From this on, in bytes, a change is refused. Between the two is room for those whose wait ended
/// at the same moment.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// The lock order is as the fields stand.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// The committing thread waits here.
    pub(super) wake: Condvar,
    /// [`Shared::ready`] waits here.
    room: Notify,
    published: RwLock<Published>,
    /// The file prepared to become the next segment.
    pub(super) spare: Mutex<Spare>,
    tasks: Mutex<VecDeque<Task>>,
    /// The keeper waits here.
    task_wake: Condvar,
}

/// What has been submitted and is not durable yet.
#[derive(Debug)]
struct Queue {
    /// The catalogue and heads with everything submitted.
    planned: Ledger,
    pending: VecDeque<Pending>,
    /// What is pending or being written, in bytes.
    bytes: usize,
    /// Why nothing more is taken.
    refused: Option<Error>,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) work: Work,
    pub(super) done: Done,
}

/// Whom to tell.
#[derive(Debug)]
pub(super) enum Done {
    Ticket(oneshot::Sender<Result<()>>),
    Copied(oneshot::Sender<Result<Vec<Placed>>>),
}

impl Pending {
    pub(super) fn fail(self, error: &Error) {
        // Whoever dropped the ticket does not want to know.
        match self.done {
            Done::Ticket(done) => drop(done.send(Err(error.clone()))),
            Done::Copied(done) => drop(done.send(Err(error.clone()))),
        }
    }
}

/// What readers are answered from: everything durable.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) ledger: Ledger,
    pub(super) index: Index,
    pub(super) settings: HashMap<String, Bytes>,
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The newest segment whose checkpoint is on disk: older ones can go.
    pub(super) checkpointed: u64,
}

impl Published {
    /// Makes a change visible; true if it leaves records behind that nobody needs.
    pub(super) fn apply(&mut self, change: &Change) -> bool {
        self.ledger.apply(change);
        match change {
            Change::DropBranch(branch) => {
                self.index.remove_branch(*branch);
                true
            }
            Change::DropProject { branches, .. } => {
                for branch in branches {
                    self.index.remove_branch(*branch);
                }
                true
            }
            Change::PutSetting { key, value } => {
                self.settings.insert(key.clone(), value.clone());
                false
            }
            Change::Append(_) | Change::CreateProject { .. } | Change::CreateBranch(_) => false,
        }
    }
}

/// The state of the file prepared to become the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Spare {
    #[default]
    None,
    Wanted,
    Ready {
        bytes: u64,
    },
}

/// What the keeper is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Fill a spare of this many bytes with zeros.
    Prepare(u64),
    /// Write the summary of a finished segment.
    Summarize(u64),
    /// Look for segments that are mostly gone.
    Clean,
    Stop,
}

impl Shared {
    pub(super) fn new(published: Published) -> Self {
        Shared {
            queue: Mutex::new(Queue {
                planned: published.ledger.clone(),
                pending: VecDeque::new(),
                bytes: 0,
                refused: None,
            }),
            wake: Condvar::new(),
            room: Notify::new(),
            published: RwLock::new(published),
            spare: Mutex::default(),
            tasks: Mutex::default(),
            task_wake: Condvar::new(),
        }
    }

    pub(super) fn read(&self) -> parking_lot::RwLockReadGuard<'_, Published> {
        self.published.read()
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Published)) {
        change(&mut self.published.write());
    }

    /// Checks a change against everything submitted and puts it in the order.
    pub(super) fn submit(&self, change: Change) -> Result<Ticket> {
        let (done, ticket) = Ticket::pending();
        self.enqueue(Work::Change(change), Done::Ticket(done))?;
        Ok(ticket)
    }

    /// The change that `plan` makes of everything submitted.
    pub(super) fn plan(&self, plan: impl FnOnce(&Ledger) -> Result<Change>) -> Result<Ticket> {
        let (done, ticket) = Ticket::pending();
        let mut queue = self.queue.lock();
        let change = plan(&queue.planned)?;
        queue.push(Work::Change(change), Done::Ticket(done))?;
        drop(queue);
        self.wake.notify_one();
        Ok(ticket)
    }

    pub(super) fn enqueue(&self, work: Work, done: Done) -> Result<()> {
        self.queue.lock().push(work, done)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for room.
    pub(super) async fn ready(&self) -> Result<()> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Registered before looking, so that room made in between is not missed.
            room.as_mut().enable();
            {
                let queue = self.queue.lock();
                if let Some(error) = &queue.refused {
                    return Err(error.clone());
                }
                if queue.bytes < QUEUE_BYTES_SOFT {
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Takes nothing more; what is pending goes on.
    pub(super) fn refuse(&self, error: Error) {
        let mut queue = self.queue.lock();
        queue.refused.get_or_insert(error);
        drop(queue);
        self.wake.notify_all();
        self.room.notify_waiters();
    }

    /// Takes up to `bytes` of what is pending. Waits for something, until `deadline` if there is
    /// one; `None` once the queue is empty and refuses.
    pub(super) fn next_group(
        &self,
        bytes: usize,
        deadline: Option<std::time::Instant>,
    ) -> Option<Vec<Pending>> {
        let mut queue = self.queue.lock();
        while queue.pending.is_empty() {
            if queue.refused.is_some() {
                return None;
            }
            match deadline {
                Some(deadline) => {
                    if self.wake.wait_until(&mut queue, deadline).timed_out() {
                        break;
                    }
                }
                None => self.wake.wait(&mut queue),
            }
        }
        let mut left = bytes;
        let mut count = 0;
        for pending in &queue.pending {
            let length = pending.work.len();
            if count > 0 && length > left {
                break;
            }
            left = left.saturating_sub(length);
            count += 1;
        }
        Some(queue.pending.drain(..count).collect())
    }

    /// Gives back the room of what has become durable.
    pub(super) fn release(&self, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.bytes = queue.bytes.saturating_sub(bytes);
        drop(queue);
        self.room.notify_waiters();
    }

    /// Fails `group` and everything submitted after it; with `poison`, for good.
    pub(super) fn fail(&self, group: Vec<Pending>, error: &Error, poison: bool) {
        let mut queue = self.queue.lock();
        if poison {
            // Overrides a close under way: what is pending must not be taken for done.
            queue.refused = Some(error.clone());
        }
        let rest = std::mem::take(&mut queue.pending);
        queue.bytes = 0;
        queue.planned = self.published.read().ledger.clone();
        drop(queue);
        for pending in group.into_iter().chain(rest) {
            pending.fail(error);
        }
        self.room.notify_waiters();
    }

    pub(super) fn refusal(&self) -> Option<Error> {
        self.queue.lock().refused.clone()
    }

    /// The spare's size, if it is ready; from now on the caller's.
    pub(super) fn take_spare(&self) -> Option<u64> {
        let mut spare = self.spare.lock();
        let Spare::Ready { bytes } = *spare else {
            return None;
        };
        *spare = Spare::None;
        Some(bytes)
    }

    /// Has a spare prepared; false if there is one, or will be.
    pub(super) fn want_spare(&self, bytes: u64) -> bool {
        let mut spare = self.spare.lock();
        if *spare != Spare::None {
            return false;
        }
        *spare = Spare::Wanted;
        drop(spare);
        self.task(Task::Prepare(bytes));
        true
    }

    pub(super) fn task(&self, task: Task) {
        let mut tasks = self.tasks.lock();
        if !tasks.contains(&task) {
            tasks.push_back(task);
        }
        drop(tasks);
        self.task_wake.notify_one();
    }

    /// The keeper's next task. Stopping goes before everything else.
    pub(super) fn next_task(&self) -> Task {
        let mut tasks = self.tasks.lock();
        loop {
            if tasks.contains(&Task::Stop) {
                return Task::Stop;
            }
            if let Some(task) = tasks.pop_front() {
                return task;
            }
            self.task_wake.wait(&mut tasks);
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.tasks.lock().contains(&Task::Stop)
    }
}

impl Queue {
    fn push(&mut self, work: Work, done: Done) -> Result<()> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        let bytes = work.len();
        // One that is larger than the queue alone is taken when the queue is empty.
        if self.bytes > 0 && self.bytes.saturating_add(bytes) > QUEUE_BYTES_MAX {
            return Err(Error::QueueFull {
                pending_bytes: self.bytes,
            });
        }
        if let Work::Change(change) = &work {
            self.planned.check(change)?;
            self.planned.apply(change);
        }
        self.bytes += bytes;
        self.pending.push_back(Pending { work, done });
        Ok(())
    }
}
