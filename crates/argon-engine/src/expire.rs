//! Documents that outlive what a TTL index allows them. Source: MongoDB manual, "TTL Indexes".

use std::ops::Bound;
use std::sync::Arc;

use argon_mql::ValueRef;
use argon_mql::value::key;

use crate::branch::{Branch, Origin};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::state::{Collection, Index, RecordId, State};
use crate::writer::Writer;

/// Most documents that one record deletes: other writers have a turn in between.
const BATCH: usize = 1_000;

impl Engine {
    /// Deletes what has expired in the branches that are in memory, and says how many documents that were. A branch that
    /// nobody uses is left alone: its documents expire soon after it is used again.
    ///
    /// # Errors
    /// [`Error::Storage`] if the log did not take a record. Other branches were not looked at then.
    pub async fn expire(&self) -> Result<u64> {
        let mut deleted = 0;
        let origin = Origin::default();
        for branch in self.loaded() {
            match self.expire_in(&branch, &origin).await {
                Ok(some) => deleted += some,
                // Another process has dropped it.
                Err(error) if error.is_gone() => self.refresh().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    async fn expire_in(&self, branch: &Branch, origin: &Origin) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let now_ms = self.wall_ms();
            let due = |state: &State| any_expired(state, now_ms);
            if !branch.published().is_some_and(|state| due(&state)) {
                return Ok(deleted);
            }
            // Another process may have done it.
            if self.shared.follows && !due(&*branch.fresh(&self.shared).await?) {
                return Ok(deleted);
            }
            let mut decide = |writer: &mut Writer| expire_some(writer, now_ms);
            match branch.write(&self.shared, origin, &mut decide).await?? {
                0 => return Ok(deleted),
                some => deleted += some,
            }
        }
    }
}

fn any_expired(state: &State, now_ms: i64) -> bool {
    state
        .collections()
        .any(|collection| expired(collection, now_ms).next().is_some())
}

fn expire_some(writer: &mut Writer, now_ms: i64) -> Result<u64, Error> {
    let mut due: Vec<(Arc<str>, RecordId)> = Vec::new();
    for collection in writer.state().collections() {
        let records =
            expired(collection, now_ms).map(|record| (Arc::clone(&collection.name), record));
        due.extend(records.take(BATCH.saturating_sub(due.len())));
    }
    let mut deleted = 0;
    for (collection, record) in due {
        // Two of its indexes, or two dates in an array, may have named the same document.
        let there = writer.collection(&collection);
        if there.is_some_and(|there| there.document(record).is_some()) {
            writer.delete(&collection, record)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// The records that have a date in a TTL index which is too long ago.
fn expired(collection: &Collection, now_ms: i64) -> impl Iterator<Item = RecordId> {
    collection
        .indexes()
        .iter()
        .filter_map(move |index| {
            let seconds = index.spec.expire_after_seconds()?;
            let latest = now_ms.checked_sub(i64::from(seconds).checked_mul(1_000)?)?;
            Some(dated(index, latest))
        })
        .flatten()
}

/// The records under a date up to `latest`; of an array any date counts, so its earliest decides.
fn dated(index: &Index, latest: i64) -> impl Iterator<Item = RecordId> {
    let descending = index.spec.fields()[0].descending;
    let entry = |date: i64, past: bool| {
        let mut bytes = Vec::with_capacity(24);
        key::append(&mut bytes, ValueRef::DateTime(date), descending);
        if past {
            // An entry is a key and a record's id: this is after all of the key's.
            bytes.extend_from_slice(&[0xFF; 9]);
        }
        bytes
    };
    let (low, high) = if descending {
        (entry(latest, false), entry(i64::MIN, true))
    } else {
        (entry(i64::MIN, false), entry(latest, true))
    };
    let bounds = (Bound::Included(&low[..]), Bound::Excluded(&high[..]));
    // The bounds are gone when this returns, so the records are collected: a batch of them is enough.
    let found: Vec<RecordId> = index
        .ascending(bounds)
        .map(|(_, record)| record)
        .take(BATCH)
        .collect();
    found.into_iter()
}
