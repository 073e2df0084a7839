//! Equality of a local and a foreign field: by index, or by a hash table over the other collection.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::From;
use crate::collation::Collation;
use crate::filter::Filter;
use crate::path::{LeafArray, Path, array_index};
use crate::stage::source::Turns;
use crate::stage::{Context, FieldPath, Reader};
use crate::value::{Doc, DocBuf, ValueRef, key};
use crate::{ParseContext, Result};

/// How many documents are looked up by index before a hash table is thought cheaper: about as many as cost what one
/// scan of a large collection costs.
const PROBES_MAX: usize = 4096;

/// Most bytes of keys in the hash table; beyond, each document is looked up by a scan.
const TABLE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What an entry costs beside its key.
const ENTRY_BYTES: usize = 48;

/// One side of a join.
pub(in crate::stage) struct Join {
    from: From,
    /// The foreign path as a filter sees it, and as it is written.
    path: Path,
    cx: ParseContext,
    state: State,
}

enum State {
    /// By index; how many times so far.
    Probing(usize),
    /// By hash table.
    Table(Table),
    /// A scan each time: the table would be too large.
    Scanning,
    /// Nothing decided yet.
    Fresh,
}

#[derive(Default)]
struct Table {
    docs: Vec<Bytes>,
    by_key: HashMap<Vec<u8>, SmallVec<[u32; 2]>>,
}

impl Join {
    pub(in crate::stage) fn new(
        from: &From,
        foreign: &FieldPath,
        collation: Option<&Arc<Collation>>,
        reader: &dyn Reader,
    ) -> Join {
        let text = foreign.text();
        let indexed = reader.has_index(from.db.as_deref(), &from.collection, &text);
        Join {
            from: from.clone(),
            path: Path::new(&text),
            cx: ParseContext {
                collation: collation.cloned(),
                ..ParseContext::new()
            },
            state: if indexed {
                State::Probing(0)
            } else {
                State::Fresh
            },
        }
    }

