//! A disk that fails on demand, below the embedded store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

/// What the disk is to do. Clones share it, so a test keeps one and gives another to the store.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults(Arc<State>);

#[derive(Debug)]
struct State {
    /// What the disk still takes, in bytes.
    room: AtomicU64,
    fail_sync: AtomicBool,
    syncs: AtomicU64,
    held: Mutex<bool>,
    released: Condvar,
}

impl Default for State {
    fn default() -> Self {
        State {
            room: AtomicU64::new(u64::MAX),
            fail_sync: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            held: Mutex::new(false),
            released: Condvar::new(),
        }
    }
}

impl DiskFaults {
    /// From now on the disk takes this many bytes, then it is full.
    pub fn set_room(&self, bytes: u64) {
        self.0.room.store(bytes, Ordering::Relaxed);
    }

    /// Whether syncs fail from now on.
    pub fn set_fail_sync(&self, fail: bool) {
        self.0.fail_sync.store(fail, Ordering::Relaxed);
    }

    /// Makes syncs wait, until [`Self::release`]: a disk as slow as a test needs it.
    pub fn hold(&self) {
        *self.0.held.lock() = true;
    }

    /// Lets syncs go on.
    pub fn release(&self) {
        *self.0.held.lock() = false;
        self.0.released.notify_all();
    }

    /// How many syncs there were.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }

    /// How much of a write of this many bytes fits.
    pub(crate) fn room_for(&self, bytes: usize) -> usize {
        let room = self.0.room.load(Ordering::Relaxed);
        let taken = usize::try_from(room).map_or(bytes, |room| room.min(bytes));
        if room != u64::MAX {
            self.0.room.store(room - taken as u64, Ordering::Relaxed);
        }
        taken
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        let mut held = self.0.held.lock();
        while *held {
            self.0.released.wait(&mut held);
        }
        drop(held);
        if self.0.fail_sync.load(Ordering::Relaxed) {
            return Err(io::Error::other("a test made it fail"));
        }
        Ok(())
    }
}
