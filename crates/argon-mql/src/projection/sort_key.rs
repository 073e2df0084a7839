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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::projection::{Flavor, Projection};
    use crate::{Env, ParseContext};

    /// What mongod 6.0.5 answered for `{_id: 7, a: [3, 1], b: 2}`.
    #[test]
    fn the_item_that_decides_is_the_key() {
        let mut doc = DocBuf::new();
        doc.append("_id", ValueRef::Int32(7));
        let array = doc.open_array("a");
        doc.push(0, ValueRef::Int32(3));
        doc.push(1, ValueRef::Int32(1));
        doc.close(array);
        doc.append("b", ValueRef::Int32(2));
        let doc = doc.finish();
        for (sort, key) in [
            (&[("a", 1)][..], "[Int32(1)]"),
            (&[("a", -1)], "[Int32(3)]"),
            (&[("a.x", 1), ("b", -1)], "[Null, Int32(2)]"),
            (&[("b", -1), ("_id", 1)], "[Int32(2), Int32(7)]"),
        ] {
            let found = project(&doc, sort);
            let found = Doc::new(&found).get("k").unwrap().as_array().unwrap();
            let found: Vec<_> = found.values().collect();
            assert_eq!(format!("{found:?}"), key);
        }
    }

    fn project(doc: &Bytes, fields: &[(&str, i32)]) -> Bytes {
        let mut sort = DocBuf::new();
        for (name, direction) in fields {
            sort.append(name, ValueRef::Int32(*direction));
        }
        let sort = Sort::parse(Doc::new(&sort.finish())).unwrap();
        let mut spec = DocBuf::new();
        let field = spec.open_document("k");
        spec.append("$meta", ValueRef::String("sortKey".into()));
        spec.close(field);
        let spec = spec.finish();
        let cx = ParseContext::new();
        let projection =
            Projection::parse_sorted(Doc::new(&spec), Flavor::Find, Some(&sort), &cx).unwrap();
        projection.apply(doc, &Env::fixed(), None).unwrap()
    }
}
