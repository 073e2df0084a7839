//! The keys that a document has in an index.
//!
//! Without an array on any path there is one key, missing fields being null. An array gives one key per item; the paths
//! of a compound index may enter one array together, but not two different ones. A path that ends at an empty array has
//! the key undefined, which is what keeps `[]` apart from null.

use bytes::Bytes;
use smallvec::SmallVec;

use super::expand::{Expansion, plain_value};
use super::{Field, IndexSpec, Kind, wildcard};
use crate::collation::Collation;
use crate::value::{Doc, DocBuf, ValueRef, key};
use crate::{Env, Result};

/// A document's keys in an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexKeys {
    /// The keys, sorted, each once. Empty if a sparse or partial index leaves the document out.
    pub keys: SmallVec<[Vec<u8>; 1]>,
    /// Which paths led through arrays.
    pub multikey: Multikey,
}

/// Which paths of an index lead through an array in some document; the planner must know, since then two bounds on one
/// path may be met by two items.
///
/// Per field of the key pattern, a bit for each component of its path at which an array was entered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multikey(SmallVec<[u64; 2]>);

impl Multikey {
    /// Whether no array was met.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&bits| bits == 0)
    }

    /// Whether the path of field `index` led through an array.
    pub fn field(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|&bits| bits != 0)
    }

    /// Whether the first `parts` components of the path of field `index` led through an array.
    pub fn within(&self, index: usize, parts: usize) -> bool {
        let mask = 1_u64
            .checked_shl(u32::try_from(parts).unwrap_or(u32::MAX))
            .map_or(u64::MAX, |bit| bit - 1);
        self.0.get(index).is_some_and(|&bits| bits & mask != 0)
    }

    /// Whether components after the first `parts` of the path of field `index` led through an array.
    pub fn beyond(&self, index: usize, parts: usize) -> bool {
        let bits = self.0.get(index).copied().unwrap_or(0);
        u32::try_from(parts)
            .ok()
            .and_then(|parts| bits.checked_shr(parts))
            .unwrap_or(0)
            != 0
    }

    /// Adds what `other` has; answers whether that was something new.
    pub fn merge(&mut self, other: &Multikey) -> bool {
        let mut grown = false;
        for (index, &bits) in other.0.iter().enumerate() {
            grown |= self.mark(index, bits);
        }
        grown
    }

    /// `multiKeyPaths` of an explanation.
    pub fn paths(&self, spec: &IndexSpec) -> Bytes {
        let mut out = DocBuf::new();
        for (index, field) in spec.fields().iter().enumerate() {
            let array = out.open_array(field.path.text());
            let mut count = 0;
            let mut text = Vec::new();
            for (depth, part) in field.path.parts().iter().enumerate() {
                if depth > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(part.name());
                if self.has(index, depth) {
                    out.push(count, ValueRef::String(text.as_slice().into()));
                    count += 1;
                }
            }
            out.close(array);
        }
        out.finish()
    }

    fn has(&self, index: usize, depth: usize) -> bool {
        self.0
            .get(index)
            .is_some_and(|&bits| bits & bit(depth) != 0)
    }

    fn mark(&mut self, index: usize, bits: u64) -> bool {
        if bits == 0 {
            return false;
        }
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        let old = self.0[index];
        self.0[index] |= bits;
        self.0[index] != old
    }

    pub(super) fn mark_at(&mut self, index: usize, depth: usize) {
        self.mark(index, bit(depth));
    }
}

/// The bit of a component; all beyond the 64th share one.
fn bit(depth: usize) -> u64 {
    1 << depth.min(63)
}

impl IndexSpec {
    /// The keys of `doc` in this index.
    ///
    /// # Errors
    /// `CannotIndexParallelArrays` if two fields lead to different arrays; Location16746 if a number in a path is both a
    /// position and a field name; Location16766 for an array in a hashed index.
    pub fn keys(&self, doc: &Bytes) -> Result<IndexKeys> {
        // A partial filter has no `$expr`, so nothing of the environment matters.
        if let Some(filter) = self.partial_filter()
            && !filter.matches(doc, &Env::fixed())?
        {
            return Ok(IndexKeys::default());
        }
        let doc = Doc::new(doc);
        if self.kind == Kind::Wildcard {
            return Ok(wildcard::keys(self, doc));
        }
        if let Some(key) = self.plain_key(doc) {
            return Ok(IndexKeys {
                keys: key.into_iter().collect(),
                multikey: Multikey::default(),
            });
        }
        let mut found = IndexKeys::default();
        self.expand_keys(doc, &mut found.multikey, &mut |values| {
            found.keys.push(self.encode(values));
        })?;
        found.keys.sort_unstable();
        found.keys.dedup();
        Ok(found)
    }

