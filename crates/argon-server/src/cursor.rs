//! Cursors: results that are fetched batch by batch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use argon_engine::Database;
use argon_engine::exec::Tail;
use argon_mql::stage::{Reader, Source};
use bytes::Bytes;
use parking_lot::Mutex;

/// For how many milliseconds an unused cursor is kept. Source: MongoDB manual, "cursorTimeoutMillis".
pub(crate) const TIMEOUT_MS: i64 = 10 * 60 * 1000;

/// Most open cursors; past that, opening one fails. They hold states in memory, so there has to be an end.
const CURSORS_MAX: usize = 100_000;

/// The open cursors.
#[derive(Default)]
pub(crate) struct Cursors {
    open: Mutex<HashMap<i64, Slot>>,
}

enum Slot {
    Idle(Box<Cursor>),
    /// A `getMore` has it. If it is killed meanwhile, it is not put back.
    InUse {
        namespace: String,
        lsid: Option<Bytes>,
    },
}

/// A result that is not fetched to its end yet.
pub(crate) struct Cursor {
    /// The namespace as the client names it.
    pub(crate) namespace: String,
    /// The session it belongs to.
    pub(crate) lsid: Option<Bytes>,
    /// Whether it is kept however long it is unused.
    pub(crate) no_timeout: bool,
    /// Whether blocking stages may write what exceeds their memory to disk.
    pub(crate) allow_disk_use: bool,
    /// Whether a batch may take long.
    pub(crate) heavy: bool,
    /// Other collections that its stages read.
    pub(crate) reader: Box<dyn Reader + Send>,
    /// What it still has to give.
    pub(crate) source: Box<dyn Source>,
    /// How it goes on after its end, if it is tailable.
    pub(crate) tailing: Option<Tailing>,
    /// A document that did not fit the last batch any more.
    pub(crate) pending: Option<Bytes>,
    /// The `let` variables of that command, which its expressions still use.
    pub(crate) variables: Vec<(String, argon_mql::Value)>,
    pub(crate) last_used: Instant,
}

/// What a tailable cursor follows.
#[derive(Clone)]
pub(crate) struct Tailing {
    pub(crate) tail: Tail,
    pub(crate) database: Database,
    /// The collection's name.
    pub(crate) collection: String,
    /// Whether a batch waits for its first document (`awaitData`).
    pub(crate) waits: bool,
}

/// Why a cursor cannot be had.
pub(crate) enum Unavailable {
    NotFound,
    InUse,
}

impl Cursors {
    /// Keeps `cursor` and gives its identity; `None` if there are too many.
    pub(crate) fn open(&self, cursor: Cursor) -> Option<i64> {
        let mut open = self.open.lock();
        if open.len() >= CURSORS_MAX {
            return None;
        }
        loop {
            // Positive, as a mongos gives them, and hard to guess.
            let id = i64::from_be_bytes(rand::random::<[u8; 8]>()) & i64::MAX;
            if id != 0 && !open.contains_key(&id) {
                open.insert(id, Slot::Idle(Box::new(cursor)));
                return Some(id);
            }
        }
    }

    /// Takes cursor `id` for a batch.
    pub(crate) fn take(&self, id: i64) -> Result<Box<Cursor>, Unavailable> {
        let mut open = self.open.lock();
        let Some(slot) = open.get_mut(&id) else {
            return Err(Unavailable::NotFound);
        };
        let (namespace, lsid) = match slot {
            Slot::Idle(cursor) => (cursor.namespace.clone(), cursor.lsid.clone()),
            Slot::InUse { .. } => return Err(Unavailable::InUse),
        };
        match std::mem::replace(slot, Slot::InUse { namespace, lsid }) {
            Slot::Idle(cursor) => Ok(cursor),
            Slot::InUse { .. } => Err(Unavailable::InUse),
        }
    }

    /// Puts cursor `id` back after a batch; false if it was killed meanwhile.
    pub(crate) fn put_back(&self, id: i64, mut cursor: Box<Cursor>) -> bool {
        cursor.last_used = Instant::now();
        match self.open.lock().get_mut(&id) {
            Some(slot) => {
                *slot = Slot::Idle(cursor);
                true
            }
            None => false,
        }
    }

    /// Drops cursor `id`, if it belongs to `namespace`; false if there is none.
    pub(crate) fn kill(&self, id: i64, namespace: Option<&str>) -> bool {
        let mut open = self.open.lock();
        let known = open
            .get(&id)
            .is_some_and(|slot| namespace.is_none_or(|namespace| slot.namespace() == namespace));
        known && open.remove(&id).is_some()
    }

    /// Drops the cursors of a session.
    pub(crate) fn kill_session(&self, session: &[u8]) {
        self.open
            .lock()
            .retain(|_, slot| slot.lsid().is_none_or(|lsid| **lsid != *session));
    }

    /// Drops cursors unused for `timeout`.
    pub(crate) fn reap(&self, now: Instant, timeout: Duration) {
        self.open.lock().retain(|_, slot| match slot {
            Slot::Idle(cursor) => {
                cursor.no_timeout || now.duration_since(cursor.last_used) < timeout
            }
            Slot::InUse { .. } => true,
        });
    }

    /// Whether cursor `id` is open.
    pub(crate) fn has(&self, id: i64) -> bool {
        self.open.lock().contains_key(&id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }
}

impl Slot {
    fn namespace(&self) -> &str {
        match self {
            Slot::Idle(cursor) => &cursor.namespace,
            Slot::InUse { namespace, .. } => namespace,
        }
    }

    fn lsid(&self) -> Option<&Bytes> {
        match self {
            Slot::Idle(cursor) => cursor.lsid.as_ref(),
            Slot::InUse { lsid, .. } => lsid.as_ref(),
        }
    }
}
