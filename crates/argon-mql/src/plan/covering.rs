//! What a query needs of documents, and whether index keys tell it.

use super::IndexScan;
use super::choose::spans_nested;
use crate::index::{IndexSpec, Kind, Multikey};
use crate::path::Path;
use crate::value::{Doc, Number, TypeOrder, ValueRef};

/// Deepest expression that is looked into.
const DEPTH_MAX: usize = 50;

/// What a projection needs.
#[derive(Default)]
pub(super) struct Needed {
    /// The paths whose values it depends on; `None` if that is the whole document.
    pub(super) paths: Option<Vec<Path>>,
    /// Whether it only keeps whole top-level fields.
    pub(super) simple: bool,
    /// Whether it asks for sort keys.
    pub(super) sort_key: bool,
    /// Whether it asks for what no document has.
    pub(super) metadata: bool,
}

/// What `projection`, as written by the client, needs.
pub(super) fn needed(projection: Doc<'_>) -> Needed {
    let mut needed = Needed {
        simple: true,
        ..Needed::default()
    };
    let mut paths = Vec::new();
    let (mut id, mut includes, mut excludes, mut unknown) = (None, false, false, false);
    for field in projection.iter() {
        let key = field.key();
        let included = match field.value() {
            ValueRef::Bool(value) => Some(value),
            value => Number::from_value(value).map(|number| !number.is_zero()),
        };
        needed.simple &= included.is_some() && !key.contains(&b'.');
        match (included, field.value()) {
            (Some(included), _) if key == "_id" => id = Some(included),
            (Some(true), _) => {
                includes = true;
                paths.push(Path::new(key));
            }
            (Some(false), _) => excludes = true,
            (None, ValueRef::Document(operator)) => {
                match operator
                    .iter()
                    .next()
                    .map(|first| (first.key(), first.value()))
                {
                    Some((name, ValueRef::String(what))) if name == "$meta" => {
                        needed.metadata = true;
                        needed.sort_key |= what == "sortKey";
                    }
                    Some((name, _)) if name == "$slice" || name == "$elemMatch" => unknown = true,
                    _ => {
                        includes = true;
                        unknown |= !collect(field.value(), &mut paths, 0);
                    }
                }
            }
            (None, value) => {
                includes = true;
                unknown |= !collect(value, &mut paths, 0);
            }
        }
    }
    includes |= id == Some(true) && !excludes && !needed.metadata;
    needed.simple &= includes;
    if id != Some(false) {
        paths.push(Path::new("_id"));
    }
    needed.paths = (includes && !unknown).then_some(paths);
    needed
}

/// Adds the paths that an expression reads; false if that cannot be told.
fn collect(expression: ValueRef<'_>, paths: &mut Vec<Path>, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match expression {
        ValueRef::String(text) => match text.strip_prefix(b"$") {
            Some(path) if path.is_empty() || path.starts_with(b"$") => false,
            Some(path) => {
                paths.push(Path::new(path));
                true
            }
            None => true,
        },
        ValueRef::Array(items) => items.values().all(|item| collect(item, paths, depth + 1)),
        ValueRef::Document(doc) => doc.iter().all(|element| match &**element.key() {
            b"$literal" => true,
            b"$let" | b"$map" | b"$filter" | b"$reduce" | b"$getField" | b"$setField"
            | b"$unsetField" | b"$meta" => false,
            _ => collect(element.value(), paths, depth + 1),
        }),
        _ => true,
    }
}

/// The paths that a sort reads.
pub(super) fn sort_paths(sort: Doc<'_>) -> Vec<Path> {
    sort.iter().map(|field| Path::new(field.key())).collect()
}

impl IndexScan {
    /// Whether the keys tell the values at `path`: not those of arrays, of hashed fields, and of strings in a collation.
    pub(super) fn provides(&self, spec: &IndexSpec, multikey: &Multikey, path: &Path) -> bool {
        if let Some(own) = &self.wildcard {
            let nested = self
                .fields
                .iter()
                .any(|field| field.iter().any(spans_nested));
            return **own == *path && multikey.is_empty() && !nested;
        }
        let fields = spec.fields().iter().zip(&self.fields).enumerate();
        fields.into_iter().any(|(at, (field, intervals))| {
            let has_strings = || {
                intervals.iter().any(|interval| {
                    TypeOrder::of(&interval.high.as_ref()) >= TypeOrder::String
                        && TypeOrder::of(&interval.low.as_ref()) <= TypeOrder::Array
                })
            };
            field.path == *path
                && !field.hashed
                && !multikey.field(at)
                && (spec.collation().is_none() || !has_strings())
        })
    }

    /// How many of the index's fields, from the first, have to be compared for each value of `path` to come once; `None` if
    /// the keys do not tell the values.
    pub fn distinct_fields(
        &self,
        spec: &IndexSpec,
        multikey: &Multikey,
        path: &Path,
    ) -> Option<usize> {
        let at = spec.fields().iter().position(|field| field.path == *path)?;
        let usable = spec.kind() == Kind::Ordered
            && spec.collation().is_none()
            && !multikey.field(at)
            && !spec.fields()[at].hashed;
        usable.then_some(at + 1)
    }
}