    /// The foreign documents in which the path has one of `values`, in the order of the collection.
    pub(in crate::stage) fn matches(
        &mut self,
        values: &[ValueRef<'_>],
        cx: &Context<'_>,
    ) -> Result<Vec<Bytes>> {
        if let State::Probing(probes) = &mut self.state {
            *probes += 1;
            if *probes <= PROBES_MAX {
                return self.scan(values, cx);
            }
            self.state = State::Fresh;
        }
        if matches!(self.state, State::Fresh) {
            self.state = match self.build(cx)? {
                Some(table) => State::Table(table),
                None => State::Scanning,
            };
        }
        match &self.state {
            State::Table(table) => Ok(table.matches(values, self.cx.collation.as_deref())),
            _ => self.scan(values, cx),
        }
    }

    fn scan(&self, values: &[ValueRef<'_>], cx: &Context<'_>) -> Result<Vec<Bytes>> {
        let filter = equality_filter(self.path.text(), values, &self.cx)?;
        let mut source = cx.reader.scan(
            self.from.db.as_deref(),
            &self.from.collection,
            Some(&filter),
        )?;
        let mut found = Vec::new();
        while let Some(doc) = source.next(cx)? {
            found.push(doc);
        }
        Ok(found)
    }

    /// Reads the whole collection into a table; `None` if it would be too large.
    fn build(&self, cx: &Context<'_>) -> Result<Option<Table>> {
        let mut source = cx
            .reader
            .scan(self.from.db.as_deref(), &self.from.collection, None)?;
        let mut table = Table::default();
        let mut turns = Turns::default();
        let mut bytes = 0;
        let mut sortable = Vec::new();
        let collation = self.cx.collation.as_deref();
        while let Some(doc) = source.next(cx)? {
            turns.turn(cx)?;
            let Ok(at) = u32::try_from(table.docs.len()) else {
                return Ok(None);
            };
            let by_key = &mut table.by_key;
            self.path
                .any(Doc::new(&doc), LeafArray::Items, &mut |value, _| {
                    sortable.clear();
                    append_key(&mut sortable, value, collation);
                    let entry = by_key.entry_ref(&sortable[..]).or_default();
                    if entry.last() != Some(&at) {
                        bytes += sortable.len() + ENTRY_BYTES;
                        entry.push(at);
                    }
                    false
                });
            if bytes > TABLE_BYTES_MAX {
                return Ok(None);
            }
            table.docs.push(doc);
        }
        Ok(Some(table))
    }
}

impl Table {
    fn matches(&self, values: &[ValueRef<'_>], collation: Option<&Collation>) -> Vec<Bytes> {
        let mut sortable = Vec::new();
        let mut found: SmallVec<[u32; 8]> = SmallVec::new();
        for value in values {
            sortable.clear();
            append_key(&mut sortable, *value, collation);
            if let Some(at) = self.by_key.get(&sortable[..]) {
                found.extend_from_slice(at);
            }
        }
        if values.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
            .iter()
            .filter_map(|at| self.docs.get(usize::try_from(*at).ok()?).cloned())
            .collect()
    }
}

/// The key of a value, missing being null.
fn append_key(out: &mut Vec<u8>, value: ValueRef<'_>, collation: Option<&Collation>) {
    let value = match value {
        ValueRef::Missing => ValueRef::Null,
        value => value,
    };
    key::append_with(out, value, false, collation);
}

/// `{path: {$in: values}}`, but a regular expression stands for itself.
fn equality_filter(
    path: &bstr::BStr,
    values: &[ValueRef<'_>],
    cx: &ParseContext,
) -> Result<Filter> {
    let mut spec = DocBuf::new();
    let is_regex = |value: &ValueRef<'_>| matches!(value, ValueRef::Regex { .. });
    let append = |spec: &mut DocBuf, operator: &str, value: ValueRef<'_>| {
        let open = spec.open_document(path);
        spec.append(operator, value);
        spec.close(open);
    };
    if let [value] = values {
        append(&mut spec, "$eq", *value);
    } else {
        let plain = DocBuf::array(values.iter().copied().filter(|value| !is_regex(value)));
        let any = spec.open_array("$or");
        let open = spec.push_document(0);
        append(&mut spec, "$in", ValueRef::Array(Doc::new(&plain)));
        spec.close(open);
        let patterns = values.iter().copied().filter(is_regex);
        for (index, value) in patterns.enumerate() {
            let open = spec.push_document(index + 1);
            append(&mut spec, "$eq", value);
            spec.close(open);
        }
        spec.close(any);
    }
    Filter::parse(Doc::new(&spec.finish()), cx)
}

/// The values that a document offers for comparison: arrays offer their items; null if there is nothing.
pub(super) fn local_values<'d>(doc: Doc<'d>, path: &FieldPath) -> SmallVec<[ValueRef<'d>; 2]> {
    let mut values = SmallVec::new();
    collect_values(doc, path, &mut values);
    if values.is_empty() {
        values.push(ValueRef::Null);
    }
    values
}

/// The values at `path`, arrays offering their items.
pub(in crate::stage) fn collect_values<'d>(
    doc: Doc<'d>,
    path: &FieldPath,
    out: &mut SmallVec<[ValueRef<'d>; 2]>,
) {
    collect(ValueRef::Document(doc), path.names(), out);
}

fn collect<'d>(value: ValueRef<'d>, names: &[Bytes], out: &mut SmallVec<[ValueRef<'d>; 2]>) {
    match (names.split_first(), value) {
        (None, ValueRef::Array(items)) => out.extend(items.values()),
        (None, value) => out.push(value),
        (Some((name, rest)), ValueRef::Document(doc)) => {
            if let Some(value) = doc.get(name) {
                collect(value, rest, out);
            }
        }
        (Some((name, rest)), ValueRef::Array(items)) => {
            let picked = array_index(name).and_then(|at| items.values().nth(at));
            if let Some(item) = picked {
                collect(item, rest, out);
            }
            for item in items.values() {
                if matches!(item, ValueRef::Document(_)) {
                    collect(item, names, out);
                }
            }
        }
        _ => {}
    }
}
