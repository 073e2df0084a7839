//! The hybrid logical clock's value, as it travels in `operationTime` and `$clusterTime`.

use std::fmt;

/// A hybrid logical time: seconds since the Unix epoch, and an increment that orders the events of
/// one second. Its number is a BSON timestamp's: `seconds << 32 | increment`.
///
/// It is no LSN: a session spans branches, and this is monotone along each log and over all proxies.
/// Source: BSON specification, "Timestamp".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterTime(pub u64);

impl ClusterTime {
    /// Before every event.
    pub const ZERO: ClusterTime = ClusterTime(0);

    /// The time of these two halves.
    #[must_use]
    pub const fn new(seconds: u32, increment: u32) -> Self {
        ClusterTime((seconds as u64) << 32 | increment as u64)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The order within the second; 1 is the first.
    #[must_use]
    pub const fn increment(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The time of the next event, when the wall clock shows `wall_seconds`: later than `self`
    /// whatever the wall clock does, and as close to it as that allows.
    #[must_use]
    pub fn tick(self, wall_seconds: u32) -> Self {
        ClusterTime(self.0.saturating_add(1)).max(ClusterTime::new(wall_seconds, 1))
    }
}

impl fmt::Display for ClusterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seconds(), self.increment())
    }
}

impl fmt::Debug for ClusterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterTime({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_follows_the_wall_clock_and_never_goes_back() {
        let time = ClusterTime::new(100, 7);
        assert_eq!(time.tick(101), ClusterTime::new(101, 1));
        assert_eq!(time.tick(100), ClusterTime::new(100, 8));
        assert_eq!(time.tick(50), ClusterTime::new(100, 8));
        assert_eq!((time.seconds(), time.increment()), (100, 7));
        assert_eq!(time.0, 100 << 32 | 7);
    }
}
