//! How much memory a blocking stage may hold.

use super::Context;
use crate::{Error, ErrorCode, Result};

/// Bytes that a blocking stage may hold if the command forbids the use of disk.
///
/// Source: MongoDB manual, "Aggregation Pipeline Limits".
pub(crate) const STAGE_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes that a blocking stage may hold otherwise.
///
/// mongod writes what exceeds its 100 MiB to temporary files. Argon keeps it in memory up to this bound, and refuses
/// the command beyond it.
pub(crate) const STAGE_BYTES_HARD_MAX: usize = 1024 * 1024 * 1024;

/// The memory of one stage.
#[derive(Debug)]
pub(super) struct Budget {
    stage: &'static str,
    used: usize,
}

impl Budget {
    pub(super) fn new(stage: &'static str) -> Budget {
        Budget { stage, used: 0 }
    }

    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`ErrorCode::QueryExceededMemoryLimitNoDiskUseAllowed`] or, if disk would be allowed,
    /// [`ErrorCode::ExceededMemoryLimit`].
    #[inline]
    pub(super) fn add(&mut self, bytes: usize, cx: &Context<'_>) -> Result<()> {
        self.used += bytes;
        if self.used > STAGE_BYTES_MAX {
            self.check(cx)?;
        }
        Ok(())
    }

    #[cold]
    fn check(&self, cx: &Context<'_>) -> Result<()> {
        if !cx.allow_disk_use {
            return Err(Error::new(
                ErrorCode::QueryExceededMemoryLimitNoDiskUseAllowed,
                format!(
                    "Exceeded memory limit for {}, but didn't allow external spilling. Pass allowDiskUse:true to opt in.",
                    self.stage
                ),
            ));
        }
        if self.used > STAGE_BYTES_HARD_MAX {
            return Err(Error::new(
                ErrorCode::ExceededMemoryLimit,
                format!(
                    "{} needs more than {STAGE_BYTES_HARD_MAX} bytes, and this server does not spill to disk",
                    self.stage
                ),
            ));
        }
        Ok(())
    }
}
