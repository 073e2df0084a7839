//! Points in a branch's history: in whose log they lie, and where.

use std::sync::Arc;

use argon_storage::Lsn;

use super::Branch;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::name::Point;

impl Branch {
    /// The branch in whose log `point` lies, this one or an ancestor, and the end of the last record up to it: rounded
    /// down, so that no reader sees half a command. Reads the log, not the state.
    ///
    /// # Errors
    /// [`Error::BeyondHead`], [`Error::Storage`].
    pub(crate) async fn locate(
        self: &Arc<Branch>,
        shared: &Shared,
        point: Option<Point>,
    ) -> Result<(Arc<Branch>, Lsn)> {
        let head = shared.store.head(self.id()).await?;
        match point {
            None => Ok((Arc::clone(self), head)),
            Some(Point::Lsn(lsn)) if lsn > head => {
                let branch = self.database.to_string();
                Err(Error::BeyondHead {
                    branch,
                    point: lsn,
                    head,
                })
            }
            Some(Point::Lsn(lsn)) => {
                let mut owner = self;
                while let Some(parent) = owner.parent.as_ref().filter(|_| lsn < owner.meta.base()) {
                    owner = parent;
                }
                if lsn == owner.meta.base() {
                    return Ok((Arc::clone(owner), lsn));
                }
                let records = shared
                    .store
                    .read(owner.id(), lsn.previous(), lsn, 1)
                    .await?;
                let end = records.first().map_or(lsn, |record| {
                    if record.last() <= lsn {
                        record.last()
                    } else {
                        record.first.previous()
                    }
                });
                Ok((Arc::clone(owner), end))
            }
            Some(Point::Instant(instant_ms)) => self.locate_instant(shared, head, instant_ms).await,
        }
    }

    /// The place of `instant_ms` (milliseconds since the epoch): after the last record that was not later.
    async fn locate_instant(
        self: &Arc<Branch>,
        shared: &Shared,
        head: Lsn,
        instant_ms: i64,
    ) -> Result<(Arc<Branch>, Lsn)> {
        let mut owner = self;
        let mut up_to = head;
        // The ancestor in whose log the instant lies: the newest whose first record is not later.
        while let Some(parent) = &owner.parent {
            let first = shared
                .store
                .read(owner.id(), owner.meta.base(), up_to, 1)
                .await?;
            if first
                .first()
                .is_some_and(|record| record.timestamp_ms <= instant_ms)
            {
                break;
            }
            up_to = owner.meta.base();
            owner = parent;
        }
        let mut found = owner.meta.base();
        // Times grow along a log, so the last record not later is found by halving.
        let (mut low, mut high) = (owner.meta.base(), up_to);
        while low < high {
            let middle = Lsn(low.0 + (high.0 - low.0) / 2);
            let records = shared.store.read(owner.id(), middle, high, 1).await?;
            match records.first() {
                Some(record) if record.timestamp_ms <= instant_ms => {
                    found = record.last();
                    low = record.last();
                }
                Some(_) | None => high = middle,
            }
        }
        Ok((Arc::clone(owner), found))
    }
}
