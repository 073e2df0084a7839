//! Immutable contents of a branch at one LSN, and the pure fold that makes them from records.

mod collection;
mod index;
mod key;
mod meter;
mod options;
mod sessions;
mod sorted;

use std::sync::Arc;

use argon_mql::index::IndexSpec;
use argon_mql::{Doc, ValueRef};
use argon_storage::record::apply_patch;
use argon_storage::{ClusterTime, Entry, Lsn, Record};
use bytes::Bytes;
use imbl::OrdMap;

pub use collection::{Collection, RecordId};
pub use index::{Index, entry};
pub use key::Key;
pub use meter::Meter;
pub use options::{Capped, Options, Validator, View};
pub use sessions::{Remembered, SPAN, SessionTable};

/// A branch's contents at one LSN. Cloning it is O(1); two states share what they have in common.
#[derive(Clone)]
pub struct State {
    /// The position of the last entry it holds.
    pub lsn: Lsn,
    /// The logical time of the last record it holds.
    pub cluster_time: ClusterTime,
    /// Wall clock of the last record it holds, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// What retries of writes are answered from.
    pub sessions: SessionTable,
    collections: OrdMap<Arc<str>, Arc<Collection>>,
}

/// An entry that does not fit the state it is applied to: the log is damaged, or was written by a newer version.
#[derive(Clone, Debug, thiserror::Error)]
#[error("entry `{operation}` does not fit: {reason}")]
pub struct Misfit {
    /// The entry's operation.
    pub operation: &'static str,
    /// Why it does not fit.
    pub reason: String,
}

impl State {
    /// The empty state before the first entry of a lineage.
    pub fn empty() -> State {
        State {
            lsn: Lsn::ZERO,
            cluster_time: ClusterTime::default(),
            timestamp_ms: 0,
            sessions: SessionTable::default(),
            collections: OrdMap::new(),
        }
    }

    /// The collection called `name`.
    pub fn collection(&self, name: &str) -> Option<&Arc<Collection>> {
        self.collections.get(name)
    }

    /// All collections, by name.
    pub fn collections(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.collections.values()
    }

    /// Replays `record` on top: the fold whose value at LSN n is *the* state at n.
    ///
    /// # Errors
    /// [`Misfit`] if the log is damaged; the state must then be thrown away.
    pub fn replay(&mut self, record: &Record, meter: &Arc<Meter>) -> Result<(), Misfit> {
        for entry in &record.entries {
            self.apply(entry, meter)?;
        }
        self.seal(record);
        Ok(())
    }

    /// Takes over a record's position, times and session after its entries were applied.
    pub fn seal(&mut self, record: &Record) {
        self.lsn = record.last();
        self.cluster_time = record.cluster_time;
        self.timestamp_ms = record.timestamp_ms;
        if let Some(stamp) = &record.session {
            self.sessions.remember(stamp, record.timestamp_ms);
        }
    }

    /// Applies one entry.
    ///
    /// # Errors
    /// [`Misfit`] if it does not fit what is there.
    pub fn apply(&mut self, entry: &Entry, meter: &Arc<Meter>) -> Result<(), Misfit> {
        let misfit = |reason: String| Misfit {
            operation: entry.operation(),
            reason,
        };
        match entry {
            Entry::Put {
                collection,
                document,
            } => {
                let collection = self.require(collection).map_err(misfit)?;
                collection
                    .put(document, meter)
                    .map_err(|error| misfit(error.to_string()))?;
            }
            Entry::Patch {
                collection,
                document_id,
                splices,
            } => {
                let collection = self.require(collection).map_err(misfit)?;
                let record = find(collection, document_id).map_err(misfit)?;
                let old = collection.document(record).cloned().unwrap_or_default();
                let new = apply_patch(&old, splices)
                    .ok_or_else(|| misfit("the patch does not fit the document".to_owned()))?;
                collection
                    .replace(record, &Bytes::from(new), meter)
                    .map_err(|error| misfit(error.to_string()))?;
            }
            Entry::Delete {
                collection,
                document_id,
            } => {
                let collection = self.require(collection).map_err(misfit)?;
                let record = find(collection, document_id).map_err(misfit)?;
                collection.delete(record);
            }
            Entry::CreateCollection {
                collection,
                options,
            } => {
                let options =
                    Options::parse(options.clone()).map_err(|error| misfit(error.to_string()))?;
                let created = Collection::new(Arc::clone(collection), Arc::new(options));
                self.collections
                    .insert(Arc::clone(collection), Arc::new(created));
            }
            Entry::DropCollection { collection } => {
                self.collections.remove(&**collection);
            }
            Entry::RenameCollection { from, to, .. } => {
                let Some(mut moved) = self.collections.remove(&**from) else {
                    return Err(misfit(format!("no collection {from}")));
                };
                Arc::make_mut(&mut moved).name = Arc::clone(to);
                self.collections.insert(Arc::clone(to), moved);
            }
            Entry::CreateIndex { collection, spec } => {
                let collection = self.require(collection).map_err(misfit)?;
                let spec =
                    IndexSpec::parse(Doc::new(spec)).map_err(|error| misfit(error.to_string()))?;
                let index = collection
                    .build_index(Arc::new(spec), "")
                    .map_err(|error| misfit(error.to_string()))?;
                collection.add_index(index);
            }
            Entry::DropIndex { collection, name } => {
                self.require(collection).map_err(misfit)?.drop_index(name);
            }
            Entry::CollMod {
                collection,
                options,
            } => {
                let options =
                    Options::parse(options.clone()).map_err(|error| misfit(error.to_string()))?;
                self.require(collection).map_err(misfit)?.options = Arc::new(options);
            }
            Entry::DropDatabase => self.collections = OrdMap::new(),
            Entry::Noop => {}
        }
        Ok(())
    }

    /// The collection to change; a shared one is cloned first, which is O(1).
    pub(crate) fn collection_mut(&mut self, name: &str) -> Option<&mut Collection> {
        self.collections.get_mut(name).map(Arc::make_mut)
    }

    /// Adds an index that was built already, in place of replaying its entry.
    pub(crate) fn add_built_index(&mut self, collection: &str, index: Index) {
        if let Some(collection) = self.collection_mut(collection) {
            collection.add_index(index);
        }
    }

    fn require(&mut self, name: &str) -> Result<&mut Collection, String> {
        self.collection_mut(name)
            .ok_or_else(|| format!("no collection {name}"))
    }
}

fn find(collection: &Collection, document_id: &[u8]) -> Result<RecordId, String> {
    let id = Doc::new(document_id)
        .get("_id")
        .unwrap_or(ValueRef::Missing);
    collection
        .find_id(id)
        .ok_or_else(|| format!("no document {id:?} in {}", collection.name))
}
