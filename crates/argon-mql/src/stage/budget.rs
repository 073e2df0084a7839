//! How much memory a blocking stage may hold.

use super::Context;
use crate::spill::STAGE_BYTES_MAX;
use crate::{Error, ErrorCode, Result};

/// Bytes that a stage may hold which has no use for the disk.
///
/// mongod holds them in batches, or not at all.
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

    /// Adds `bytes`, and answers whether that is more than the stage may hold, so that it has to turn to the disk.
    ///
    /// # Errors
    /// [`ErrorCode::QueryExceededMemoryLimitNoDiskUseAllowed`].
    #[inline]
    pub(super) fn is_over(&mut self, bytes: usize, cx: &Context<'_>) -> Result<bool> {
        self.used += bytes;
        match cx.spill {
            Some(area) => Ok(self.used > area.stage_bytes()),
            None if self.used > STAGE_BYTES_MAX => Err(Error::new(
                ErrorCode::QueryExceededMemoryLimitNoDiskUseAllowed,
                format!(
                    "Exceeded memory limit for {}, but didn't allow external spilling. Pass allowDiskUse:true to opt in.",
                    self.stage
                ),
            )),
            None => Ok(false),
        }
    }

    /// Starts over: everything is on disk.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds `bytes` to a stage that never turns to the disk.
    ///
    /// # Errors
    /// [`ErrorCode::ExceededMemoryLimit`].
    pub(super) fn hold(&mut self, bytes: usize) -> Result<()> {
        self.used += bytes;
        if self.used > STAGE_BYTES_HARD_MAX {
            return Err(Error::new(
                ErrorCode::ExceededMemoryLimit,
                format!("{} holds at most {STAGE_BYTES_HARD_MAX} bytes", self.stage),
            ));
        }
        Ok(())
    }
}
