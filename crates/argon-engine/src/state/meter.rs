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

/// What a document costs beside its bytes: its entry in the natural order and in the `_id` index, its owner, the
/// allocation's header and rounding, and the slack of tree nodes. Measured in `docs/performance.md`.
const DOCUMENT_OVERHEAD: usize = 144;

/// The owner of one document's bytes. `B` is the place for them: an array of a fixed size, so that the bytes stand beside
/// the count of their owners, in one allocation; or a box, if they are many.
struct Held<B> {
    bytes: B,
    len: usize,
    _receipt: Receipt,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Held<B> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes.as_ref()[..self.len]
    }
}

/// What a document was counted as; dropping it ends the count.
struct Receipt {
    cost: usize,
    meter: Arc<Meter>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.meter.held.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

/// Copies `document` to the smallest of the arrays that has room for it, or to a box.
macro_rules! place {
    ($document:expr, $receipt:expr, [$($size:literal)*]) => {
        match $document.len() {
            $(len if len <= $size => {
                let mut bytes = [0; $size];
                bytes[..len].copy_from_slice($document);
                Bytes::from_owner(Held { bytes, len, _receipt: $receipt })
            })*
            len => {
                let bytes: Box<[u8]> = $document.into();
                Bytes::from_owner(Held { bytes, len, _receipt: $receipt })
            }
        }
    };
}

impl Meter {
    /// Copies `document` out of the message or page it arrived in and counts it until it is dropped; `index_entries` is
    /// how many secondary index entries it is expected to have.
    pub fn hold(self: &Arc<Self>, document: &[u8], index_entries: usize) -> Bytes {
        let cost = document.len() + DOCUMENT_OVERHEAD + index_entries * INDEX_ENTRY_OVERHEAD;
        self.held.fetch_add(cost, Ordering::Relaxed);
        let receipt = Receipt {
            cost,
            meter: Arc::clone(self),
        };
        // In steps of 32 bytes: on average, half a step is wasted.
        place!(document, receipt, [
            32 64 96 128 160 192 224 256 288 320 352 384 416 448 480 512
            544 576 608 640 672 704 736 768 800 832 864 896 928 960 992 1024
        ])
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one entry of a secondary index costs.
const INDEX_ENTRY_OVERHEAD: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_every_size_keep_their_bytes() {
        let meter = Arc::new(Meter::default());
        let bytes: Vec<u8> = (0..1100u32).map(|at| at.to_le_bytes()[0]).collect();
        for len in 0..bytes.len() {
            assert_eq!(meter.hold(&bytes[..len], 0), bytes[..len]);
        }
        assert_eq!(meter.held(), 0);
    }

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
