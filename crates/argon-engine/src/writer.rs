//! The decisions of one command: changes to a private state, and the entries that will stand for them in the log.

use std::sync::Arc;

use argon_mql::index::IndexSpec;
use argon_mql::{Doc, DocBuf, Env, ErrorCode, ValueRef};
use argon_storage::record::CollectionName;
use argon_storage::{Entry, Operation, SessionStamp, Splice, Statement};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::state::{Capped, Collection, Index, Meter, RecordId, Remembered, State};

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
    /// Whether documents are stored whatever the collection's validator says of them.
    pub bypass_validation: bool,
    database: Arc<str>,
    meter: Arc<Meter>,
    now_ms: i64,
}

/// A patch is logged when it takes at most this share of the document (one in …): below that, reading a whole document
/// back beats following a chain of patches.
const PATCH_SHARE: usize = 4;

impl Writer {
    pub(crate) fn new(state: State, database: Arc<str>, meter: Arc<Meter>, now_ms: i64) -> Writer {
        Writer {
            state,
            entries: Vec::new(),
            operation: Operation::Write,
            stamp: None,
            bypass_validation: false,
            now_ms,
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
        // Borrowed, never cloned: a second owner would make the change below copy the path to the document.
        let target = self.require_collection(collection)?;
        self.validate(target, None, &document)?;
        let id = Doc::new(&document).get("_id").unwrap_or(ValueRef::Missing);
        let id = target.id_key(id);
        if target.holds(&id) {
            return Err(self.duplicate_id(target, &document));
        }
        self.check_unique(target, &document, None)?;
        let (name, capped) = (Arc::clone(&target.name), target.options.capped);
        let record = self.change(collection, |target, meter| target.add(id, &document, meter))?;
        self.entries.push(Entry::Put {
            collection: name,
            document,
        });
        if let Some(capped) = capped {
            self.shorten(collection, capped)?;
        }
        Ok(record)
    }

    /// Puts `document`, which has the same `_id`, in place of the one at `record`.
    ///
    /// # Errors
    /// [`ErrorCode::DuplicateKey`] with details, or what an index answers. Nothing has changed then.
    pub fn replace(&mut self, collection: &str, record: RecordId, document: Bytes) -> Result<()> {
        // Borrowed, never cloned: see `insert`.
        let target = self.require_collection(collection)?;
        let old = target.document(record).cloned().unwrap_or_default();
        self.validate(target, Some(&old), &document)?;
        self.check_unique(target, &document, Some(record))?;
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
        let name = Arc::clone(&self.require_collection(collection)?.name);
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
        let target = self.require_collection(collection)?;
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
        let target = self.require_collection(collection)?;
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

    /// Gives an index another specification with the same keys: its expiry or visibility. It is not built anew.
    ///
    /// # Errors
    /// [`ErrorCode::NamespaceNotFound`].
    pub fn modify_index(
        &mut self,
        collection: &str,
        name: &str,
        spec: &Arc<IndexSpec>,
    ) -> Result<()> {
        let target = self.require_collection(collection)?;
        let collection: CollectionName = Arc::clone(&target.name);
        let Some(index) = target.index(name) else {
            return Ok(());
        };
        let mut index = Index::clone(index);
        index.spec = Arc::clone(spec);
        if let Some(target) = self.state.collection_mut(&collection) {
            target.drop_index(name);
            target.add_index(index);
        }
        self.operation = Operation::CollMod;
        let name = name.to_owned();
        self.entries.push(Entry::DropIndex {
            collection: Arc::clone(&collection),
            name,
        });
        self.entries.push(Entry::CreateIndex {
            collection,
            spec: spec.document().clone(),
        });
        Ok(())
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

    /// Refuses a view; a collection that does not exist is none.
    ///
    /// # Errors
    /// [`ErrorCode::CommandNotSupportedOnView`].
    pub fn refuse_view(&self, name: &str) -> Result<()> {
        match self.collection(name) {
            Some(_) => self.require_collection(name).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The collection to write documents or indexes to; a view has none.
    fn require_collection(&self, name: &str) -> Result<&Arc<Collection>> {
        let target = self.require(name)?;
        if target.options.view.is_some() {
            let message = format!(
                "Namespace {} is a view, not a collection",
                self.namespace(name)
            );
            return Err(language(ErrorCode::CommandNotSupportedOnView, message));
        }
        Ok(target)
    }

    fn require(&self, name: &str) -> Result<&Arc<Collection>> {
        self.state
            .collection(name)
            .ok_or_else(|| self.not_found(name))
    }

    fn not_found(&self, name: &str) -> Error {
        language(
            ErrorCode::NamespaceNotFound,
            format!("ns not found: {}", self.namespace(name)),
        )
    }

    fn change<T>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Collection, &Arc<Meter>) -> argon_mql::Result<T>,
    ) -> Result<T> {
        match self.state.collection_mut(name) {
            Some(collection) => Ok(change(collection, &self.meter)?),
            None => Err(self.not_found(name)),
        }
    }

    /// Refuses a document that the collection's validator does not take.
    fn validate(&self, target: &Collection, old: Option<&Bytes>, document: &Bytes) -> Result<()> {
        let Some(validator) = target
            .options
            .validator
            .as_ref()
            .filter(|_| !self.bypass_validation)
        else {
            return Ok(());
        };
        let env = Env {
            now_ms: self.now_ms,
            ..Env::fixed()
        };
        if validator.passes(document, &env)? {
            return Ok(());
        }
        if let Some(old) = old.filter(|_| validator.moderate)
            && !validator.passes(old, &env)?
        {
            return Ok(());
        }
        if validator.warn {
            tracing::warn!(
                namespace = self.namespace(&target.name),
                "Document would fail validation"
            );
            return Ok(());
        }
        Err(validator.failure(document, &env).into())
    }

    /// Deletes the oldest documents of a capped collection until the rest fits.
    fn shorten(&mut self, collection: &str, capped: Capped) -> Result<()> {
        loop {
            let Some(target) = self.collection(collection) else {
                return Ok(());
            };
            let over = target.bytes() > capped.bytes
                || capped
                    .documents
                    .is_some_and(|most| target.len() as u64 > most);
            let oldest = target.after(None).next().map(|(record, _)| record);
            // The newest document stays, however large it is.
            match oldest.filter(|_| over && target.len() > 1) {
                Some(oldest) => self.delete(collection, oldest)?,
                None => return Ok(()),
            };
        }
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

    fn duplicate_id(&self, collection: &Collection, document: &Bytes) -> Error {
        let described = || -> argon_mql::Result<argon_mql::Error> {
            let index = match &collection.options.collation {
                None => IndexSpec::id(),
                Some(collation) => {
                    let mut spec = DocBuf::new();
                    spec.append_all(Doc::new(IndexSpec::id().document()));
                    spec.append(
                        "collation",
                        ValueRef::Document(Doc::new(collation.document())),
                    );
                    IndexSpec::parse(Doc::new(&spec.finish()))?
                }
            };
            let keys = index.keys(document)?.keys;
            let key = keys.first().map(Vec::as_slice).unwrap_or_default();
            let namespace = self.namespace(&collection.name);
            Ok(index
                .duplicate(&namespace, Doc::new(document), key)
                .into_error())
        };
        described().unwrap_or_else(|error| error).into()
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
