//! The decisions of one command: changes to a private state, and the entries that will stand for them in the log.

use std::sync::Arc;

use argon_mql::index::IndexSpec;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_storage::record::CollectionName;
use argon_storage::{Entry, Operation, SessionStamp, Splice, Statement};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::state::{Collection, Meter, RecordId, Remembered, State};

/// A retryable write's place in its session.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The session's identity.
    pub lsid: Bytes,
    /// The number the driver gave the write.
    pub txn_number: i64,
    /// The number of its first statement.
    pub stmt_id: i32,
}

/// What one command decides on top of a branch's head. Dropping it undoes everything.
pub struct Writer {
    pub(crate) state: State,
    pub(crate) entries: Vec<Entry>,
    pub(crate) operation: Operation,
    pub(crate) stamp: Option<SessionStamp>,
    database: Arc<str>,
    meter: Arc<Meter>,
}

/// A patch is logged when it takes at most this share of the document (one in …): below that, reading a whole document
/// back beats following a chain of patches.
const PATCH_SHARE: usize = 4;

impl Writer {
    pub(crate) fn new(state: State, database: Arc<str>, meter: Arc<Meter>) -> Writer {
        Writer {
            state,
            entries: Vec::new(),
            operation: Operation::Write,
            stamp: None,
            database,
            meter,
        }
    }

    /// The state with this command's changes so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The collection with this command's changes so far.
    pub fn collection(&self, name: &str) -> Option<&Arc<Collection>> {
        self.state.collection(name)
    }

    /// The name under which the client addresses `collection`.
    pub fn namespace(&self, collection: &str) -> String {
        format!("{}.{collection}", self.database)
    }

    /// How many changes were decided so far: whether a statement changed anything is seen by comparing.
    pub fn changes(&self) -> usize {
        self.entries.len()
    }

    /// The outcome of an earlier attempt of this write, if there was one.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] if the session has moved on.
    pub fn earlier_outcome(&self, retry: &Retry) -> Result<Option<Bytes>> {
        match self
            .state
            .sessions
            .look_up(&retry.lsid, retry.txn_number, retry.stmt_id)
        {
            Remembered::New => Ok(None),
            Remembered::Done(outcome) => Ok(Some(outcome)),
            Remembered::TooOld(known) => Err(Error::TransactionTooOld {
                asked: retry.txn_number,
                known,
            }),
        }
    }

    /// Has the record remember `outcome` (a BSON document) for a retry of this write.
    pub fn remember(&mut self, retry: &Retry, outcome: Bytes) {
        let statement = Statement {
            stmt_id: retry.stmt_id,
            outcome,
        };
        let stamp = self.stamp.get_or_insert_with(|| SessionStamp {
            lsid: retry.lsid.clone(),
            txn_number: retry.txn_number,
            statements: Vec::new(),
        });
        stamp.statements.push(statement);
    }

    /// Inserts `document`, which has an `_id`.
    ///
    /// # Errors
    /// [`ErrorCode::DuplicateKey`] with details, or what an index answers. Nothing has changed then.
    pub fn insert(&mut self, collection: &str, document: Bytes) -> Result<RecordId> {
        let target = self.require(collection)?;
        let id = Doc::new(&document).get("_id").unwrap_or(ValueRef::Missing);
        if target.find_id(id).is_some() {
            return Err(self.duplicate_id(collection, &document));
        }
        self.check_unique(target, &document, None)?;
        let name = Arc::clone(&target.name);
        let record = self.change(collection, |target, meter| target.put(&document, meter))?;
        self.entries.push(Entry::Put {
            collection: name,
            document,
        });
        Ok(record)
    }

    /// Puts `document`, which has the same `_id`, in place of the one at `record`.
    ///
    /// # Errors
    /// [`ErrorCode::DuplicateKey`] with details, or what an index answers. Nothing has changed then.
    pub fn replace(&mut self, collection: &str, record: RecordId, document: Bytes) -> Result<()> {
        let target = self.require(collection)?;
        self.check_unique(target, &document, Some(record))?;
        let old = target.document(record).cloned().unwrap_or_default();
        let name = Arc::clone(&target.name);
        self.change(collection, |target, meter| {
            target.replace(record, &document, meter)
        })?;
        self.entries.push(match splice(&old, &document) {
            Some(splices) => Entry::Patch {
                collection: name,
                document_id: only_id(&old),
                splices,
            },
            None => Entry::Put {
                collection: name,
                document,
            },
        });
        Ok(())
    }

