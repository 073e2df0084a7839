//! `{$meta: "sortKey"}`: the values that a document was sorted by.

use std::cmp::Ordering;

use crate::path::Path;
use crate::sort::Sort;
use crate::value::{Doc, DocBuf, Value, ValueRef, compare_with};
use crate::{Result, index};

/// The array of the values that `doc` sorts by; of several in an array the one that decides.
pub(super) fn sort_key(sort: &Sort, doc: Doc<'_>) -> Result<Value> {
    let fields: Vec<(&Path, bool)> = sort
        .fields()
        .iter()
        .filter_map(|field| field.path.as_ref().map(|path| (path, field.descending)))
        .collect();
    let order = |a: &[ValueRef<'_>], b: &[ValueRef<'_>]| {
        let pairs = a.iter().zip(b).zip(&fields);
        pairs.fold(Ordering::Equal, |order, ((a, b), (_, descending))| {
            order.then_with(|| {
                let order = compare_with(*a, *b, sort.collation());
                if *descending { order.reverse() } else { order }
            })
        })
    };
    let mut first: Option<Vec<ValueRef<'_>>> = None;
    index::combinations(
        doc,
        &|at| fields[at].0,
        fields.len(),
        &mut |values| match &mut first {
            Some(first) if order(first, values).is_le() => {}
            first => *first = Some(values.to_vec()),
        },
    )?;
    let values = first.unwrap_or_default();
    Ok(Value::Array(DocBuf::array(values)))
}
