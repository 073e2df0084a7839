//! Logical sessions: which there are, and when they were last used.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

/// How long an unused session is kept. Source: MongoDB manual, "Server Sessions", "localLogicalSessionTimeoutMinutes".
pub(crate) const TIMEOUT_MINUTES: i32 = 30;

/// Most sessions kept; past that the ones used longest ago are forgotten, which costs them nothing but their place in
/// listings: what retries are answered from is in the log. Source: MongoDB's `maxSessions`.
pub(crate) const SESSIONS_MAX: usize = 1_000_000;

/// The digest by which MongoDB names the user of a session without one: SHA-256 of the empty string.
pub(crate) const NOBODY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The sessions that clients use.
#[derive(Default)]
pub(crate) struct Sessions {
    used: Mutex<HashMap<Bytes, Instant>>,
}

impl Sessions {
    /// Notes that `lsid` is used; a session comes into being with its first use.
    pub(crate) fn touch(&self, lsid: &Bytes) {
        let now = Instant::now();
        let mut used = self.used.lock();
        if let Some(last) = used.get_mut(lsid) {
            *last = now;
        } else if used.len() < SESSIONS_MAX {
            // The key is a slice of nothing larger: it was built for the request.
            used.insert(lsid.clone(), now);
        }
    }

    /// Forgets `lsid`.
    pub(crate) fn end(&self, lsid: &[u8]) {
        self.used.lock().remove(lsid);
    }

    /// Every session, with the time since its last use.
    pub(crate) fn list(&self) -> Vec<(Bytes, Duration)> {
        self.used
            .lock()
            .iter()
            .map(|(lsid, last)| (lsid.clone(), last.elapsed()))
            .collect()
    }

    /// Forgets sessions unused for too long.
    pub(crate) fn reap(&self, now: Instant) {
        let timeout = Duration::from_secs(60 * u64::from(TIMEOUT_MINUTES.unsigned_abs()));
        self.used
            .lock()
            .retain(|_, last| now.duration_since(*last) < timeout);
    }
}
