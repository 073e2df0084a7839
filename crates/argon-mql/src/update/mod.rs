//! Updates: modifiers (`{$set: …}`), replacements and pipelines, compiled once and run over documents.
//!
//! Modifiers become one tree by path ([`tree`]), so that a single walk ([`walk`]) goes from the old bytes to the new
//! ones: what no path touches is copied as it stands. An operator is one row of the table in [`modifier`] and one
//! implementation of its trait.
//!
//! What this room does not do: find documents, choose `_id`s of upserts, keep indexes.
//!
//! Source: MongoDB manual, "Update Operators"; behaviour as recorded from mongod 6.0.5.

mod arithmetic;
mod array;
mod array_filter;
mod blocked;
mod dollar;
mod field;
mod modifier;
mod path;
mod pipeline;
mod push;
mod replace;
pub(crate) mod show;
mod tree;
mod upsert;
mod walk;

use std::cell::Cell;

use bytes::Bytes;

use crate::catalogue::Entry;
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Env, Error, ErrorCode, Filter, ParseContext, Result};
pub(crate) use array_filter::refuse_outside_queries;
pub(crate) use walk::copy_range;

pub use push::entries as push_clauses;

use array_filter::ArrayFilters;
use modifier::{Operand, Parsed, Place};
use path::Path;
use pipeline::Stages;
use tree::Fields;

/// Largest document that an update may make, in bytes.
///
/// Source: MongoDB manual, "MongoDB Limits and Thresholds", "BSON Document Size".
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What of a command bears on its update.
#[derive(Clone, Default, Debug)]
pub struct UpdateOptions<'a> {
    /// `arrayFilters`, a BSON array.
    pub array_filters: Option<Doc<'a>>,
    /// `c`: variables of a pipeline, taken as they stand.
    pub constants: Option<Doc<'a>>,
    /// Whether every matching document is updated: not for replacements.
    pub multi: bool,
}

/// A compiled update.
#[derive(Debug)]
pub struct Update(Kind);

#[derive(Debug)]
enum Kind {
    Replace(Bytes),
    Modify(Modifiers),
    Pipeline(Stages),
}

#[derive(Debug, Default)]
struct Modifiers {
    fields: Fields,
    filters: ArrayFilters,
    /// Whether a path has `$`.
    positional: bool,
}

impl Update {
    /// Compiles `spec`: a pipeline if it is an array, modifiers if its first field begins with `$`, else a replacement.
    ///
    /// # Errors
    /// MongoDB's codes: `FailedToParse`, `BadValue`, `TypeMismatch`, `ConflictingUpdateOperators`, `EmptyFieldName`, ….
    pub fn parse(
        spec: ValueRef<'_>,
        options: &UpdateOptions<'_>,
        cx: &ParseContext,
    ) -> Result<Update> {
        let spec = match spec {
            ValueRef::Document(spec) => spec,
            ValueRef::Array(stages) => {
                let pipeline = Stages::parse(stages, options.constants, cx)?;
                if options.array_filters.is_some() {
                    return Err(Error::failed_to_parse(
                        "arrayFilters may not be specified for pipeline-style updates",
                    ));
                }
                return Ok(Update(Kind::Pipeline(pipeline)));
            }
            _ => return Err(neither_object_nor_array()),
        };
        if options.constants.is_some() {
            return Err(Error::location(
                51198,
                "Constant values may only be specified for pipeline updates",
            ));
        }
        let modifies = spec
            .iter()
            .next()
            .is_some_and(|first| first.key().starts_with(b"$"));
        if modifies {
            return Ok(Update(Kind::Modify(modifiers(spec, options, cx)?)));
        }
        if let Some(filters) = options.array_filters {
            // A replacement has no use for them, but they must be right.
            ArrayFilters::parse(filters, cx)?;
        }
        if options.multi {
            return Err(Error::failed_to_parse(
                "multi update is not supported for replacement-style update",
            ));
        }
        Ok(Update(Kind::Replace(Bytes::copy_from_slice(
            spec.as_bytes(),
        ))))
    }

