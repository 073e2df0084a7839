//! Several processes that write to one branch: who loses waits a moment, and who wins all the time lets others in.
//!
//! A process whose records follow each other without a break wins every time: another would have to read the head and
//! append in between. So the loser leaves a *wish* with the store, and whoever writes for long looks there now and then,
//! and then waits until another's record has come, or a moment has passed. Wishes are hints: none is owed, and a right
//! answer depends on none.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use argon_storage::Error as StorageError;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::time::Instant;

use super::Branch;
use crate::engine::Shared;
use crate::error::{Error, Result};

/// How long a process writes to a branch before it looks for wishes.
const TURN: Duration = Duration::from_millis(25);

/// The longest that it then waits for another's record.
const YIELD_MAX: Duration = Duration::from_millis(100);

/// Losses in a row after which a process makes a wish, and another after as many more.
const LOSSES_TO_WISH: u32 = 4;

/// Most attempts of one command.
const ATTEMPTS_MAX: u32 = 500;

/// The pause after the first loss; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_micros(250);

/// The longest pause between two attempts: one that is longer misses the moment that others leave.
const PAUSE_MAX: Duration = Duration::from_millis(4);

/// A branch's turns among processes.
#[derive(Default)]
pub(super) struct Turns {
    /// Writers pass it one by one; who lets others in holds it.
    gate: RwLock<()>,
    /// Records lost in a row.
    losses: AtomicU32,
    looked: Mutex<Looked>,
}

/// The last look for wishes.
#[derive(Default)]
struct Looked {
    at: Option<Instant>,
    /// What was found: it is fulfilled once.
    wish: Bytes,
}

/// One command's attempts.
pub(super) struct Patience<'b> {
    branch: &'b Branch,
    attempts: u32,
}

impl<'b> Patience<'b> {
    pub(super) fn new(branch: &'b Branch) -> Patience<'b> {
        Patience {
            branch,
            attempts: 0,
        }
    }

    /// Counts an append that was refused with `error`, and lets others go first for a moment.
    ///
    /// # Errors
    /// [`Error::Contended`] after too many.
    pub(super) async fn lost(&mut self, shared: &Shared, error: &StorageError) -> Result<()> {
        // What was refused with it has another error, and is no loss of its own.
        if matches!(error, StorageError::Taken { .. }) {
            shared.counters.lost.fetch_add(1, Ordering::Relaxed);
            let losses = self.branch.turns.losses.fetch_add(1, Ordering::Relaxed) + 1;
            if shared.follows && losses.is_multiple_of(LOSSES_TO_WISH) {
                self.branch.wish(shared).await;
            }
        }
        self.again(shared).await
    }

    /// Counts a decision that has to be made anew.
    ///
    /// # Errors
    /// As [`Patience::lost`].
    pub(super) async fn again(&mut self, shared: &Shared) -> Result<()> {
        shared.counters.redecided.fetch_add(1, Ordering::Relaxed);
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            return Err(Error::Contended {
                branch: self.branch.database.to_string(),
                attempts: self.attempts,
            });
        }
        if shared.follows {
            let pause = PAUSE.saturating_mul(1 << self.attempts.min(16));
            tokio::time::sleep(shared.jitter(pause.min(PAUSE_MAX))).await;
        }
        Ok(())
    }
}

impl Branch {
    /// Waits while others are let in; lets them in if it is time and they wish it.
    pub(super) async fn take_turns(&self, shared: &Shared) {
        drop(self.turns.gate.read().await);
        let is_due = {
            let mut looked = self.turns.looked.lock();
            let now = Instant::now();
            match looked.at {
                Some(at) if now.duration_since(at) < TURN => false,
                _ => looked.at.replace(now).is_some(),
            }
        };
        // Who loses is not the one to let others in.
        if !is_due || self.turns.losses.load(Ordering::Relaxed) > 0 {
            return;
        }
        match shared.store.setting(&self.wish_key()).await {
            Ok(Some(wish)) if self.is_for_us(shared, &wish) => self.let_in(shared).await,
            // If there is none, or the store cannot be reached, the append is tried all the same.
            Ok(_) | Err(_) => {}
        }
    }

    /// This process's record was taken.
    pub(super) fn won(&self) {
        self.turns.losses.store(0, Ordering::Relaxed);
    }

    /// Waits until another's record has come, and holds this process's writers back.
    async fn let_in(&self, shared: &Shared) {
        let Ok(_held_back) = self.turns.gate.try_write() else {
            return;
        };
        let until = Instant::now() + YIELD_MAX;
        while Instant::now() < until {
            let own = self
                .head
                .lock()
                .state
                .as_ref()
                .map_or(0, |state| state.lsn.0);
            match self.store_head(shared).await {
                Ok(head) if head.0 <= own => {}
                // It came, or nobody can tell.
                Ok(_) | Err(_) => return,
            }
            tokio::time::sleep(shared.jitter(PAUSE)).await;
        }
    }

    /// Asks whoever writes to the branch all the time to let this process in.
    async fn wish(&self, shared: &Shared) {
        let number = shared.next_use().to_le_bytes();
        let wish = [&self.id().as_bytes()[..], shared.writer.as_bytes(), &number].concat();
        if let Err(error) = shared
            .store
            .put_setting(&self.wish_key(), wish.into())
            .await
        {
            tracing::debug!(%error, "cannot ask for a turn");
        }
    }

    /// Whether `wish` is another process's for this branch, and new.
    fn is_for_us(&self, shared: &Shared, wish: &Bytes) -> bool {
        let (branch, rest) = wish.split_at_checked(16).unwrap_or_default();
        let mut looked = self.turns.looked.lock();
        let is_new = looked.wish != *wish;
        looked.wish = wish.clone();
        is_new && branch == self.id().as_bytes() && !rest.starts_with(shared.writer.as_bytes())
    }

    /// Where the store keeps wishes for this branch, and a few others: they are not to pile up.
    fn wish_key(&self) -> String {
        format!("wish/{:02x}", self.id().as_bytes()[0])
    }
}
