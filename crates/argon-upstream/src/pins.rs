//! What has to go to the server that began it: cursors, and transactions.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::server::Server;

/// Most pins of a kind; past that the ones nobody used for long are dropped.
const PINS_MAX: usize = 100_000;

/// How long a pin nobody uses is kept: longer than any server keeps an idle cursor's session.
///
/// Source: MongoDB manual, "Server Sessions" (30 minutes).
const IDLE: Duration = Duration::from_secs(35 * 60);

/// Pins by `K`, each with a number: a session's transaction has one, a cursor has not.
pub(crate) struct Pins<K> {
    pins: Mutex<HashMap<K, Pin>>,
}

struct Pin {
    server: Arc<Server>,
    number: i64,
    used: Instant,
}

impl<K: Eq + Hash> Pins<K> {
    pub(crate) fn new() -> Pins<K> {
        Pins {
            pins: Mutex::new(HashMap::new()),
        }
    }

    /// The server that `key` is pinned to under `number`.
    pub(crate) fn find<Q>(&self, key: &Q, number: i64) -> Option<Arc<Server>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut pins = self.pins.lock();
        let pin = pins.get_mut(key).filter(|pin| pin.number == number)?;
        pin.used = Instant::now();
        Some(Arc::clone(&pin.server))
    }

    /// Pins `key` to `server` under `number`, and under no other any more.
    pub(crate) fn pin(&self, key: K, number: i64, server: &Arc<Server>) {
        let used = Instant::now();
        let mut pins = self.pins.lock();
        if pins.len() >= PINS_MAX && !pins.contains_key(&key) {
            pins.retain(|_, pin| used.duration_since(pin.used) < IDLE / 4);
            if pins.len() >= PINS_MAX {
                return;
            }
        }
        let server = Arc::clone(server);
        let pin = Pin {
            server,
            number,
            used,
        };
        pins.insert(key, pin);
    }

    pub(crate) fn unpin<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.pins.lock().remove(key);
    }

    /// Drops the pins that nobody used for long.
    pub(crate) fn reap(&self) {
        self.pins.lock().retain(|_, pin| pin.used.elapsed() < IDLE);
    }

    pub(crate) fn len(&self) -> usize {
        self.pins.lock().len()
    }
}
