//! Blocking stages give the same documents whether they fit the memory or not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argon_mql::spill::{Area, File};
use argon_mql::stage::{Context, Documents, Pipeline, Reader, Source};
use argon_mql::value::key;
use argon_mql::{Doc, Env, Error, ErrorCode, Filter, ParseContext, Result, ValueRef};
use bson::{Bson, doc};
use bytes::Bytes;

/// Files in memory, for stages that may hold that many bytes.
struct Small(usize);

struct Memory(Vec<u8>);

impl Area for Small {
    fn create(&self) -> Result<Box<dyn File>> {
        Ok(Box::new(Memory(Vec::new())))
    }

    fn stage_bytes(&self) -> usize {
        self.0
    }
}

impl File for Memory {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0[from..from + out.len()]);
        Ok(())
    }
}

struct Nothing;

impl Reader for Nothing {
    fn scan(&self, _: Option<&str>, _: &str, _: Option<&Filter>) -> Result<Box<dyn Source>> {
        Err(Error::new(ErrorCode::InternalError, "no other collections"))
    }
}

fn documents() -> Vec<Bytes> {
    let numbers: [Bson; 6] = [
        Bson::Int32(7),
        Bson::Int64(1 << 40),
        Bson::Double(0.1),
        Bson::Null,
        "3.25".parse::<bson::Decimal128>().unwrap().into(),
        Bson::String("x".into()),
    ];
    (0..600_i32)
        .map(|n| {
            let scrambled = n * 7919 % 601;
            let number = numbers[usize::try_from(scrambled % 6).unwrap()].clone();
            let mut doc = doc! {"_id": n, "g": scrambled % 40, "s": scrambled, "v": number};
            doc.insert("t", format!("text {scrambled}"));
            doc.insert("d", doc! { format!("f{}", n % 3): n });
            doc.to_vec().unwrap().into()
        })
        .collect()
}

fn run(stages: &[bson::Document], area: Option<&dyn Area>) -> Vec<bson::Document> {
    let stages: Vec<Bson> = stages.iter().cloned().map(Bson::Document).collect();
    let bytes = doc! { "stages": stages }.to_vec().unwrap();
    let stages = Doc::new(&bytes).get("stages").unwrap().as_array().unwrap();
    let pipeline = Pipeline::parse(stages, &ParseContext::new()).unwrap();
    let env = Env::fixed();
    let cx = Context {
        env: &env,
        reader: &Nothing,
        spill: area,
    };
    let mut source = pipeline.open(Box::new(Documents::new(documents())));
    let mut out = Vec::new();
    while let Some(doc) = source.next(&cx).unwrap() {
        out.push(bson::Document::from_reader(&doc[..]).unwrap());
    }
    out
}

/// `ordered`: whether the stage promises an order.
fn check(stages: &[bson::Document], ordered: bool) {
    let sort = |mut docs: Vec<bson::Document>| {
        if !ordered {
            docs.sort_by_cached_key(|doc| {
                let mut out = Vec::new();
                let bytes = doc.to_vec().unwrap();
                key::append(&mut out, ValueRef::Document(Doc::new(&bytes)), false);
                out
            });
        }
        docs
    };
    let expected = sort(run(stages, None));
    assert!(!expected.is_empty());
    for stage_bytes in [0, 1_000, 20_000] {
        let found = sort(run(stages, Some(&Small(stage_bytes))));
        assert_eq!(found, expected, "{stages:?} in {stage_bytes} bytes");
    }
}

#[test]
fn sorts() {
    check(&[doc! {"$sort": {"g": 1}}], true);
    check(
        &[doc! {"$sort": {"g": -1, "s": 1}}, doc! {"$limit": 300}],
        true,
    );
}

#[test]
fn groups() {
    for accumulator in [
        doc! {"$push": "$s"},
        doc! {"$addToSet": {"$mod": ["$s", 7]}},
        doc! {"$first": "$t"},
        doc! {"$last": "$missing"},
        doc! {"$min": "$v"},
        doc! {"$max": "$v"},
        doc! {"$sum": "$v"},
        doc! {"$sum": "$s"},
        doc! {"$avg": "$v"},
        doc! {"$mergeObjects": "$d"},
        doc! {"$firstN": {"input": "$s", "n": 3}},
        doc! {"$lastN": {"input": "$s", "n": 3}},
        doc! {"$minN": {"input": "$s", "n": 3}},
        doc! {"$maxN": {"input": {"$mod": ["$s", 5]}, "n": 3}},
        doc! {"$top": {"output": "$_id", "sortBy": {"v": 1}}},
        doc! {"$bottomN": {"output": "$_id", "sortBy": {"v": 1}, "n": 3}},
    ] {
        check(
            &[doc! {"$group": {"_id": "$g", "r": accumulator.clone()}}],
            false,
        );
        check(
            &[doc! {"$group": {"_id": Bson::Null, "r": accumulator}}],
            false,
        );
    }
    check(
        &[doc! {"$group": {"_id": {"a": "$g", "b": "$missing"}, "n": {"$count": {}}}}],
        false,
    );
}

#[test]
fn deviations_are_close() {
    let stage =
        doc! {"$group": {"_id": Bson::Null, "p": {"$stdDevPop": "$s"}, "s": {"$stdDevSamp": "$v"}}};
    let exact = run(std::slice::from_ref(&stage), None);
    let joined = run(&[stage], Some(&Small(0)));
    for field in ["p", "s"] {
        let (exact, joined) = (
            exact[0].get_f64(field).unwrap(),
            joined[0].get_f64(field).unwrap(),
        );
        assert!((exact - joined).abs() <= exact * 1e-12, "{exact} {joined}");
    }
}

#[test]
fn makes_buckets_windows_and_what_is_between() {
    check(
        &[doc! {"$bucketAuto": {"groupBy": "$s", "buckets": 7}}],
        true,
    );
    check(
        &[doc! {"$bucketAuto": {"groupBy": "$s", "buckets": 7, "granularity": "R20"}}],
        true,
    );
    let push = doc! {"$push": "$s", "window": {"documents": [-1, 1]}};
    let window = doc! {"partitionBy": "$g", "sortBy": {"s": 1}, "output": {"w": push}};
    check(&[doc! {"$setWindowFields": window}], true);
    let range = doc! {"step": 1, "bounds": "full"};
    check(
        &[doc! {"$densify": {"field": "s", "partitionByFields": ["g"], "range": range}}],
        false,
    );
    check(&[doc! {"$sample": {"size": 600}}], false);
}
