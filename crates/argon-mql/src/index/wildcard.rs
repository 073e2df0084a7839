//! Wildcard indexes: a key for every path below a path, made of the path and the value.
//!
//! Documents and arrays are taken apart: an item of an array has the array's path. Empty ones are keys themselves, and so
//! are arrays inside arrays.

use super::{IndexKeys, IndexSpec, Multikey};
use crate::path::Path;
use crate::value::{Doc, Number, ValueRef, key};
use crate::{Error, Result};

/// Which paths `wildcardProjection` lets into the index.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    inclusion: bool,
    paths: Vec<Path>,
    /// Whether `_id` is in.
    id: bool,
}

impl Projection {
    /// Parses a projection of inclusions or exclusions; only `_id` may be the other.
    pub(super) fn parse(document: Doc<'_>) -> Result<Projection> {
        let mut inclusion = None;
        let mut id = None;
        let mut paths = Vec::new();
        for element in document.iter() {
            collect(
                Path::new(element.key()),
                element.value(),
                &mut |path, included| {
                    if path.text() == "_id" {
                        id = Some(included);
                        return Ok(());
                    }
                    match inclusion {
                        None => inclusion = Some(included),
                        Some(inclusion) if inclusion == included => {}
                        Some(true) => {
                            return Err(Error::location(
                                31254,
                                format!(
                                    "Cannot do exclusion on field {path} in inclusion projection"
                                ),
                            ));
                        }
                        Some(false) => {
                            return Err(Error::location(
                                31253,
                                format!(
                                    "Cannot do inclusion on field {path} in exclusion projection"
                                ),
                            ));
                        }
                    }
                    paths.push(path);
                    Ok(())
                },
            )?;
        }
        let inclusion = inclusion.unwrap_or(id == Some(true));
        Ok(Projection {
            inclusion,
            paths,
            id: id.unwrap_or(false),
        })
    }

    /// Whether the value at `path` is in the index, and whether something below may be.
    fn admits(&self, path: &Path) -> (bool, bool) {
        if path.parts()[0].name() == b"_id" {
            return (self.id, self.id);
        }
        let within = self.paths.iter().any(|listed| path.is_within(listed));
        if self.inclusion {
            let above = self.paths.iter().any(|listed| listed.is_within(path));
            (within, within || above)
        } else {
            (!within, !within)
        }
    }
}

fn collect(
    path: Path,
    value: ValueRef<'_>,
    add: &mut dyn FnMut(Path, bool) -> Result<()>,
) -> Result<()> {
    if let ValueRef::Document(nested) = value {
        return nested.iter().try_for_each(|element| {
            let below = [path.text().as_ref(), element.key().as_ref()].join(&b'.');
            collect(Path::new(below), element.value(), add)
        });
    }
    let included = match value {
        ValueRef::Bool(value) => value,
        _ => match Number::from_value(value) {
            Some(number) => !number.is_zero(),
            None => {
                return Err(Error::location(
                    51271,
                    "Bad projection specification, cannot use computed fields when parsing a spec in kBanComputedFields mode",
                ));
            }
        },
    };
    add(path, included)
}

/// The keys of `doc` in a wildcard index.
pub(super) fn keys(spec: &IndexSpec, doc: Doc<'_>) -> IndexKeys {
    let mut found = IndexKeys::default();
    let multikey = walk(spec, doc, &mut |_, _, key| found.keys.push(key));
    found.multikey = multikey;
    found.keys.sort_unstable();
    found.keys.dedup();
    found
}

/// What is shown of a key: its path, its value, and the key itself.
type Visit<'v> = dyn FnMut(&[u8], ValueRef<'_>, Vec<u8>) + 'v;

/// Shows `visit` the path and the value of each key of `doc` in a wildcard index, and the key.
pub(super) fn walk<'v>(spec: &IndexSpec, doc: Doc<'_>, visit: &'v mut Visit<'v>) -> Multikey {
    let mut walk = Walk {
        spec,
        path: Vec::new(),
        multikey: Multikey::default(),
        visit,
    };
    walk.document(doc, true);
    walk.multikey
}

/// Whether the values at `path` are in the index. Positions are not part of its paths, so numbers may be missing.
pub(super) fn covers(spec: &IndexSpec, path: &Path) -> bool {
    path.parts().iter().all(|part| part.index().is_none()) && admits(spec, path).0
}

/// Whether the value at `path` is in the index, and whether something below may be.
fn admits(spec: &IndexSpec, path: &Path) -> (bool, bool) {
    let root = &spec.fields[0].path;
    if !root.text().is_empty() {
        let within = path.is_within(root);
        return (within, within || root.is_within(path));
    }
    match &spec.wildcard_projection {
        Some(projection) => projection.admits(path),
        None => {
            let other = path.parts()[0].name() != b"_id";
            (other, other)
        }
    }
}

/// Appends the beginning that all keys of `path` have.
pub(crate) fn append_path(out: &mut Vec<u8>, path: &[u8]) {
    key::append(out, ValueRef::String(path.into()), false);
}

struct Walk<'s, 'v> {
    spec: &'s IndexSpec,
    /// The dotted path of the value at hand.
    path: Vec<u8>,
    multikey: Multikey,
    visit: &'v mut Visit<'v>,
}

impl Walk<'_, '_> {
    fn document(&mut self, doc: Doc<'_>, top: bool) {
        let len = self.path.len();
        for element in doc.iter() {
            if !top {
                self.path.push(b'.');
            }
            self.path.extend_from_slice(element.key());
            let (value, below) = self.admits();
            if value || below {
                self.value(element.value(), value);
            }
            self.path.truncate(len);
        }
    }

    /// Whether the value at the path is in the index, and whether something below may be.
    fn admits(&self) -> (bool, bool) {
        admits(self.spec, &Path::new(&self.path))
    }

    fn value(&mut self, value: ValueRef<'_>, indexed: bool) {
        match value {
            ValueRef::Document(inner) if !inner.is_empty() => self.document(inner, false),
            ValueRef::Array(array) => {
                self.multikey.mark_at(0, 0);
                if array.is_empty() {
                    self.add(ValueRef::Undefined, indexed);
                }
                for item in array.values() {
                    match item {
                        ValueRef::Document(inner) if !inner.is_empty() => {
                            self.document(inner, false);
                        }
                        item => self.add(item, indexed),
                    }
                }
            }
            value => self.add(value, indexed),
        }
    }

    fn add(&mut self, value: ValueRef<'_>, indexed: bool) {
        if indexed {
            let mut out = Vec::with_capacity(self.path.len() + 16);
            append_path(&mut out, &self.path);
            key::append_with(&mut out, value, false, self.spec.collation.as_ref());
            (self.visit)(&self.path, value, out);
        }
    }
}
