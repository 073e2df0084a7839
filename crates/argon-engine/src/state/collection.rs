//! One collection at one LSN.

use std::ops::Bound;
use std::sync::Arc;

use argon_mql::index::{IndexKeys, IndexSpec};
use argon_mql::value::key;
use argon_mql::{Doc, Result, ValueRef};
use bytes::Bytes;

use super::index::Index;
use super::key::Key;
use super::meter::Meter;
use super::options::Options;
use super::sorted::Sorted;

/// The place of a document in its collection's natural order. Given out in insertion order, kept by updates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordId(pub u64);

/// A collection at one LSN. A clone shares everything and costs O(1); a change copies only the path to what it touches.
#[derive(Clone)]
pub struct Collection {
    /// The name, without the database.
    pub name: Arc<str>,
    /// What it was created with.
    pub options: Arc<Options>,
    records: Sorted<RecordId, Bytes>,
    ids: Sorted<Key, RecordId>,
    indexes: Vec<Arc<Index>>,
    next: RecordId,
    bytes: u64,
}

impl Collection {
    /// An empty collection.
    pub fn new(name: Arc<str>, options: Arc<Options>) -> Collection {
        Collection {
            name,
            options,
            records: Sorted::new(),
            ids: Sorted::new(),
            indexes: Vec::new(),
            next: RecordId(1),
            bytes: 0,
        }
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has no document.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all documents.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// About how many bytes the entries of its `_id` index take.
    pub fn id_index_bytes(&self) -> u64 {
        (self.ids.len() * std::mem::size_of::<(Key, RecordId)>()) as u64
    }

    /// The document at `record`.
    pub fn document(&self, record: RecordId) -> Option<&Bytes> {
        self.records.get(&record)
    }

    /// The record whose `_id` equals `id`.
    pub fn find_id(&self, id: ValueRef<'_>) -> Option<RecordId> {
        self.ids.get(self.id_key(id).as_slice()).copied()
    }

    /// Whether a document has the `_id` whose key is `id`.
    pub fn holds(&self, id: &Key) -> bool {
        self.ids.get(id.as_slice()).is_some()
    }

    /// Documents in natural order, from after `after` on.
    pub fn after(&self, after: Option<RecordId>) -> impl Iterator<Item = (RecordId, &Bytes)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.records
            .range::<RecordId, _>((from, Bound::Unbounded))
            .map(|(record, document)| (*record, document))
    }

    /// Documents in natural order, from before `before` backwards.
    pub fn before(&self, before: Option<RecordId>) -> impl Iterator<Item = (RecordId, &Bytes)> {
        let to = before.map_or(Bound::Unbounded, Bound::Excluded);
        self.records
            .range_descending::<RecordId, _>((Bound::Unbounded, to))
            .map(|(record, document)| (*record, document))
    }

