//! What the store asks of the disk, in one place, so that tests can make it fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::Error;

/// Writes and syncs, and fails when a test says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    #[cfg(any(test, feature = "testing"))]
    pub(super) faults: crate::testing::DiskFaults,
}

impl Disk {
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(any(test, feature = "testing"))]
        {
            let room = self.faults.room_for(bytes.len());
            if room < bytes.len() {
                // A full disk takes what it has room for.
                file.write_all_at(&bytes[..room], offset)?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            crate::testing::crash_point("write");
            let half = bytes.len() / 2;
            file.write_all_at(&bytes[..half], offset)?;
            crate::testing::crash_point("half-written");
            file.write_all_at(&bytes[half..], offset + half as u64)?;
            crate::testing::crash_point("written");
            Ok(())
        }
        #[cfg(not(any(test, feature = "testing")))]
        file.write_all_at(bytes, offset)
    }

    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(any(test, feature = "testing"))]
        self.faults.sync()?;
        file.sync_data()?;
        #[cfg(any(test, feature = "testing"))]
        crate::testing::crash_point("synced");
        Ok(())
    }
}

/// Whether there was no room for a write.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// What became of a write that failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing of it is there, and later ones may succeed.
    Undone(Error),
    /// Nobody knows what is there.
    Poison(Error),
}

impl Failure {
    pub(super) fn poison(context: &str, error: &io::Error) -> Self {
        Failure::Poison(Error::Poisoned {
            reason: format!("{context}: {error}"),
        })
    }
}
