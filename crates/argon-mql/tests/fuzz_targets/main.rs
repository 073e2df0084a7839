//! The fuzz targets of `fuzz/`, on the stable toolchain: each gets structured documents from fixed seeds, and the same
//! with bytes changed here and there. Nothing panics, nothing overflows, nothing runs on without an end.
//!
//! A target is a function of bytes; the programs in `fuzz/fuzz_targets` are nothing but a call of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod document;
mod expression;
mod filter;
mod keys;
mod pipeline;
mod projection;
mod update;

use argon_mql::catalogue::Entry;
use argon_mql::{Doc, DocBuf, Value, ValueRef};
use bytes::Bytes;

/// Inputs of each target.
const ROUNDS: u64 = 3_000;

/// Most levels of a made-up value.
const DEPTH: usize = 5;

const FIELDS: &[&str] = &[
    "a",
    "b",
    "_id",
    "",
    "0",
    "1",
    "a.b",
    "a.0",
    "a.$",
    "a.$[]",
    "a.$[e].b",
    "b.$[e]",
    "$a",
    "e",
    "e.a",
    "x",
    "a.b.c.d",
    ".",
    "a.",
    "4294967296",
    "$ref",
    "$**",
];

const TEXTS: &[&str] = &[
    "",
    "a",
    "$a",
    "$a.b",
    "$$ROOT",
    "$$CURRENT.a",
    "$$this",
    "$$value",
    "$$NOW",
    "$$REMOVE",
    "$",
    "a.b",
    "é",
    "^a(b+)+$",
    "i",
    "en",
    "date",
    "int",
    "day",
    "UTC",
    "%Y-%m",
    "2020-01-01",
    "unbounded",
    "current",
    "full",
    "hashed",
    "simple",
    "1-2-5",
    "linear",
    "merge",
    "textScore",
    "sortKey",
    "\u{0}",
];

const INNER: &[&str] = &[
    "input",
    "in",
    "as",
    "cond",
    "initialValue",
    "vars",
    "if",
    "then",
    "else",
    "branches",
    "case",
    "default",
    "to",
    "onError",
    "onNull",
    "date",
    "unit",
    "amount",
    "timezone",
    "format",
    "dateString",
    "field",
    "value",
    "sortBy",
    "n",
    "output",
    "regex",
    "options",
    "find",
    "replacement",
    "chars",
    "inputs",
    "useLongestLength",
    "defaults",
    "limit",
    "path",
    "includeArrayIndex",
    "from",
    "let",
    "pipeline",
    "localField",
    "foreignField",
    "startWith",
    "connectFromField",
    "connectToField",
    "maxDepth",
    "groupBy",
    "boundaries",
    "buckets",
    "granularity",
    "newRoot",
    "partitionBy",
    "window",
    "documents",
    "range",
    "step",
    "bounds",
    "partitionByFields",
    "method",
    "coll",
    "size",
    "$each",
    "$slice",
    "$sort",
    "$position",
    "$meta",
    "and",
    "or",
    "locale",
    "strength",
    "key",
    "name",
    "unique",
    "sparse",
    "partialFilterExpression",
    "collation",
    "expireAfterSeconds",
    "wildcardProjection",
    "bsonType",
    "properties",
    "items",
    "required",
    "anyOf",
    "not",
    "startDate",
    "endDate",
    "binSize",
    "year",
    "isoWeek",
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

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    fn scalar(&mut self) -> Value {
        match self.below(24) {
            0..6 => Value::string(self.pick(TEXTS)),
            6 => Value::Null,
            7 => Value::Bool(self.below(2) == 0),
            8..13 => Value::Int32(i32::try_from(self.below(7)).unwrap() - 2),
            13 => Value::Int32([i32::MAX, i32::MIN, 1 << 24, 200][self.below(4)]),
            14 => Value::Int64([i64::MAX, i64::MIN, 1 << 40, -1][self.below(4)]),
            15 => Value::Double([f64::NAN, -0.0, 1e300, f64::INFINITY, 0.5, 5e-324][self.below(6)]),
            16 => Value::Double(f64::from_bits(self.next())),
            17 => {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&self.next().to_le_bytes());
                bytes[8..].copy_from_slice(&self.next().to_le_bytes());
                Value::Decimal128(bytes)
            }
            18 => Value::DateTime([0, i64::MAX, i64::MIN, 1_600_000_000_000][self.below(4)]),
            19 => Value::Timestamp(self.next()),
            20 => Value::ObjectId([7; 12]),
            21 => Value::MinKey,
            22 => Value::MaxKey,
            _ => Value::Undefined,
        }
    }

    /// A value with operators of `names` in it.
    fn value(&mut self, names: &[&str], depth: usize) -> Value {
        match self.below(8) {
            0 | 1 if depth > 0 => {
                let count = self.below(4);
                let items: Vec<Value> = (0..count).map(|_| self.value(names, depth - 1)).collect();
                Value::Array(DocBuf::array(items.iter().map(Value::as_ref)))
            }
            2..5 if depth > 0 => Value::Document(self.document(names, depth - 1)),
            _ => self.scalar(),
        }
    }

    fn document(&mut self, names: &[&str], depth: usize) -> Bytes {
        let mut doc = DocBuf::new();
        for _ in 0..[0, 1, 1, 1, 2, 3, 4][self.below(7)] {
            let key = match self.below(6) {
                0..3 => self.pick(names),
                3 => self.pick(INNER),
                _ => self.pick(FIELDS),
            };
            doc.append(key, self.value(names, depth).as_ref());
        }
        doc.finish()
    }

    /// Documents with one field each, that an operator of `outer` names.
    fn operators(&mut self, outer: &[&str], names: &[&str]) -> Value {
        let count = 1 + self.below(3);
        let items: Vec<Value> = (0..count)
            .map(|_| {
                let mut doc = DocBuf::new();
                doc.append(self.pick(outer), self.value(names, DEPTH).as_ref());
                Value::Document(doc.finish())
            })
            .collect();
        Value::Array(DocBuf::array(items.iter().map(Value::as_ref)))
    }

    fn documents(&mut self) -> Value {
        let count = self.below(5);
        let docs: Vec<Value> = (0..count)
            .map(|_| Value::Document(self.document(FIELDS, 3)))
            .collect();
        Value::Array(DocBuf::array(docs.iter().map(Value::as_ref)))
    }
}