    /// Deletes the document at `record`; gives it back.
    ///
    /// # Errors
    /// If there is no such collection.
    pub fn delete(&mut self, collection: &str, record: RecordId) -> Result<Option<Bytes>> {
        let name = Arc::clone(&self.require(collection)?.name);
        let Some(old) = self.change(collection, |target, _| Ok(target.delete(record)))? else {
            return Ok(None);
        };
        self.entries.push(Entry::Delete {
            collection: name,
            document_id: only_id(&old),
        });
        Ok(Some(old))
    }

    /// Creates a collection. `options` is the BSON document of its options, with its UUID.
    ///
    /// # Errors
    /// [`ErrorCode::NamespaceExists`].
    pub fn create_collection(&mut self, name: &str, options: Bytes) -> Result<()> {
        if self.collection(name).is_some() {
            let message = format!("Collection {} already exists.", self.namespace(name));
            return Err(language(ErrorCode::NamespaceExists, message));
        }
        self.define(
            Operation::Create,
            Entry::CreateCollection {
                collection: name.into(),
                options,
            },
        )
    }

    /// Drops a collection.
    ///
    /// # Errors
    /// [`ErrorCode::NamespaceNotFound`].
    pub fn drop_collection(&mut self, name: &str) -> Result<()> {
        let collection = Arc::clone(&self.require(name)?.name);
        self.define(Operation::Drop, Entry::DropCollection { collection })
    }

    /// Renames a collection.
    ///
    /// # Errors
    /// [`ErrorCode::NamespaceNotFound`], and [`ErrorCode::NamespaceExists`] for a target that is not to be dropped.
    pub fn rename_collection(&mut self, from: &str, to: &str, drop_target: bool) -> Result<()> {
        let from: CollectionName = Arc::clone(&self.require(from)?.name);
        if self.collection(to).is_some() && !drop_target {
            return Err(language(
                ErrorCode::NamespaceExists,
                "target namespace exists",
            ));
        }
        self.define(
            Operation::Rename,
            Entry::RenameCollection {
                from,
                to: to.into(),
                drop_target,
            },
        )
    }

    /// Gives a collection other options, whole.
    ///
    /// # Errors
    /// [`ErrorCode::NamespaceNotFound`].
    pub fn modify_collection(&mut self, name: &str, options: Bytes) -> Result<()> {
        let collection = Arc::clone(&self.require(name)?.name);
        self.define(
            Operation::CollMod,
            Entry::CollMod {
                collection,
                options,
            },
        )
    }

    /// Creates an index and builds it.
    ///
    /// # Errors
    /// [`ErrorCode::DuplicateKey`] for a unique index over equal keys, or what a document answers that cannot be indexed.
    pub fn create_index(&mut self, collection: &str, spec: &Arc<IndexSpec>) -> Result<()> {
        let target = self.require(collection)?;
        let name = Arc::clone(&target.name);
        let index = target.build_index(Arc::clone(spec), &self.namespace(collection))?;
        self.operation = Operation::Index;
        self.state.add_built_index(collection, index);
        self.entries.push(Entry::CreateIndex {
            collection: name,
            spec: spec.document().clone(),
        });
        Ok(())
    }

    /// Drops the secondary index called `name`.
    ///
    /// # Errors
    /// [`ErrorCode::NamespaceNotFound`], [`ErrorCode::IndexNotFound`].
    pub fn drop_index(&mut self, collection: &str, name: &str) -> Result<()> {
        let target = self.require(collection)?;
        if target.index(name).is_none() {
            return Err(language(
                ErrorCode::IndexNotFound,
                format!("index not found with name [{name}]"),
            ));
        }
        let collection = Arc::clone(&target.name);
        self.define(
            Operation::Index,
            Entry::DropIndex {
                collection,
                name: name.to_owned(),
            },
        )
    }

    /// Drops every collection.
    ///
    /// # Errors
    /// None that a fitting state can give.
    pub fn drop_database(&mut self) -> Result<()> {
        if self.state.collections().next().is_none() {
            return Ok(());
        }
        self.define(Operation::Drop, Entry::DropDatabase)
    }

    /// Applies an entry of metadata as its replay will.
    fn define(&mut self, operation: Operation, entry: Entry) -> Result<()> {
        self.state
            .apply(&entry, &self.meter)
            .map_err(|misfit| language(ErrorCode::InternalError, misfit.to_string()))?;
        self.operation = operation;
        self.entries.push(entry);
        Ok(())
    }

