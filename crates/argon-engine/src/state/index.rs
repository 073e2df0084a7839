//! A secondary index of one collection: an ordered set of keys, each followed by the record it leads to.

use std::ops::Bound;
use std::sync::Arc;

use argon_mql::Result;
use argon_mql::index::{IndexKeys, IndexSpec, Multikey};
use bytes::Bytes;

use super::RecordId;
use super::key::Key;
use super::sorted::Sorted;

/// A secondary index at one LSN.
#[derive(Clone)]
pub struct Index {
    /// Its specification.
    pub spec: Arc<IndexSpec>,
    /// Key bytes followed by the record's id (8 bytes, big-endian), so that equal keys stand in natural order.
    entries: Sorted<Key, ()>,
    /// Which paths ever led through an array: bounds on them cannot be intersected.
    pub multikey: Multikey,
}

/// Bytes of a record id at the end of an entry.
const RECORD_ID_LEN: usize = 8;

impl Index {
    /// An empty index.
    pub fn new(spec: Arc<IndexSpec>) -> Index {
        Index {
            spec,
            entries: Sorted::new(),
            multikey: Multikey::default(),
        }
    }

    /// The keys that `document` has in this index.
    ///
    /// # Errors
    /// What MongoDB answers for a document that cannot be indexed (parallel arrays).
    pub fn keys(&self, document: &Bytes) -> Result<IndexKeys> {
        self.spec.keys(document)
    }

    /// The first record other than `except` that has `key` already.
    pub fn holder(&self, key: &[u8], except: Option<RecordId>) -> Option<RecordId> {
        self.range(key)
            .map(|(_, record)| record)
            .find(|record| Some(*record) != except)
    }

    /// The entries whose key is exactly `key`, in natural order.
    fn range<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = (&'a [u8], RecordId)> + 'a {
        self.entries
            .range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
            .map(split)
            .take_while(move |(found, _)| *found == key)
    }

    /// Entries between two entry bounds, ascending.
    pub fn ascending<'a>(
        &'a self,
        bounds: (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a [u8], RecordId)> + 'a {
        self.entries.range::<[u8], _>(bounds).map(split)
    }

    /// Entries between two entry bounds, descending.
    pub fn descending<'a>(
        &'a self,
        bounds: (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a [u8], RecordId)> + 'a {
        self.entries.range_descending::<[u8], _>(bounds).map(split)
    }

    /// Adds `record` under each of `keys`.
    pub fn insert(&mut self, keys: &IndexKeys, record: RecordId) {
        self.multikey.merge(&keys.multikey);
        for key in &keys.keys {
            self.entries.insert(entry(key, record), ());
        }
    }

    /// Removes `record` from under each of `keys`.
    pub fn remove(&mut self, keys: &IndexKeys, record: RecordId) {
        for key in &keys.keys {
            self.entries.remove::<[u8]>(&entry(key, record));
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// About how many bytes its entries take.
    pub fn bytes(&self) -> u64 {
        // Keys are not added up as they come and go; one entry is about its inline size.
        (self.entries.len() * std::mem::size_of::<Key>()) as u64
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The entry of `record` under `key`.
pub fn entry(key: &[u8], record: RecordId) -> Key {
    Key::concat(key, &record.0.to_be_bytes())
}

fn split((entry, ()): &(Key, ())) -> (&[u8], RecordId) {
    let (key, record) = entry.split_at(entry.len().saturating_sub(RECORD_ID_LEN));
    let record = record
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (key, RecordId(record))
}