    /// Entries of the `_id` index between two keys, ascending.
    pub fn ids<'a>(
        &'a self,
        bounds: (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a [u8], RecordId)> + 'a {
        self.ids
            .range::<[u8], _>(bounds)
            .map(|(key, record)| (key.as_slice(), *record))
    }

    /// Entries of the `_id` index between two keys, descending.
    pub fn ids_descending<'a>(
        &'a self,
        bounds: (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a [u8], RecordId)> + 'a {
        self.ids
            .range_descending::<[u8], _>(bounds)
            .map(|(key, record)| (key.as_slice(), *record))
    }

    /// The secondary indexes, in creation order.
    pub fn indexes(&self) -> &[Arc<Index>] {
        &self.indexes
    }

    /// The secondary index called `name`.
    pub fn index(&self, name: &str) -> Option<&Arc<Index>> {
        self.indexes.iter().find(|index| index.spec.name() == name)
    }

    /// Stores `document` under its `_id`: in place of the one that has it, or at the end of the natural order.
    ///
    /// # Errors
    /// What MongoDB answers for a document that an index cannot take. Nothing has changed then.
    pub fn put(&mut self, document: &Bytes, meter: &Arc<Meter>) -> Result<RecordId> {
        let id = self.id_key(Doc::new(document).get("_id").unwrap_or(ValueRef::Missing));
        match self.ids.get(id.as_slice()).copied() {
            Some(record) => {
                self.replace(record, document, meter)?;
                Ok(record)
            }
            None => self.add(id, document, meter),
        }
    }

    /// Stores `document` at the end of the natural order, under `id`, the key of its `_id`, which nothing has yet.
    ///
    /// # Errors
    /// What MongoDB answers for a document that an index cannot take. Nothing has changed then.
    pub(crate) fn add(
        &mut self,
        id: Key,
        document: &Bytes,
        meter: &Arc<Meter>,
    ) -> Result<RecordId> {
        let record = self.next;
        for (index, keys) in self.index_keys(document)? {
            Arc::make_mut(&mut self.indexes[index]).insert(&keys, record);
        }
        self.next = RecordId(record.0 + 1);
        self.bytes += document.len() as u64;
        self.records
            .insert(record, meter.hold(document, self.indexes.len()));
        self.ids.insert(id, record);
        Ok(record)
    }

    /// Puts `document`, which has the same `_id`, in place of the one at `record`.
    ///
    /// # Errors
    /// What MongoDB answers for a document that an index cannot take. Nothing has changed then.
    pub fn replace(
        &mut self,
        record: RecordId,
        document: &Bytes,
        meter: &Arc<Meter>,
    ) -> Result<()> {
        let added = self.index_keys(document)?;
        let held = meter.hold(document, self.indexes.len());
        let Some(old) = self.records.insert(record, held) else {
            return Ok(());
        };
        let removed = self.index_keys(&old)?;
        for ((index, added), (_, removed)) in added.iter().zip(&removed) {
            if added != removed {
                let index = Arc::make_mut(&mut self.indexes[*index]);
                index.remove(removed, record);
                index.insert(added, record);
            }
        }
        self.bytes = self.bytes + document.len() as u64 - old.len() as u64;
        Ok(())
    }

    /// Removes the document at `record`.
    pub fn delete(&mut self, record: RecordId) -> Option<Bytes> {
        let old = self.records.remove(&record)?;
        // Keys could be made of it when it came in, so they can be made again.
        for (index, keys) in self.index_keys(&old).unwrap_or_default() {
            Arc::make_mut(&mut self.indexes[index]).remove(&keys, record);
        }
        let id = self.id_key(Doc::new(&old).get("_id").unwrap_or(ValueRef::Missing));
        self.ids.remove(id.as_slice());
        self.bytes -= old.len() as u64;
        Some(old)
    }

    /// Builds an index over the documents there are.
    ///
    /// # Errors
    /// What MongoDB answers for a document that cannot be indexed, and for two with the same key of a unique index.
    /// `namespace` is the name by which error texts call the collection.
    pub fn build_index(&self, spec: Arc<IndexSpec>, namespace: &str) -> Result<Index> {
        let mut index = Index::new(spec);
        // A build sorts the keys first, so the least of those that are there twice is the one to name.
        let mut least = None;
        for (record, document) in self.records.iter() {
            let keys = index.keys(document)?;
            if index.spec.unique() {
                for key in &keys.keys {
                    if least.as_ref().is_none_or(|(least, _)| key < least)
                        && index.holder(key, Some(*record)).is_some()
                    {
                        least = Some((key.clone(), document));
                    }
                }
            }
            index.insert(&keys, *record);
        }
        match least {
            Some((key, document)) => {
                let duplicate = index.spec.duplicate(namespace, Doc::new(document), &key);
                Err(duplicate.into_error())
            }
            None => Ok(index),
        }
    }

    /// Adds a built index.
    pub fn add_index(&mut self, index: Index) {
        self.indexes.push(Arc::new(index));
    }

    /// Drops the secondary index called `name`.
    pub fn drop_index(&mut self, name: &str) {
        self.indexes.retain(|index| index.spec.name() != name);
    }

    fn index_keys(&self, document: &Bytes) -> Result<Vec<(usize, IndexKeys)>> {
        self.indexes
            .iter()
            .enumerate()
            .map(|(at, index)| Ok((at, index.keys(document)?)))
            .collect()
    }

    /// The key under which the `_id` index holds `id`.
    pub fn id_key(&self, id: ValueRef<'_>) -> Key {
        // The encoding writes to a vector; ids are short, so copying into the key costs next to nothing.
        let mut bytes = Vec::with_capacity(24);
        key::append_with(&mut bytes, id, false, self.options.collation.as_deref());
        Key::from_slice(&bytes)
    }
}
