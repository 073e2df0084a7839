//! Nanoseconds to parse a filter, to plan it, and to match it against one document. One thread, everything in cache; the document has
//! ten fields and 190 bytes. The best of many short runs counts, so that a busy machine does not show.
//!
//! `cargo bench -p argon-mql --bench filter`

#![expect(clippy::print_stdout, reason = "a bench prints its result")]
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::time::Instant;

use argon_mql::index::{IndexSpec, Multikey};
use argon_mql::plan::{PlanIndex, plan};
use argon_mql::sort::Order;
use argon_mql::{Doc, Env, Filter, ParseContext};
use bson::{Document, doc, oid::ObjectId};
use bytes::Bytes;

/// Runs, and calls in each.
const RUNS: usize = 200;
const CALLS: u32 = 2_000;

fn main() {
    let document = bytes(&doc! {
        "_id": ObjectId::from_bytes([1; 12]), "name": "some string", "age": 30, "city": "some string",
        "score": 12.5, "a": 14, "tags": ["x", "y"], "email": "someone@example.com", "zip": 12_345_i64, "b": "x",
    });
    let specs = [
        doc! { "key": { "age": 1 }, "name": "age_1" },
        doc! { "key": { "email": 1, "a": -1 }, "name": "email_1_a_-1" },
    ]
    .map(|spec| IndexSpec::parse(Doc::new(&bytes(&spec))).unwrap());
    let multikey = Multikey::default();
    let indexes: Vec<PlanIndex<'_>> = specs
        .iter()
        .map(|spec| PlanIndex {
            spec,
            multikey: &multikey,
        })
        .collect();
    for (name, filter) in [
        ("point read", doc! { "_id": ObjectId::from_bytes([1; 12]) }),
        ("two fields", doc! { "a": { "$gt": 5 }, "b": "x" }),
        ("last field", doc! { "b": "x" }),
        (
            "missing field",
            doc! { "nothing": doc! { "$exists": false } },
        ),
        ("range", doc! { "age": { "$gte": 18, "$lt": 65 } }),
        (
            "one of ten",
            doc! { "a": { "$in": (5..15).collect::<Vec<i32>>() } },
        ),
        ("either", doc! { "$or": [{ "a": 1 }, { "b": "x" }] }),
        (
            "text in a string",
            doc! { "email": { "$regex": "example" } },
        ),
        (
            "regular expression",
            doc! { "email": { "$regex": "^[a-z]+@" } },
        ),
        ("item of an array", doc! { "tags": "y" }),
        (
            "schema",
            doc! { "$jsonSchema": { "required": ["a"], "properties": { "a": { "bsonType": "int" } } } },
        ),
    ] {
        let text = bytes(&filter);
        let cx = ParseContext::new();
        let env = Env::fixed();
        let parse = best(|| {
            black_box(Filter::parse(Doc::new(black_box(&text)), &cx).unwrap());
        });
        let filter = Filter::parse(Doc::new(&text), &cx).unwrap();
        let matches = best(|| {
            assert!(
                black_box(&filter)
                    .matches(black_box(&document), &env)
                    .unwrap()
            );
        });
        let planned = best(|| {
            black_box(plan(black_box(&filter), &Order::Any, None, &indexes).unwrap());
        });
        println!("{name:20} parse {parse:7.0} ns   plan {planned:7.0} ns   match {matches:6.0} ns");
    }
}

fn bytes(document: &Document) -> Bytes {
    Bytes::from(document.to_vec().unwrap())
}

/// Nanoseconds of one call in the fastest run.
fn best(mut call: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .fold(f64::MAX, f64::min)
}
