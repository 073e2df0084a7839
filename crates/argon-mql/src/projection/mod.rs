//! Projections: which fields of a document come back, and what is computed into it.
//!
//! One compiled tree serves `find` and `$project`; they differ in what they allow ([`Flavor`]). The tree is applied in
//! one pass over the bytes of a document: what is kept is copied as it stands, in the order of the document; computed
//! fields follow in the order of the projection.
//!
//! Source: MongoDB manual, "Project Fields to Return from Query", "$project"; behaviour as recorded from mongod 6.0.5.

mod apply;
mod parse;
mod sort_key;
mod tree;

use std::sync::Arc;

use bytes::Bytes;

use crate::sort::Sort;
use crate::stage::Paths;
use crate::value::{Doc, Places};
use crate::{Env, Error, ErrorCode, ParseContext, Result};
use tree::Node;

pub use parse::entries;

/// Largest document that may come back, in bytes.
///
/// Source: mongod 6.0.5, "Size must be between 0 and 16793600(16MB)".
const RESULT_BYTES_MAX: usize = 16 * 1024 * 1024 + 16 * 1024;

/// Where a projection stands, which decides what it may contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavor {
    /// `find`: also `$slice` with numbers, `$elemMatch` and the positional `$`.
    Find,
    /// `$project`.
    Aggregate,
}

/// A compiled projection.
#[derive(Clone, Debug)]
pub struct Projection {
    root: Node,
    inclusive: bool,
    needs: Needs,
    /// What `{$meta: "sortKey"}` is the key of, if it occurs.
    sort: Option<Sort>,
    /// Whether the result can be larger than the document.
    grows: bool,
    simple: bool,
    /// Which fields leave a place where they are taken away.
    places: Option<Arc<Places>>,
}

/// What a projection needs to know of a document beside its contents.
#[derive(Clone, Copy, Default, Debug)]
pub struct Needs {
    /// Which array element the filter matched.
    pub matched: bool,
    /// Its place.
    pub record_id: bool,
    /// The index key by which it was found.
    pub index_key: bool,
}

/// What is known of a document beside its contents.
#[derive(Clone, Default, Debug)]
pub struct Metadata {
    /// Index of the array element that the filter matched.
    pub matched: Option<usize>,
    /// `{$meta: "recordId"}`.
    pub record_id: Option<i64>,
    /// `{$meta: "indexKey"}`.
    pub index_key: Option<Bytes>,
    /// What `{$meta: "sortKey"}` is the key of, if not of the document.
    pub sorted: Option<Bytes>,
}

impl Projection {
    /// Compiles a projection.
    ///
    /// # Errors
    /// MongoDB's codes: 31249 and 31250 for paths in conflict, 31253 and 31254 for a mixture of inclusion and
    /// exclusion, `BadValue` for a sort key without a sort, …. `$project` puts "Invalid $project :: caused by :: "
    /// before their texts.
    pub fn parse(spec: Doc<'_>, flavor: Flavor, cx: &ParseContext) -> Result<Projection> {
        Projection::parse_sorted(spec, flavor, None, cx)
    }

    /// As [`parse`](Self::parse), for documents that come sorted by `sort`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_sorted(
        spec: Doc<'_>,
        flavor: Flavor,
        sort: Option<&Sort>,
        cx: &ParseContext,
    ) -> Result<Projection> {
        parse::parse(spec, flavor, sort, cx)
    }

    /// What it needs to know of a document beside its contents.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// What is left of it for a query with `returnKey`: it adds its sort keys, and nothing else, to index keys.
    #[must_use]
    pub fn of_keys(&self) -> Projection {
        Projection {
            root: self.root.only_sort_keys(),
            inclusive: false,
            needs: Needs::default(),
            sort: self.sort.clone(),
            grows: true,
            simple: false,
            places: None,
        }
    }

    /// Whether it names what is kept, not what is left out.
    pub fn is_inclusive(&self) -> bool {
        self.inclusive
    }

    /// Whether it only keeps, or leaves out, whole top-level fields.
    pub fn is_simple(&self) -> bool {
        self.simple
    }

    /// The top-level fields that the result can depend on, for a projection that names what is kept and computes
    /// nothing; `None` if that cannot be told.
    pub fn kept_fields(&self) -> Option<impl Iterator<Item = &[u8]>> {
        (self.inclusive && !self.root.computes)
            .then(|| self.root.children.iter().map(|(name, _)| &name[..]))
    }

    /// Adds the paths that it keeps, or those that it leaves out if it is not inclusive.
    pub(crate) fn add_paths(&self, paths: &mut Paths) {
        self.root.add_paths(&mut Vec::new(), paths);
    }

    /// What comes back of `doc`. `matched` is the index of the array element that the filter matched.
    ///
    /// # Errors
    /// Those of expressions; 51246 and 51247 if `$` has no element to stand for; `BSONObjectTooLarge`.
    pub fn apply(&self, doc: &Bytes, env: &Env<'_>, matched: Option<usize>) -> Result<Bytes> {
        self.apply_with(
            doc,
            env,
            &Metadata {
                matched,
                ..Metadata::default()
            },
        )
    }

    /// As [`apply`](Self::apply), with all that is known of the document.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_with(&self, doc: &Bytes, env: &Env<'_>, metadata: &Metadata) -> Result<Bytes> {
        let result = apply::apply(self, doc, env, metadata)?;
        if self.grows && result.len() > RESULT_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::BSONObjectTooLarge,
                format!(
                    "BSONObj size: {len} (0x{len:X}) is invalid. Size must be between 0 and {RESULT_BYTES_MAX}(16MB)",
                    len = result.len()
                ),
            ));
        }
        Ok(result)
    }
}
