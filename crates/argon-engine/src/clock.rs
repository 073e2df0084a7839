//! The hybrid logical clock behind `operationTime` and `$clusterTime`.

use std::sync::atomic::{AtomicU64, Ordering};

use argon_storage::ClusterTime;

/// A clock that never goes back: wall seconds in the upper half, a counter in the lower, as in MongoDB's timestamps.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: AtomicU64,
}

/// A client's time further ahead than this is not believed: one broken clock must not drag everyone's forward.
///
/// Source: MongoDB's `maxAcceptableLogicalClockDriftSecs` is a year; a day is enough for honest skew.
const DRIFT_SECONDS_MAX: u64 = 24 * 60 * 60;

impl Clock {
    /// A new time, later than every time given out or seen before. `wall_ms` is the wall clock.
    pub(crate) fn tick(&self, wall_ms: i64) -> ClusterTime {
        let wall = wall_time(wall_ms);
        let previous = self
            .last
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| {
                Some(wall.max(last + 1))
            })
            .unwrap_or_else(|last| last);
        ClusterTime(wall.max(previous + 1))
    }

    /// The latest time given out or seen; at least the wall clock's second.
    pub(crate) fn now(&self, wall_ms: i64) -> ClusterTime {
        ClusterTime(
            self.last
                .fetch_max(wall_time(wall_ms), Ordering::AcqRel)
                .max(wall_time(wall_ms)),
        )
    }

    /// Takes note of a record's time. It is believed whatever it is: times grow along a log, and no two records that
    /// this process writes have the same.
    pub(crate) fn follow(&self, recorded: ClusterTime) {
        self.last.fetch_max(recorded.0, Ordering::AcqRel);
    }

    /// Takes note of a time that a client says it has seen.
    pub(crate) fn observe(&self, seen: ClusterTime, wall_ms: i64) {
        if seen.0 >> 32 <= (wall_time(wall_ms) >> 32) + DRIFT_SECONDS_MAX {
            self.last.fetch_max(seen.0, Ordering::AcqRel);
        }
    }
}

fn wall_time(wall_ms: i64) -> u64 {
    let seconds = u64::try_from(wall_ms / 1000).unwrap_or(0);
    (seconds << 32) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_grow_even_when_the_wall_clock_goes_back() {
        let clock = Clock::default();
        let first = clock.tick(10_000);
        let second = clock.tick(10_000);
        let third = clock.tick(5_000);
        assert!(first < second && second < third);
        assert_eq!(clock.now(5_000), third);
        clock.observe(ClusterTime(20 << 32), 10_000);
        assert!(clock.tick(10_000) > ClusterTime(20 << 32));
    }

    #[test]
    fn a_time_from_the_far_future_is_not_believed() {
        let clock = Clock::default();
        clock.observe(ClusterTime(u64::MAX), 0);
        assert!(clock.now(0) < ClusterTime(u64::MAX));
    }
}