    /// Checks what mongod checks of `spec` and its array filters while it reads the command: where this fails the whole
    /// command does, where [`parse`](Self::parse) fails its one statement.
    ///
    /// # Errors
    /// `FailedToParse` for what is neither document nor array, `TypeMismatch` for a stage or an array filter that is no
    /// document, 40323 and 40324 for a stage that does not name one known stage.
    pub fn check(spec: ValueRef<'_>, array_filters: Option<Doc<'_>>) -> Result<()> {
        match spec {
            ValueRef::Document(_) => {}
            ValueRef::Array(stages) => pipeline::check(stages)?,
            _ => return Err(neither_object_nor_array()),
        }
        let mut filters = array_filters.unwrap_or(Doc::EMPTY).values();
        filters.try_for_each(|filter| array_filter::document(filter).map(drop))
    }

    /// Whether it is a whole new document.
    pub fn is_replacement(&self) -> bool {
        matches!(self.0, Kind::Replace(_))
    }

    /// Whether it is a pipeline.
    pub fn is_pipeline(&self) -> bool {
        matches!(self.0, Kind::Pipeline(_))
    }

    /// The top-level fields that it can change, if it names them.
    pub fn fields(&self) -> Option<impl Iterator<Item = &[u8]>> {
        match &self.0 {
            Kind::Replace(_) | Kind::Pipeline(_) => None,
            Kind::Modify(modifiers) => {
                let named = modifiers.fields.named.iter();
                Some(named.map(|(name, _)| &name.text[..]))
            }
        }
    }

    /// Whether it needs to know which array element the filter matched.
    pub fn needs_match(&self) -> bool {
        match &self.0 {
            Kind::Replace(_) | Kind::Pipeline(_) => false,
            Kind::Modify(modifiers) => modifiers.positional,
        }
    }

    /// What `doc` becomes; `None` if it stays as it is. `matched` is the index of the array element that the filter
    /// matched.
    ///
    /// # Errors
    /// MongoDB's codes: `ImmutableField`, `PathNotViable`, `TypeMismatch`, `BadValue`, ….
    pub fn apply(
        &self,
        doc: &Bytes,
        matched: Option<usize>,
        env: &Env<'_>,
    ) -> Result<Option<Bytes>> {
        let root = Doc::new(doc);
        let changed = match &self.0 {
            Kind::Replace(spec) => replace::apply(spec, root, env)?,
            Kind::Pipeline(pipeline) => {
                let new = pipeline.run(doc, env)?;
                if new == doc {
                    None
                } else {
                    Some(replace::with_id(
                        Doc::new(&new),
                        root.element(b"_id"),
                        None,
                    )?)
                }
            }
            Kind::Modify(modifiers) => {
                let place = Place {
                    root,
                    env,
                    filters: &modifiers.filters,
                    matched,
                    inserting: false,
                    id_is_fixed: true,
                    stamps: Cell::new(0),
                    ordered: false,
                    sets_reference: Cell::new(false),
                };
                modifiers.apply(place)?
            }
        };
        match changed {
            Some(after) if after.len() > DOCUMENT_BYTES_MAX => Err(Error::location(
                17419,
                format!("Resulting document after update is larger than {DOCUMENT_BYTES_MAX}"),
            )),
            changed => Ok(changed),
        }
    }
}

impl Update {
    /// Refuses a filter that an upsert cannot start from; to be asked before the update runs at all.
    ///
    /// # Errors
    /// `QueryFeatureNotAllowed` for `$expr`.
    pub fn check_upsert(&self, filter: &Filter) -> Result<()> {
        upsert::check_filter(filter)
    }