    /// The key of a document that has no array on any path, which most have: `Some(None)` if a sparse index leaves it
    /// out, `None` if it takes the long way.
    #[expect(clippy::option_option, reason = "no key and not known are different")]
    fn plain_key(&self, doc: Doc<'_>) -> Option<Option<Vec<u8>>> {
        let mut out = Vec::with_capacity(16 * self.fields.len());
        let mut any = false;
        for field in &self.fields {
            let (value, found) = match plain_value(doc, &field.path)? {
                ValueRef::Missing => (ValueRef::Null, false),
                value => (value, true),
            };
            any |= found;
            key::append_with(&mut out, value, field.descending, self.collation.as_ref());
        }
        Some((any || !self.sparse).then_some(out))
    }

    /// What the key of `doc`, which has no array on any path, begins with: its first `fields` fields. `None` if the last of
    /// them is null, since that is the key of a missing field too.
    pub fn beginning(&self, doc: Doc<'_>, fields: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(16 * fields);
        let mut told = false;
        for field in self.fields.iter().take(fields) {
            let value = match plain_value(doc, &field.path) {
                None | Some(ValueRef::Missing) => ValueRef::Null,
                Some(value) => value,
            };
            told = !matches!(value, ValueRef::Null);
            key::append_with(&mut out, value, field.descending, self.collation.as_ref());
        }
        told.then_some(out)
    }

