//! The position of an entry in a branch's log.

use std::fmt;

/// A log sequence number: the position of one entry in a lineage's log.
///
/// LSNs are dense and start at 1. They belong to a lineage: a branch created at LSN 1200 of its
/// parent writes its own first entry at 1201. [`Lsn::ZERO`] is the position before everything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first entry of a lineage; the head of an empty log.
    pub const ZERO: Lsn = Lsn(0);

    /// The largest LSN that can be stored: BSON has signed 64-bit integers only.
    pub const MAX: Lsn = Lsn(i64::MAX.cast_unsigned());

    /// The position right after this one, saturating at [`Lsn::MAX`].
    #[must_use]
    pub fn next(self) -> Lsn {
        self.advance(1)
    }

    /// The position `entries` after this one, saturating at [`Lsn::MAX`].
    #[must_use]
    pub fn advance(self, entries: u64) -> Lsn {
        Lsn(self.0.saturating_add(entries).min(Lsn::MAX.0))
    }

    /// The position right before this one, saturating at [`Lsn::ZERO`].
    #[must_use]
    pub fn previous(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({})", self.0)
    }
}

impl From<u64> for Lsn {
    fn from(value: u64) -> Self {
        Lsn(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_saturate_at_both_ends() {
        assert_eq!(Lsn::ZERO.next(), Lsn(1));
        assert_eq!(Lsn::ZERO.previous(), Lsn::ZERO);
        assert_eq!(Lsn::MAX.next(), Lsn::MAX);
        assert_eq!(Lsn(u64::MAX).next(), Lsn::MAX);
        assert!(Lsn(9) < Lsn(10));
        assert_eq!(Lsn(1200).to_string(), "1200");
    }
}