    /// The document to insert where `filter` found none: its equalities, changed by the update, with an `_id` first
    /// (`new_id` if neither gives one).
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply), and `NotSingleValueField` for a filter that wants two values at one path.
    pub fn upsert(
        &self,
        filter: &Filter,
        env: &Env<'_>,
        new_id: impl FnOnce() -> [u8; 12],
    ) -> Result<Bytes> {
        upsert::check_filter(filter)?;
        let doc = match &self.0 {
            Kind::Replace(spec) => {
                let id = upsert::seed_id(filter)?;
                upsert::check_replacement(Doc::new(spec))?;
                replace::with_id(Doc::new(spec), Doc::new(&id).element(b"_id"), Some(env))?
            }
            Kind::Pipeline(pipeline) => {
                let seed = upsert::seed(filter)?;
                let new = pipeline.run(&seed, env)?;
                upsert::check_replacement(Doc::new(&new))?;
                replace::with_id(Doc::new(&new), Doc::new(&seed).element(b"_id"), None)?
            }
            Kind::Modify(modifiers) => {
                let seed = upsert::seed(filter)?;
                let root = Doc::new(&seed);
                let place = Place {
                    root,
                    env,
                    filters: &modifiers.filters,
                    matched: None,
                    inserting: true,
                    id_is_fixed: root.element(b"_id").is_some(),
                    stamps: Cell::new(0),
                    ordered: false,
                    sets_reference: Cell::new(false),
                };
                modifiers.apply(place)?.unwrap_or(seed)
            }
        };
        upsert::finish(doc, new_id)
    }
}

/// The update operators, sorted.
pub fn entries() -> impl Iterator<Item = Entry> {
    let refused = Entry {
        name: modifier::INTERNAL,
        refused: Some(ErrorCode::FailedToParse),
    };
    let known = modifier::OPS.iter().map(|op| Entry::known(op.name));
    known.chain([refused])
}

/// Compiles modifiers.
fn modifiers(spec: Doc<'_>, options: &UpdateOptions<'_>, cx: &ParseContext) -> Result<Modifiers> {
    let mut modifiers = Modifiers::default();
    let mut used_filters = Vec::new();
    if let Some(filters) = options.array_filters {
        modifiers.filters = ArrayFilters::parse(filters, cx)?;
    }
    for element in spec.iter() {
        let op = modifier::find(element.key())?;
        let ValueRef::Document(operands) = element.value() else {
            return Err(Error::failed_to_parse(format!(
                "Modifiers operate on fields but we found type {0} instead. For example: {{$mod: {{<field>: ...}}}} not {{{1}}}",
                element.value().type_name(),
                show::element(&element)
            )));
        };
        for operand in operands.iter() {
            let mut parsed = Parsed::new();
            let outcome = (op.parse)(
                &Operand {
                    name: op.name,
                    path: Path::parse(operand.key())?,
                    value: operand.value(),
                    cx,
                },
                &mut parsed,
            );
            for (path, modifier) in parsed {
                modifiers.positional |= path.parts.contains(&path::Part::Matched);
                modifiers.fields.insert(&path, modifier)?;
                modifiers.filters.check(&path, &mut used_filters)?;
            }
            outcome?;
        }
    }
    modifiers.filters.check_all_used(&used_filters, spec)?;
    Ok(modifiers)
}

impl Modifiers {
    fn apply(&self, mut place: Place<'_>) -> Result<Option<Bytes>> {
        let mut out = DocBuf::with_capacity(place.root.byte_len() + 64);
        match place.document(&self.fields, place.root, None, &mut out) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let after = out.finish();
                if place.sets_reference.get() {
                    dollar::check_references(Doc::new(&after))?;
                }
                Ok(Some(after))
            }
            Err(error) => {
                // Of several errors the first in the order of the update counts: only now is that order of interest.
                place.ordered = true;
                let mut scratch = DocBuf::new();
                Err(place
                    .document(&self.fields, place.root, None, &mut scratch)
                    .err()
                    .unwrap_or(error))
            }
        }
    }
}

#[cold]
fn neither_object_nor_array() -> Error {
    Error::failed_to_parse("Update argument must be either an object or an array")
}

/// Timestamp number `n` of this command.
fn timestamp(env: &Env<'_>, n: u32) -> u64 {
    let base = if env.cluster_time == 0 {
        // Without a logical clock: the wall clock's second, counted from 1 as in a fresh clock.
        let seconds = u64::try_from(env.now_ms / 1000).unwrap_or(0) & 0xFFFF_FFFF;
        seconds << 32 | 1
    } else {
        env.cluster_time
    };
    base.saturating_add(u64::from(n))
}
