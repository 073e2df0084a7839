//! Exact accounting of the memory that documents hold, over all states that share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes that the documents of all states hold. A document shared by a hundred branches counts once, and stops counting
/// when the last state (or reader) lets go of it: so the cache knows what an eviction really frees.
#[derive(Debug, Default)]
pub struct Meter {
    held: AtomicUsize,
}

/// What a document costs beside its bytes: its entry in the natural order and in the `_id` index, the allocation's
/// header, and the slack of half-filled tree nodes. Measured in `docs/performance.md`.
const DOCUMENT_OVERHEAD: usize = 176;

/// The owner of one document's bytes.
struct Held {
    bytes: Box<[u8]>,
    cost: usize,
    meter: Arc<Meter>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.meter.held.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

impl Meter {
    /// Copies `document` out of the message or page it arrived in and counts it until it is dropped; `index_entries` is
    /// how many secondary index entries it is expected to have.
    pub fn hold(self: &Arc<Self>, document: &[u8], index_entries: usize) -> Bytes {
        let cost = document.len() + DOCUMENT_OVERHEAD + index_entries * INDEX_ENTRY_OVERHEAD;
        self.held.fetch_add(cost, Ordering::Relaxed);
        Bytes::from_owner(Held {
            bytes: document.into(),
            cost,
            meter: Arc::clone(self),
        })
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one entry of a secondary index costs.
const INDEX_ENTRY_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_document_counts_once_until_the_last_reader_goes() {
        let meter = Arc::new(Meter::default());
        let document = meter.hold(b"\x05\0\0\0\0", 0);
        let shared = document.clone();
        let held = meter.held();
        assert!(held >= 5);
        drop(document);
        assert_eq!(meter.held(), held);
        drop(shared);
        assert_eq!(meter.held(), 0);
    }
}
