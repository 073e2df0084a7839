//! Filters out of arbitrary documents: whatever comes, an answer or an error, never a panic; and what a filter prints of
//! itself means the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argon_mql::filter::failure;
use argon_mql::value::DEPTH_MAX;
use argon_mql::{Doc, DocBuf, Env, Filter, ParseContext, ValueRef};
use bytes::Bytes;

/// Keys that mean something in filters and schemas, and some that do not.
const KEYS: &[&str] = &[
    "a",
    "b",
    "a.b",
    "a.0",
    "0",
    "",
    "a.",
    "$and",
    "$or",
    "$nor",
    "$not",
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$type",
    "$size",
    "$mod",
    "$all",
    "$elemMatch",
    "$regex",
    "$options",
    "$bitsAllSet",
    "$bitsAnyClear",
    "$expr",
    "$jsonSchema",
    "$comment",
    "$sampleRate",
    "$alwaysTrue",
    "$alwaysFalse",
    "$where",
    "$text",
    "$near",
    "$ref",
    "$id",
    "$unknown",
    "properties",
    "items",
    "additionalItems",
    "additionalProperties",
    "patternProperties",
    "required",
    "type",
    "bsonType",
    "enum",
    "allOf",
    "oneOf",
    "not",
    "minimum",
    "maxLength",
    "pattern",
    "uniqueItems",
    "dependencies",
    "title",
    "multipleOf",
    "maxItems",
];

const TEXTS: &[&str] = &[
    "", "a", "$a", "$$ROOT", "$$NOW", "^a", "(", "(a+)+$", "int", "string", "object", "i", "é",
    "a.b",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn pick<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.below(list.len())]
    }

    fn document(&mut self, depth: usize, keys: &[&str]) -> Bytes {
        let mut doc = DocBuf::new();
        for _ in 0..self.below(4) {
            let key = self.pick(keys);
            self.value(depth, keys, &mut |value| doc.append(key, value));
        }
        doc.finish()
    }

    fn value(&mut self, depth: usize, keys: &[&str], append: &mut dyn FnMut(ValueRef<'_>)) {
        let bits = self.next();
        let shape = if depth == 0 {
            2 + self.below(18)
        } else {
            self.below(20)
        };
        match shape {
            0 | 10 | 11 if depth > 0 => append(ValueRef::Document(Doc::new(
                &self.document(depth - 1, keys),
            ))),
            1 | 12 | 13 if depth > 0 => {
                let mut items = DocBuf::new();
                for index in 0..self.below(4) {
                    self.value(depth - 1, keys, &mut |value| items.push(index, value));
                }
                append(ValueRef::Array(Doc::new(&items.finish())));
            }
            2 => append(ValueRef::Int32(i32::try_from(bits % 9).unwrap() - 2)),
            3 => append(ValueRef::Double(f64::from_bits(bits))),
            4 => append(ValueRef::Int64(bits.cast_signed())),
            5 => append(ValueRef::Decimal128(
                (u128::from(bits) << 64 | u128::from(self.next())).to_le_bytes(),
            )),
            6 => append(ValueRef::Bool(bits & 1 == 1)),
            7 => append(ValueRef::Null),
            8 => append(ValueRef::Undefined),
            9 => append(ValueRef::Regex {
                pattern: self.pick(TEXTS).into(),
                options: "i".into(),
            }),
            14 => append(ValueRef::Binary {
                subtype: 0,
                bytes: &bits.to_le_bytes(),
            }),
            15 => append(ValueRef::MinKey),
            16 => append(ValueRef::DateTime(bits.cast_signed())),
            17 => append(ValueRef::Symbol(self.pick(TEXTS).into())),
            18 => append(ValueRef::String((&bits.to_le_bytes()[..]).into())),
            _ => append(ValueRef::String(self.pick(TEXTS).into())),
        }
    }
}

#[test]
fn no_document_makes_a_filter_panic() {
    let cx = ParseContext::new();
    let env = Env::fixed();
    let mut parsed = 0;
    for seed in 0..30_000 {
        let mut random = Random(seed);
        let query = random.document(4, KEYS);
        let docs: Vec<Bytes> = (0..4).map(|_| random.document(3, &KEYS[..7])).collect();
        let Ok(filter) = Filter::parse(Doc::new(&query), &cx) else {
            continue;
        };
        parsed += 1;
        let shown = filter.to_doc();
        let again = Filter::parse(Doc::new(&shown), &cx);
        for doc in &docs {
            let holds = filter.matches(doc, &env);
            let _ = filter.array_match(doc, &env);
            let _ = failure(Doc::new(&query), &cx, doc, &env);
            let Ok(holds) = holds else { continue };
            if means_something_else_printed(&query) {
                continue;
            }
            let again = again.as_ref().unwrap_or_else(|error| {
                panic!(
                    "seed {seed}: {:?} printed as {:?}: {error}",
                    Doc::new(&query),
                    Doc::new(&shown)
                )
            });
            assert_eq!(
                again.matches(doc, &env).ok(),
                Some(holds),
                "seed {seed}: {:?} printed as {:?} on {:?}",
                Doc::new(&query),
                Doc::new(&shown),
                Doc::new(doc)
            );
        }
    }
    assert!(parsed > 5_000, "only {parsed} filters were well-formed");
}

/// Whether the filter is a matter of chance, or of database references, which print as operators.
fn means_something_else_printed(query: &[u8]) -> bool {
    ["$sampleRate\0", "$ref\0", "$id\0"].iter().any(|key| {
        query
            .windows(key.len())
            .any(|bytes| bytes == key.as_bytes())
    })
}

#[test]
fn nesting_is_bounded_by_that_of_documents() {
    let cx = ParseContext::new();
    for key in [
        "$and",
        "$not",
        "$elemMatch",
        "not",
        "properties",
        "items",
        "$expr",
    ] {
        let mut inner = DocBuf::new();
        inner.append("a", ValueRef::Int32(1));
        let mut query = inner.finish();
        for _ in 0..DEPTH_MAX / 2 - 2 {
            let mut outer = DocBuf::new();
            if key == "$and" {
                let list = outer.open_array(key);
                outer.push(0, ValueRef::Document(Doc::new(&query)));
                outer.close(list);
            } else {
                outer.append(key, ValueRef::Document(Doc::new(&query)));
            }
            query = outer.finish();
        }
        for wrapper in ["a", "$jsonSchema"] {
            let mut whole = DocBuf::new();
            whole.append(wrapper, ValueRef::Document(Doc::new(&query)));
            let whole = whole.finish();
            if let Ok(filter) = Filter::parse(Doc::new(&whole), &cx) {
                filter.matches(&query, &Env::fixed()).unwrap();
                let _ = failure(Doc::new(&whole), &cx, &query, &Env::fixed());
            }
        }
    }
}