    /// Shows `visit` the values of the key of `doc` that is `wanted`, with the number of their field.
    pub(super) fn visit_key(
        &self,
        doc: Doc<'_>,
        wanted: &[u8],
        mut visit: impl FnMut(usize, ValueRef<'_>),
    ) {
        let mut done = false;
        let shown = self.expand_keys(doc, &mut Multikey::default(), &mut |values| {
            if !done && self.encode(values) == wanted {
                done = true;
                for (index, &value) in values.iter().enumerate() {
                    visit(index, value);
                }
            }
        });
        // The key came from this document, so its expansion succeeded before.
        debug_assert!(shown.is_ok());
    }

    /// The key of `doc` that is `wanted` (one of [`keys`](IndexSpec::keys)) as a document: what `returnKey` and
    /// `{$meta: "indexKey"}` show. A hashed field shows its hash, a wildcard index the path too; a string of an index with a
    /// collation is shown as the document has it.
    pub fn key_document(&self, doc: Doc<'_>, wanted: &[u8]) -> Bytes {
        let mut out = DocBuf::new();
        if self.kind == Kind::Wildcard {
            let mut done = false;
            wildcard::walk(self, doc, &mut |path, value, key| {
                if !done && key == wanted {
                    done = true;
                    out.append("$_path", ValueRef::String(path.into()));
                    out.append(path, value);
                }
            });
            return out.finish();
        }
        self.visit_key(doc, wanted, |index, value| {
            let field = &self.fields[index];
            let value = if field.hashed {
                ValueRef::Int64(crate::expr::hash(value))
            } else {
                value
            };
            out.append(field.path.text(), value);
        });
        out.finish()
    }

    fn expand_keys<'d>(
        &self,
        doc: Doc<'d>,
        multikey: &mut Multikey,
        visit: &mut dyn FnMut(&[ValueRef<'d>]),
    ) -> Result<()> {
        let mut expansion = Expansion {
            path: &|index: usize| &self.fields[index].path,
            refuse_arrays: self.kind == Kind::Hashed,
            multikey,
            visit: &mut |values, found| {
                if found || !self.sparse {
                    visit(values);
                }
            },
        };
        expansion.start(self.fields.len(), doc)
    }

    fn encode(&self, values: &[ValueRef<'_>]) -> Vec<u8> {
        encode(&self.fields, values, self.collation.as_ref())
    }
}

fn encode(fields: &[Field], values: &[ValueRef<'_>], collation: Option<&Collation>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * fields.len());
    for (field, &value) in fields.iter().zip(values) {
        key::append_with(&mut out, value, field.descending, collation);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Bson, bson, doc};

    fn bytes(document: &bson::Document) -> Bytes {
        document.to_vec().unwrap().into()
    }

    fn spec(pattern: bson::Document, sparse: bool) -> IndexSpec {
        let spec = bytes(&doc! {"key": pattern, "name": "n", "sparse": sparse});
        IndexSpec::parse(Doc::new(&spec)).unwrap()
    }

    /// `Ok` with the keys' values, or the code of the error.
    fn keys(
        pattern: bson::Document,
        document: bson::Document,
        sparse: bool,
    ) -> Result<Vec<Vec<u8>>, i32> {
        spec(pattern, sparse)
            .keys(&bytes(&document))
            .map(|found| found.keys.into_vec())
            .map_err(|error| error.code().number())
    }

    /// Keys are expected as arrays of the fields' values; "undef" stands for undefined.
    #[track_caller]
    fn check(pattern: &bson::Document, document: bson::Document, expected: Bson) {
        let fields = spec(pattern.clone(), false).fields;
        let expected: Vec<Vec<u8>> = expected
            .as_array()
            .unwrap()
            .iter()
            .map(|key| {
                let key = bytes(&doc! {"k": key.clone()});
                let array = Doc::new(&key).get("k").unwrap().as_array().unwrap();
                let values: Vec<ValueRef<'_>> = array
                    .values()
                    .map(|value| match value {
                        ValueRef::String(text) if text == "undef" => ValueRef::Undefined,
                        value => value,
                    })
                    .collect();
                encode(&fields, &values, None)
            })
            .collect();
        assert_eq!(keys(pattern.clone(), document, false), Ok(expected));
    }

    #[test]
    fn keys_of_one_field_are_mongods() {
        let a = doc! {"a": 1};
        check(&a, doc! {}, bson!([[null]]));
        check(&a, doc! {"a": []}, bson!([["undef"]]));
        check(&a, doc! {"a": [1, 2, 2]}, bson!([[1], [2]]));
        check(&a, doc! {"a": [[1, 2], 3]}, bson!([[3], [[1, 2]]]));
        check(&a, doc! {"a": [[]]}, bson!([[[]]]));
        let ab = doc! {"a.b": 1};
        check(&ab, doc! {"a": 5}, bson!([[null]]));
        check(&ab, doc! {"a": []}, bson!([[null]]));
        check(
            &ab,
            doc! {"a": [{"b": 1}, {"b": 2}, {}]},
            bson!([[null], [1], [2]]),
        );
        check(
            &ab,
            doc! {"a": [{"b": [1, 2]}, {"b": 3}]},
            bson!([[1], [2], [3]]),
        );
        check(&ab, doc! {"a": [[{"b": 1}]]}, bson!([[null]]));
        check(&ab, doc! {"a": {"b": []}}, bson!([["undef"]]));
        check(&ab, doc! {"a": [5, {"b": 1}]}, bson!([[null], [1]]));
    }

    #[test]
    fn positions_are_mongods() {
        let a0 = doc! {"a.0": 1};
        check(&a0, doc! {"a": [5, 6]}, bson!([[5]]));
        check(&a0, doc! {"a": [[5, 7], 6]}, bson!([[[5, 7]]]));
        check(&a0, doc! {"a": {"0": 3}}, bson!([[3]]));
        check(&a0, doc! {"a": []}, bson!([[null]]));
        check(&a0, doc! {"a": [[]]}, bson!([["undef"]]));
        check(&doc! {"a.1": 1}, doc! {"a": [{"1": 3}]}, bson!([[3]]));
        check(&doc! {"a.1": 1}, doc! {"a": [[7, 8]]}, bson!([[null]]));
        check(&doc! {"a.1": 1}, doc! {"a": [[7, 8], [1]]}, bson!([[[1]]]));
        check(&doc! {"a.5": 1}, doc! {"a": [1, 2]}, bson!([[null]]));
        check(
            &doc! {"a.0.b": 1},
            doc! {"a": [{"b": [1, 2]}, {"b": 2}]},
            bson!([[1], [2]]),
        );
        check(
            &doc! {"a.b.0": 1},
            doc! {"a": [{"b": [1, 2]}, {"b": [3]}]},
            bson!([[1], [3]]),
        );
        check(&doc! {"a.0.0": 1}, doc! {"a": [[7, 8]]}, bson!([[7]]));
        check(
            &doc! {"a.0.b": 1},
            doc! {"a": [[{"b": 1}, {"b": 2}]]},
            bson!([[1], [2]]),
        );
        check(
            &doc! {"a": 1, "a.0": 1},
            doc! {"a": [1, 2]},
            bson!([[1, 1], [2, 1]]),
        );
        let both = doc! {"a.0.b": 1, "a.c": 1};
        check(
            &both,
            doc! {"a": [{"b": 1, "c": 5}, {"b": 2, "c": 6}]},
            bson!([[1, 5], [1, 6]]),
        );
        assert_eq!(keys(a0, doc! {"a": [{"0": 3}, 4]}, false), Err(16746));
    }

    #[test]
    fn compound_keys_are_mongods() {
        let ab = doc! {"a": 1, "b": 1};
        check(&ab, doc! {"a": [1, 2], "b": 3}, bson!([[1, 3], [2, 3]]));
        check(&ab, doc! {"a": [], "b": 1}, bson!([["undef", 1]]));
        for parallel in [doc! {"a": [1], "b": [3]}, doc! {"a": [], "b": []}] {
            assert_eq!(keys(ab.clone(), parallel, false), Err(171));
        }
        let inner = doc! {"a.b": 1, "a.c": 1};
        check(
            &inner,
            doc! {"a": [{"b": 1, "c": 2}, {"b": 3}, {"c": 4}]},
            bson!([[null, 4], [1, 2], [3, null]]),
        );
        check(
            &inner,
            doc! {"a": [{"b": [1, 2], "c": 9}, {"b": 3, "c": [4, 5]}]},
            bson!([[1, 9], [2, 9], [3, 4], [3, 5]]),
        );
        check(&inner, doc! {"a": []}, bson!([[null, null]]));
        check(
            &doc! {"a": 1, "a.b": 1},
            doc! {"a": [{"b": 1}, {"b": 2}]},
            bson!([[{"b": 1}, 1], [{"b": 2}, 2]]),
        );
    }

    #[test]
    fn sparse_keys_are_mongods() {
        for (pattern, document, count) in [
            (doc! {"a": 1}, doc! {}, 0),
            (doc! {"a": 1}, doc! {"a": null}, 1),
            (doc! {"a": 1}, doc! {"a": []}, 1),
            (doc! {"a": 1, "b": 1}, doc! {"a": 1}, 1),
            (doc! {"a": 1, "b": 1}, doc! {}, 0),
            (doc! {"a.b": 1}, doc! {"a": []}, 0),
            (doc! {"a.b": 1}, doc! {"a": [{}, {"b": 1}]}, 1),
            (doc! {"a.b": 1, "c": 1}, doc! {"a": [{}]}, 0),
        ] {
            assert_eq!(keys(pattern, document, true).unwrap().len(), count);
        }
    }

    #[test]
    fn multikey_paths_are_mongods() {
        let spec = spec(doc! {"a.b": 1, "a.c": 1}, false);
        let found = spec
            .keys(&bytes(&doc! {"a": [{"b": [1, 2], "c": 5}]}))
            .unwrap();
        assert!(found.multikey.within(0, 1) && found.multikey.field(1));
        assert_eq!(
            Doc::new(&found.multikey.paths(&spec)).to_string(),
            "{ a.b: [ \"a\", \"a.b\" ], a.c: [ \"a\" ] }"
        );
    }

    #[test]
    fn hashed_and_wildcard_keys() {
        let hashed = doc! {"a": "hashed"};
        assert_eq!(keys(hashed.clone(), doc! {"a": []}, false), Err(16766));
        assert_eq!(
            keys(hashed, doc! {"a": {"b": [1]}}, false).unwrap().len(),
            1
        );
        for (document, count) in [
            (doc! {"_id": 1}, 0),
            (doc! {"a": 1}, 1),
            (doc! {"a": [1, 2]}, 2),
            (doc! {"a": []}, 1),
            (doc! {"a": {}}, 1),
            (doc! {"a": {"b": 1, "c": [1, {"d": 2}]}}, 3),
            (doc! {"a": [[1, 2]]}, 1),
            (doc! {"a": [{"b": 1}, {"b": 2}]}, 2),
            (doc! {"a": [{}]}, 1),
        ] {
            let found = keys(doc! {"$**": 1}, document.clone(), false).unwrap();
            assert_eq!(found.len(), count, "{document}");
        }
    }

    #[test]
    fn duplicates_are_described_as_mongod_does() {
        let spec = spec(doc! {"a": 1, "b.c": -1}, false);
        let document = bytes(&doc! {"a": "x", "b": [{"c": {"y": 1}}]});
        let key = spec.keys(&document).unwrap().keys.remove(0);
        let error = spec
            .duplicate("t.d", Doc::new(&document), &key)
            .into_error();
        assert_eq!(
            error.message(),
            "E11000 duplicate key error collection: t.d index: n dup key: { a: \"x\", b.c: { y: 1 } }"
        );
        assert_eq!(
            Doc::new(error.details().unwrap()).to_string(),
            "{ keyPattern: { a: 1, b.c: -1 }, keyValue: { a: \"x\", b.c: { y: 1 } } }"
        );
    }
}