fn names(entries: impl Iterator<Item = Entry>) -> Vec<&'static str> {
    entries.map(|entry| entry.name).collect()
}

/// Feeds `target` what `make` makes, and each of it once more with a byte changed.
fn feed(make: impl Fn(&mut Random) -> Bytes, target: fn(&[u8])) {
    for seed in 0..ROUNDS {
        let mut random = Random(seed);
        let mut input = make(&mut random).to_vec();
        target(&input);
        let at = random.below(input.len());
        input[at] = u8::try_from(random.below(256)).unwrap();
        target(&input);
    }
}

fn with(parts: &[(&str, Value)]) -> Bytes {
    let mut doc = DocBuf::new();
    for (name, value) in parts {
        doc.append(name, value.as_ref());
    }
    doc.finish()
}

#[test]
fn documents() {
    feed(|random| random.document(FIELDS, DEPTH), document::run);
}

#[test]
fn expressions() {
    let names = names(argon_mql::expr::entries());
    feed(|random| random.document(&names, DEPTH), expression::run);
}

#[test]
fn filters() {
    let mut names = names(argon_mql::filter::entries());
    names.extend(names_of_schemas());
    feed(|random| random.document(&names, DEPTH), filter::run);
}

fn names_of_schemas() -> Vec<&'static str> {
    names(argon_mql::filter::schema_entries())
}

#[test]
fn key_patterns() {
    feed(
        |random| {
            let index = random.document(
                &["key", "name", "partialFilterExpression", "v", "unique"],
                2,
            );
            let mut spec = DocBuf::new();
            spec.append_all(Doc::new(&index));
            if Doc::new(&index).get("key").is_none() {
                let key = with(&[
                    (random.pick(FIELDS), Value::Int32(1)),
                    (random.pick(FIELDS), random.scalar()),
                ]);
                spec.append("key", ValueRef::Document(Doc::new(&key)));
                spec.append("name", ValueRef::String("i".into()));
            }
            let order = with(&[
                (random.pick(FIELDS), Value::Int32(1)),
                (random.pick(FIELDS), Value::Int32(-1)),
            ]);
            let mut input = DocBuf::new();
            input.append("i", ValueRef::Document(Doc::new(&spec.finish())));
            input.append("s", ValueRef::Document(Doc::new(&order)));
            input.append(
                "c",
                Value::Document(random.document(&["locale", "strength"], 1)).as_ref(),
            );
            input.append_all(Doc::new(&random.document(FIELDS, DEPTH)));
            input.finish()
        },
        keys::run,
    );
}

#[test]
fn pipelines() {
    let stages = names(argon_mql::stage::entries());
    let mut inner = names(argon_mql::expr::entries());
    inner.extend(names_of_accumulators());
    feed(
        |random| {
            with(&[
                ("p", random.operators(&stages, &inner)),
                ("d", random.documents()),
                ("e", random.documents()),
            ])
        },
        pipeline::run,
    );
}

fn names_of_accumulators() -> Vec<&'static str> {
    names(argon_mql::accumulator::entries())
}

#[test]
fn projections() {
    let names = names(argon_mql::expr::entries());
    feed(
        |random| {
            let mut input = DocBuf::new();
            input.append(
                "p",
                Value::Document(random.document(&names, DEPTH)).as_ref(),
            );
            input.append_all(Doc::new(&random.document(FIELDS, DEPTH)));
            input.finish()
        },
        projection::run,
    );
}

#[test]
fn updates() {
    let operators = names(argon_mql::update::entries());
    let filters = names(argon_mql::filter::entries());
    feed(
        |random| {
            let update = if random.below(4) == 0 {
                random.operators(
                    &["$set", "$unset", "$project", "$replaceWith"],
                    &["$add", "$map"],
                )
            } else {
                let mut update = DocBuf::new();
                for _ in 0..=random.below(2) {
                    let mut change = DocBuf::new();
                    change.append(random.pick(FIELDS), random.value(&filters, 3).as_ref());
                    update.append(
                        random.pick(&operators),
                        ValueRef::Document(Doc::new(&change.finish())),
                    );
                }
                Value::Document(update.finish())
            };
            let on_element = with(&[("e", random.value(&filters, 2))]);
            let filter = ValueRef::Document(Doc::new(&on_element));
            with(&[
                ("u", update),
                ("f", Value::Array(DocBuf::array(std::iter::once(filter)))),
                ("q", Value::Document(random.document(&filters, 2))),
                ("d", Value::Document(random.document(FIELDS, 4))),
            ])
        },
        update::run,
    );
}
