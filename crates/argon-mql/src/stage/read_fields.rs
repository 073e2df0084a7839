//! Which top-level fields of the documents between two stages are read by what follows.
//!
//! Where a pipeline ends in a `$group` over two fields, a `$unwind` before it need not copy the other fifty into each
//! document that it makes. What comes out of the pipeline is the same.

use std::collections::BTreeSet;

use super::reorder::{Named, leaf_fields};
use crate::expr::Expr;

/// Names of top-level fields.
pub(super) type FieldSet = BTreeSet<Vec<u8>>;

/// Tells each stage of `stages`, whose result is read whole, what is read of what it gives.
pub(super) fn tell(stages: &mut [Named]) {
    let mut after: Option<FieldSet> = None;
    for (_, stage) in stages.iter_mut().rev() {
        if let Some(fields) = &after {
            stage.is_read_for(fields);
        }
        after = stage.reads(after.as_ref());
    }
    for at in 1..stages.len() {
        let (before, behind) = stages.split_at_mut(at);
        if let (Some((_, stage)), Some((_, next))) = (before.last_mut(), behind.first())
            && let Some(filter) = next.as_match()
            && let Some(fields) = leaf_fields(filter)
        {
            stage.is_filtered(filter, fields.into_iter().collect());
        }
    }
}

/// Adds the fields that `expr` reads to `fields`; false if it reads the whole document.
pub(super) fn add_fields_of(expr: &Expr, fields: &mut FieldSet) -> bool {
    let mut known = true;
    expr.each_field(&mut |path| known &= add_field(path, fields));
    known
}

/// Adds the first name of `path` to `fields`; false if the path is that of the whole document.
pub(super) fn add_field(path: &str, fields: &mut FieldSet) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    fields.insert(first.as_bytes().to_vec());
    !first.is_empty()
}

/// What a stage that only passes documents on reads: what is read of them afterwards, and `more`.
pub(super) fn and<'n>(
    after: Option<&FieldSet>,
    more: impl IntoIterator<Item = &'n [u8]>,
) -> Option<FieldSet> {
    let mut fields = after?.clone();
    fields.extend(more.into_iter().map(<[u8]>::to_vec));
    Some(fields)
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, doc};
    use bytes::Bytes;

    use super::super::{Context, Documents, Pipeline, Reader, Source};
    use crate::filter::Filter;
    use crate::{Doc, Env, ParseContext, Result};

    struct Nothing;

    impl Reader for Nothing {
        fn scan(&self, _: Option<&str>, _: &str, _: Option<&Filter>) -> Result<Box<dyn Source>> {
            Ok(Box::new(Documents::new(Vec::new())))
        }
    }

    fn bytes(doc: &Document) -> Bytes {
        Bytes::from(doc.to_vec().unwrap())
    }

    fn run(stages: &[Document]) -> Vec<Bytes> {
        let input = [
            doc! { "_id": 1, "a": [1, { "b": 2 }, 1], "b": "x", "c": { "d": [1, 2], "e": 0 }, "a.b": 1 },
            doc! { "_id": 2, "x": 0, "a": 3, "c": 4 },
            doc! { "_id": 3, "b": 1, "a": [], "c": { "d": [] } },
            doc! { "_id": 4, "a": Bson::Null, "b": [1, 2] },
            doc! { "_id": 5, "c": { "d": [[1], 7] }, "a": [[1]] },
        ];
        let stages: Vec<Bson> = stages.iter().cloned().map(Bson::Document).collect();
        let stages = bytes(&doc! { "stages": stages });
        let stages = Doc::new(&stages).get("stages").unwrap().as_array().unwrap();
        let pipeline = Pipeline::parse(stages, &ParseContext::new()).unwrap();
        let env = Env::fixed();
        let cx = Context {
            env: &env,
            reader: &Nothing,
            spill: None,
        };
        let mut source = pipeline.open(Box::new(Documents::new(input.iter().map(bytes).collect())));
        std::iter::from_fn(|| source.next(&cx).unwrap()).collect()
    }

    #[test]
    fn what_is_left_out_does_not_show() {
        let makers = [
            doc! { "$unwind": "$a" },
            doc! { "$unwind": { "path": "$c.d", "preserveNullAndEmptyArrays": true } },
            doc! { "$unwind": { "path": "$a", "includeArrayIndex": "b.n" } },
            doc! { "$unwind": { "path": "$a", "includeArrayIndex": "a.n", "preserveNullAndEmptyArrays": true } },
            doc! { "$addFields": { "n": { "$add": ["$_id", 1] }, "c.f": "$b" } },
            doc! { "$addFields": { "b": "$a", "a": "$b", "c": { "$ifNull": ["$x", "$$REMOVE"] } } },
        ];
        let readers = [
            doc! { "$group": { "_id": "$a", "n": { "$sum": 1 }, "b": { "$push": "$b" }, "c": { "$first": "$c.d" } } },
            doc! { "$group": { "_id": { "a": "$a", "c": "$c" }, "n": { "$max": "$n" } } },
            doc! { "$group": { "_id": "$b", "all": { "$push": "$$ROOT" } } },
            doc! { "$group": { "_id": Bson::Null, "n": { "$sum": "$c.f" } } },
            doc! { "$match": { "a": 1, "b": { "$exists": true } } },
            doc! { "$match": { "$or": [{ "n": { "$gt": 3 } }, { "c.f": { "$type": "array" } }, { "b": 3 }] } },
            doc! { "$sort": { "c.d": 1, "_id": -1 } },
            doc! { "$count": "n" },
            doc! { "$match": { "a": { "$gte": 2 } } },
            doc! { "$match": { "c.d": 2, "b": "x" } },
        ];
        let barrier = doc! { "$_internalInhibitOptimization": {} };
        for maker in &makers {
            for between in [
                vec![],
                vec![doc! { "$match": { "b": { "$ne": 7 } } }],
                vec![
                    doc! { "$sort": { "_id": -1 } },
                    doc! { "$skip": 1 },
                    doc! { "$limit": 9 },
                ],
                makers.to_vec(),
            ] {
                for reader in &readers {
                    let mut free = vec![maker.clone()];
                    free.extend(between.iter().cloned());
                    free.push(reader.clone());
                    let mut held = Vec::new();
                    for stage in &free {
                        held.extend([stage.clone(), barrier.clone()]);
                    }
                    assert_eq!(run(&free), run(&held), "{free:?}");
                }
            }
        }
    }
}
