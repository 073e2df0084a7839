//! Scans of an index as `explain` shows them: which index, and which of its keys.

use bytes::Bytes;

use super::explain::direction_name;
use super::interval::{Interval, Shown};
use super::{Direction, IndexScan};
use crate::index::{IndexSpec, Multikey};
use crate::value::{Doc, DocBuf, ValueRef};

/// The fields of an `IXSCAN`.
pub(super) fn scan_fields(
    scan: &IndexScan,
    spec: &IndexSpec,
    multikey: &Multikey,
    out: &mut DocBuf,
) {
    index_fields(scan, spec, multikey, out);
    out.append("direction", direction_name(scan.direction));
    let bounds = out.open_document("indexBounds");
    if let Some(path) = &scan.wildcard {
        let array = out.open_array("$_path");
        let text = format!("[\"{path}\", \"{path}\"]");
        out.push(0, ValueRef::String(text.as_bytes().into()));
        out.close(array);
    }
    for (field, intervals) in spec.fields().iter().zip(&scan.fields) {
        let path = scan.wildcard.as_deref().unwrap_or(&field.path);
        let array = out.open_array(path.text());
        // Bounds are shown in the order in which they are walked.
        let backward = field.descending != (scan.direction == Direction::Backward);
        let mut texts: Vec<String> = intervals
            .iter()
            .map(|interval| {
                let collated = spec.collation().is_some();
                let shown = Shown {
                    interval,
                    backward,
                    collated,
                };
                shown.to_string()
            })
            .collect();
        if backward {
            texts.reverse();
        }
        for (index, text) in texts.iter().enumerate() {
            out.push(index, ValueRef::String(text.as_bytes().into()));
        }
        out.close(array);
    }
    out.close(bounds);
}

/// The fields of a `COUNT_SCAN`, if the keys lie between two of them: values of the first fields, an interval of the next,
/// anything of the rest.
pub(super) fn count_fields(
    scan: &IndexScan,
    spec: &IndexSpec,
    multikey: &Multikey,
) -> Option<Bytes> {
    if scan.wildcard.is_some() {
        return None;
    }
    let mut out = DocBuf::new();
    index_fields(scan, spec, multikey, &mut out);
    let fields = spec.fields().iter().zip(&scan.fields);
    let mut ends: Vec<(&[u8], bool, &Interval)> = Vec::with_capacity(scan.fields.len());
    let mut between = false;
    for (field, intervals) in fields {
        let mut intervals = intervals.iter();
        let (Some(only), None) = (intervals.next(), intervals.next()) else {
            return None;
        };
        if between && !only.is_full() {
            return None;
        }
        between |= !only.is_point();
        ends.push((field.path.text(), field.descending, only));
    }
    let bounds = out.open_document("indexBounds");
    let mut end = |name: &str, first: bool| {
        let key = out.open_document(name);
        let mut included = true;
        for (path, descending, interval) in &ends {
            // Keys ascend, so values of a descending field start at their high end.
            let low = first != *descending;
            let (value, is_in) = if low {
                (&interval.low, interval.low_in)
            } else {
                (&interval.high, interval.high_in)
            };
            let value = if included {
                value.as_ref()
            } else {
                // Past all keys that begin so, or before them.
                match (value, first != *descending) {
                    (_, true) => ValueRef::MaxKey,
                    (_, false) => ValueRef::MinKey,
                }
            };
            out.append(*path, value);
            included &= is_in;
        }
        out.close(key);
        let name = [name, "Inclusive"].concat();
        out.append(&name, ValueRef::Bool(included));
    };
    end("startKey", true);
    end("endKey", false);
    out.close(bounds);
    Some(out.finish())
}

fn index_fields(scan: &IndexScan, spec: &IndexSpec, multikey: &Multikey, out: &mut DocBuf) {
    match &scan.wildcard {
        None => out.append("keyPattern", ValueRef::Document(spec.key_pattern())),
        Some(path) => {
            let pattern = out.open_document("keyPattern");
            out.append("$_path", ValueRef::Int32(1));
            out.append(path.text(), ValueRef::Int32(1));
            out.close(pattern);
        }
    }
    out.append("indexName", ValueRef::String(spec.name().into()));
    if let Some(collation) = spec.collation() {
        out.append(
            "collation",
            ValueRef::Document(Doc::new(collation.document())),
        );
    }
    out.append("isMultiKey", ValueRef::Bool(!multikey.is_empty()));
    match &scan.wildcard {
        None => {
            let paths = multikey.paths(spec);
            out.append("multiKeyPaths", ValueRef::Document(Doc::new(&paths)));
        }
        Some(path) => {
            let paths = out.open_document("multiKeyPaths");
            let none = out.open_array("$_path");
            out.close(none);
            let own = out.open_array(path.text());
            if !multikey.is_empty() {
                out.push(0, ValueRef::String(path.text()));
            }
            out.close(own);
            out.close(paths);
        }
    }
    out.append("isUnique", ValueRef::Bool(spec.unique()));
    out.append("isSparse", ValueRef::Bool(spec.sparse()));
    out.append("isPartial", ValueRef::Bool(spec.partial_filter().is_some()));
    out.append("indexVersion", ValueRef::Int32(2));
}
