//! Indexes: what a specification says, and which keys a document has in one.
//!
//! An [`IndexSpec`] is parsed from the document that `createIndexes` gets and can be written back as `listIndexes` shows
//! it. [`IndexSpec::keys`] gives a document's keys as bytes that sort as MongoDB sorts ([`value::key`](crate::value::key)).
//! Which index answers a filter is decided in `plan`; storing keys is the engine's.
//!
//! Text and geospatial indexes are refused.

mod conflict;
mod duplicate;
mod expand;
mod keys;
mod options;
mod parse;
mod pattern;
mod wildcard;

use bytes::Bytes;

use crate::collation::Collation;
use crate::filter::Filter;
use crate::path::Path;
use crate::value::{Doc, DocBuf, ValueRef, equal};

pub use conflict::Existing;
pub use duplicate::DuplicateKey;
pub use keys::{IndexKeys, Multikey};
pub use options::options;
pub use pattern::kinds;

pub(crate) use expand::{combinations, plain_value};
pub(crate) use wildcard::append_path as append_wildcard_path;

/// Most fields of a compound index.
///
/// Source: MongoDB manual, "MongoDB Limits and Thresholds", "Number of Indexed Fields in a Compound Index".
pub const FIELDS_MAX: usize = 32;

/// A parsed index specification.
#[derive(Clone, Debug)]
pub struct IndexSpec {
    name: String,
    /// The key pattern as given.
    key: Bytes,
    kind: Kind,
    fields: Vec<Field>,
    unique: bool,
    sparse: bool,
    hidden: bool,
    partial: Option<Filter>,
    expire_after_seconds: Option<i32>,
    collation: Option<Collation>,
    wildcard_projection: Option<wildcard::Projection>,
    /// The whole specification as `listIndexes` shows it.
    document: Bytes,
}

/// Which kind of index it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Ascending and descending fields.
    Ordered,
    /// One of the fields is hashed: good for equality only.
    Hashed,
    /// `$**`: all paths below a path.
    Wildcard,
}

/// One field of a key pattern.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where the value is. Of a wildcard index, what stands before `$**` (empty for all of the document).
    pub path: Path,
    /// Whether its keys are in descending order.
    pub descending: bool,
    /// Whether it is a hashed field.
    pub hashed: bool,
}

impl IndexSpec {
    /// The `_id` index that every collection has.
    pub fn id() -> IndexSpec {
        let mut key = DocBuf::new();
        key.append("_id", ValueRef::Int32(1));
        let key = key.finish();
        let mut document = DocBuf::new();
        document.append("v", ValueRef::Int32(2));
        document.append("key", ValueRef::Document(Doc::new(&key)));
        document.append("name", ValueRef::String("_id_".into()));
        IndexSpec {
            name: "_id_".to_owned(),
            key,
            kind: Kind::Ordered,
            fields: vec![Field {
                path: Path::new("_id"),
                descending: false,
                hashed: false,
            }],
            unique: true,
            sparse: false,
            hidden: false,
            partial: None,
            expire_after_seconds: None,
            collation: None,
            wildcard_projection: None,
            document: document.finish(),
        }
    }

    /// The `_id` index of a collection with a collation.
    pub fn id_collated(collation: &Collation) -> IndexSpec {
        let mut spec = IndexSpec::id();
        let mut document = DocBuf::new();
        document.append_all(Doc::new(&spec.document));
        let collation_document = ValueRef::Document(Doc::new(collation.document()));
        document.append("collation", collation_document);
        spec.document = document.finish();
        spec.collation = Some(collation.clone());
        spec
    }

    /// The index's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key pattern as given.
    pub fn key_pattern(&self) -> Doc<'_> {
        Doc::new(&self.key)
    }

    /// The fields of the key pattern in order; at least one.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Ordered, hashed or wildcard.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the `_id` index.
    pub fn is_id(&self) -> bool {
        self.kind == Kind::Ordered && is_id_pattern(self.key_pattern())
    }

    /// Whether two documents may not have the same key.
    pub fn unique(&self) -> bool {
        self.unique
    }

    /// Whether documents without any of the fields are left out.
    pub fn sparse(&self) -> bool {
        self.sparse
    }

    /// Whether the planner must not see it.
    pub fn hidden(&self) -> bool {
        self.hidden
    }

    /// The filter that a document passes to be in the index, if there is one.
    pub fn partial_filter(&self) -> Option<&Filter> {
        self.partial.as_ref()
    }

    /// Age in seconds at which documents are deleted, if it is a TTL index.
    pub fn expire_after_seconds(&self) -> Option<i32> {
        self.expire_after_seconds
    }

    /// The collation, unless it is the simple one.
    pub fn collation(&self) -> Option<&Collation> {
        self.collation.as_ref()
    }

    /// The whole specification, as `listIndexes` shows it; [`parse`](IndexSpec::parse) reads it back.
    pub fn document(&self) -> &Bytes {
        &self.document
    }

    /// The specification with another `expireAfterSeconds` (seconds) or `hidden`, as `collMod` changes it. `None` leaves
    /// the option as it is.
    #[must_use]
    pub fn modified(&self, expire_after_seconds: Option<i32>, hidden: Option<bool>) -> IndexSpec {
        let mut spec = self.clone();
        if expire_after_seconds.is_some() {
            spec.expire_after_seconds = expire_after_seconds;
        }
        if let Some(hidden) = hidden {
            spec.hidden = hidden;
        }
        spec.document = parse::rewrite(&self.document, spec.expire_after_seconds, spec.hidden);
        spec
    }

    /// Whether `path` is the first field of the key pattern.
    pub fn leads_with(&self, path: &[u8]) -> bool {
        self.kind == Kind::Ordered
            && self
                .fields
                .first()
                .is_some_and(|field| field.path.text() == path)
    }

    /// Whether the values at `path` are in this wildcard index.
    pub(crate) fn covers_path(&self, path: &Path) -> bool {
        self.kind == Kind::Wildcard && wildcard::covers(self, path)
    }

    /// Whether `pattern` is this index's key pattern: same fields in the same order with equal values (1 equals 1.0).
    pub fn has_pattern(&self, pattern: Doc<'_>) -> bool {
        let (mut ours, mut theirs) = (self.key_pattern().iter(), pattern.iter());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a.key() == b.key() && equal(a.value(), b.value()) => {}
                _ => return false,
            }
        }
    }
}

fn is_id_pattern(pattern: Doc<'_>) -> bool {
    let mut fields = pattern.iter();
    fields
        .next()
        .is_some_and(|field| field.key() == "_id" && equal(field.value(), ValueRef::Int32(1)))
        && fields.next().is_none()
}

/// The name that drivers give an index without one: `{a: 1, b: -1}` is `a_1_b_-1`.
pub fn default_name(pattern: Doc<'_>) -> String {
    let parts: Vec<String> = pattern
        .iter()
        .map(|field| match field.value() {
            ValueRef::String(text) => format!("{}_{text}", field.key()),
            value => match crate::value::Number::from_value(value).and_then(|n| n.to_i64()) {
                Some(number) => format!("{}_{number}", field.key()),
                None => format!("{}_{value}", field.key()),
            },
        })
        .collect();
    parts.join("_")
}