    fn require(&self, name: &str) -> Result<&Arc<Collection>> {
        self.state.collection(name).ok_or_else(|| {
            language(
                ErrorCode::NamespaceNotFound,
                format!("ns not found: {}", self.namespace(name)),
            )
        })
    }

    fn change<T>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Collection, &Arc<Meter>) -> argon_mql::Result<T>,
    ) -> Result<T> {
        let meter = Arc::clone(&self.meter);
        let namespace = self.namespace(name);
        let collection = self.state.collection_mut(name).ok_or_else(|| {
            language(
                ErrorCode::NamespaceNotFound,
                format!("ns not found: {namespace}"),
            )
        })?;
        Ok(change(collection, &meter)?)
    }

    fn check_unique(
        &self,
        collection: &Collection,
        document: &Bytes,
        except: Option<RecordId>,
    ) -> Result<()> {
        for index in collection
            .indexes()
            .iter()
            .filter(|index| index.spec.unique())
        {
            for key in &index.keys(document)?.keys {
                if index.holder(key, except).is_some() {
                    let namespace = self.namespace(&collection.name);
                    let duplicate = index.spec.duplicate(&namespace, Doc::new(document), key);
                    return Err(duplicate.into_error().into());
                }
            }
        }
        Ok(())
    }

    fn duplicate_id(&self, collection: &str, document: &Bytes) -> Error {
        let index = IndexSpec::id();
        let keys = match index.keys(document) {
            Ok(keys) => keys.keys,
            Err(error) => return error.into(),
        };
        let key = keys.first().map(Vec::as_slice).unwrap_or_default();
        index
            .duplicate(&self.namespace(collection), Doc::new(document), key)
            .into_error()
            .into()
    }
}

fn language(code: ErrorCode, message: impl Into<String>) -> Error {
    Error::Language(argon_mql::Error::new(code, message))
}

/// `{_id: …}` of a document.
fn only_id(document: &[u8]) -> Bytes {
    let mut id = DocBuf::with_capacity(32);
    id.append(
        "_id",
        Doc::new(document).get("_id").unwrap_or(ValueRef::Missing),
    );
    id.finish()
}

/// The one change between two documents' bytes, if it is much smaller than the document: what stands between their
/// common beginning and their common end, and the length at the front.
fn splice(old: &[u8], new: &[u8]) -> Option<Vec<Splice>> {
    const LENGTH: usize = 4;
    let (old_body, new_body) = (old.get(LENGTH..)?, new.get(LENGTH..)?);
    let shorter = old_body.len().min(new_body.len());
    let same = |(a, b): &(&u8, &u8)| a == b;
    let prefix = old_body.iter().zip(new_body).take_while(same).count();
    let suffix = old_body
        .iter()
        .rev()
        .zip(new_body.iter().rev())
        .take(shorter - prefix)
        .take_while(same)
        .count();
    let insert = &new_body[prefix..new_body.len() - suffix];
    if insert.len() > new.len() / PATCH_SHARE {
        return None;
    }
    let body = Splice {
        at: u32::try_from(LENGTH + prefix).ok()?,
        remove: u32::try_from(old_body.len() - suffix - prefix).ok()?,
        insert: Bytes::copy_from_slice(insert),
    };
    if old.len() == new.len() {
        return Some(vec![body]);
    }
    let length = Splice {
        at: 0,
        remove: 4,
        insert: Bytes::copy_from_slice(&new[..LENGTH]),
    };
    Some(vec![length, body])
}

#[cfg(test)]
mod tests {
    use argon_storage::record::apply_patch;

    use super::*;

    #[test]
    fn a_splice_makes_the_new_document_of_the_old() {
        let document = |value: &str, tail: i32| {
            let mut document = DocBuf::new();
            document.append("_id", ValueRef::Int32(1));
            document.append("pad", ValueRef::String("x".repeat(200).as_str().into()));
            document.append("v", ValueRef::String(value.into()));
            document.append("tail", ValueRef::Int32(tail));
            document.finish()
        };
        let old = document("abc", 1);
        for new in [
            document("abd", 1),
            document("", 1),
            document("abcabc", 2),
            document("abc", 1),
        ] {
            let splices = splice(&old, &new).unwrap();
            assert_eq!(apply_patch(&old, &splices).unwrap(), new);
        }
        assert!(splice(&old, &document(&"y".repeat(200), 1)).is_none());
    }
}
