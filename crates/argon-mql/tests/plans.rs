//! Plans: the same as mongod's where it was asked, and the same answers as without indexes everywhere.

#![allow(missing_docs, reason = "a test")]

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use argon_mql::collation::Collation;
use argon_mql::filter::Filter;
use argon_mql::index::{IndexSpec, Multikey};
use argon_mql::plan::{
    Direction, Explain, Hint, IndexScan, KeyRange, Plan, PlanIndex, Purpose, plan,
};
use argon_mql::sort::Order;
use argon_mql::value::compare;
use argon_mql::{Doc, Env, ParseContext, ValueRef};
use bson::{Bson, Document, doc};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

fn bytes(document: &Document) -> Bytes {
    document.to_vec().expect("a document").into()
}

/// A collection with indexes, as simple as possible.
struct Collection {
    documents: Vec<Bytes>,
    indexes: Vec<Index>,
}

struct Index {
    spec: IndexSpec,
    multikey: Multikey,
    entries: BTreeSet<(Vec<u8>, usize)>,
}

impl Collection {
    fn new(specs: Vec<IndexSpec>, documents: Vec<Bytes>) -> Option<Collection> {
        let mut indexes = Vec::new();
        for spec in std::iter::once(IndexSpec::id()).chain(specs) {
            let mut index = Index {
                spec,
                multikey: Multikey::default(),
                entries: BTreeSet::new(),
            };
            for (at, document) in documents.iter().enumerate() {
                let found = index.spec.keys(document).ok()?;
                index.multikey.merge(&found.multikey);
                index
                    .entries
                    .extend(found.keys.into_iter().map(|key| (key, at)));
            }
            indexes.push(index);
        }
        Some(Collection { documents, indexes })
    }

    fn plan_indexes(&self) -> Vec<PlanIndex<'_>> {
        self.indexes
            .iter()
            .map(|index| PlanIndex {
                spec: &index.spec,
                multikey: &index.multikey,
            })
            .collect()
    }

    /// The positions of the documents that a plan gives, in its order, unmatched.
    fn run(&self, plan: &Plan) -> Vec<usize> {
        match plan {
            Plan::Empty => Vec::new(),
            Plan::CollScan { direction } => {
                let mut all: Vec<usize> = (0..self.documents.len()).collect();
                if *direction == Direction::Backward {
                    all.reverse();
                }
                all
            }
            Plan::IdLookup { ids } => (0..self.documents.len())
                .filter(|&at| {
                    let id = Doc::new(&self.documents[at]).get("_id").expect("an _id");
                    ids.iter()
                        .any(|wanted| compare(wanted.as_ref(), id).is_eq())
                })
                .collect(),
            Plan::IndexScan(scan) => self.scan(scan),
            Plan::Union(plans) => {
                // What answers a branch does not answer the filter.
                assert!(plans.iter().all(|plan| !plan.is_exact()), "{plan:?}");
                once(plans.iter().flat_map(|plan| self.run(plan)))
            }
        }
    }

    fn scan(&self, scan: &IndexScan) -> Vec<usize> {
        let index = self
            .indexes
            .iter()
            .find(|index| match &scan.index {
                Some(name) => index.spec.name() == name,
                None => index.spec.is_id(),
            })
            .expect("the index of the plan");
        let mut found = Vec::new();
        for KeyRange { low, high } in &scan.bounds {
            let low = match low {
                Bound::Included(key) => Bound::Included((key.clone(), 0)),
                Bound::Excluded(key) => Bound::Excluded((key.clone(), usize::MAX)),
                Bound::Unbounded => Bound::Unbounded,
            };
            let high = match high {
                Bound::Included(key) => Bound::Included((key.clone(), usize::MAX)),
                Bound::Excluded(key) => Bound::Excluded((key.clone(), 0)),
                Bound::Unbounded => Bound::Unbounded,
            };
            found.extend(index.entries.range((low, high)).map(|entry| entry.1));
        }
        if scan.direction == Direction::Backward {
            found.reverse();
        }
        once(found)
    }
}

fn once(all: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|&at| seen.insert(at)).collect()
}

fn spec(document: &Document) -> IndexSpec {
    IndexSpec::parse(Doc::new(&bytes(document))).expect("a specification")
}

fn filter(document: &Bytes) -> Filter {
    Filter::parse(Doc::new(document), &ParseContext::new()).expect("a filter")
}

fn part<'d>(document: &'d Document, name: &str) -> Option<&'d Document> {
    document.get(name).and_then(Bson::as_document)
}

#[test]
fn plans_are_mongods() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/plans.json"
    ))
    .expect("the recorded plans");
    let groups: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut differing = Vec::new();
    for group in groups.as_array().expect("groups") {
        let group = Bson::try_from(group.clone()).expect("extended JSON");
        let group = group.as_document().expect("a group");
        let list = |name: &str| -> Vec<&Document> {
            let array = group.get_array(name).expect("a list");
            array.iter().filter_map(Bson::as_document).collect()
        };
        let specs = list("indexes").into_iter().map(spec).collect();
        let documents = list("documents").into_iter().map(bytes).collect();
        let collection = Collection::new(specs, documents).expect("indexable documents");
        for query in list("queries") {
            let source = bytes(part(query, "filter").expect("a filter"));
            let filter = filter(&source);
            let sort = part(query, "sort").map(bytes);
            let order = sort.as_ref().map_or(Order::Any, |sort| {
                Order::parse(Doc::new(sort)).expect("a sort")
            });
            let hint = query.get("hint").and_then(|hint| {
                let hint = bytes(&doc! {"h": hint.clone()});
                let hint = Doc::new(&hint).get("h").expect("a hint");
                Hint::parse(hint).expect("a hint")
            });
            let indexes = collection.plan_indexes();
            let plan = plan(&filter, &order, hint.as_ref(), &indexes).expect("a plan");
            let projection = part(query, "projection").map(bytes);
            let number = |name: &str| {
                let number = query.get_i32(name).unwrap_or(0);
                u64::try_from(number).expect("a count")
            };
            let explain = Explain {
                clustered: false,
                plan: &plan,
                indexes: &indexes,
                filter: &filter,
                source: Doc::new(&source),
                sort: sort.as_ref().map(|sort| Doc::new(sort)),
                projection: projection.as_ref().map(|projection| Doc::new(projection)),
                skip: number("skip"),
                limit: number("limit"),
                purpose: Purpose::Documents,
                return_key: false,
            };
            for (expected, given) in [
                (part(query, "plan"), explain.winning_plan().stages),
                (part(query, "parsed"), explain.parsed_query()),
            ] {
                let expected = bytes(expected.expect("recorded"));
                let (expected, given) = (Doc::new(&expected), Doc::new(&given));
                if compare(ValueRef::Document(expected), ValueRef::Document(given)).is_ne() {
                    let query = bytes(query);
                    differing.push(format!(
                        "{}\nmongod {expected}\nargon  {given}\n",
                        Doc::new(&query)
                    ));
                }
            }
        }
    }
    assert!(
        differing.is_empty(),
        "{}\n{} differ",
        differing.join("\n"),
        differing.len()
    );
}

fn scalar() -> BoxedStrategy<Bson> {
    prop_oneof![
        4 => (0..4_i32).prop_map(Bson::Int32),
        1 => select(vec![
            Bson::Null, Bson::Undefined, Bson::Double(1.5), Bson::Double(f64::NAN), Bson::Int64(2), Bson::MinKey,
            Bson::MaxKey, Bson::Boolean(true), Bson::String("a".into()), Bson::String("ab".into()), Bson::String("A".into()), Bson::String("B".into()),
            Bson::String(String::new()), Bson::Document(doc! {"x": 1}), Bson::Document(doc! {}),
        ]),
    ].boxed()
}

fn value() -> BoxedStrategy<Bson> {
    prop_oneof![
        3 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Bson::Array),
        1 => prop::collection::vec(inner(), 0..3)
            .prop_map(|all| Bson::Array(all.into_iter().map(Bson::Document).collect())),
        1 => inner().prop_map(Bson::Document),
        1 => prop::collection::vec(prop::collection::vec(scalar(), 0..2).prop_map(Bson::Array), 0..2)
            .prop_map(Bson::Array),
    ].boxed()
}

fn inner() -> BoxedStrategy<Document> {
    let field = || {
        prop::option::of(
            prop_oneof![3 => scalar(), 1 => prop::collection::vec(scalar(), 0..3).prop_map(Bson::Array)],
        )
    };
    (field(), field())
        .prop_map(|(y, z)| {
            let mut document = Document::new();
            document.extend(y.map(|y| ("y".to_owned(), y)));
            document.extend(z.map(|z| ("z".to_owned(), z)));
            document
        })
        .boxed()
}

fn document() -> BoxedStrategy<Document> {
    let field = || prop::option::of(value());
    (field(), field(), field())
        .prop_map(|(a, b, c)| {
            let mut document = Document::new();
            for (name, value) in [("a", a), ("b", b), ("c", c)] {
                document.extend(value.map(|value| (name.to_owned(), value)));
            }
            document
        })
        .boxed()
}

const PATHS: &[&str] = &["a", "a.y", "a.z", "b", "b.y", "a.0", "_id"];

fn operator() -> BoxedStrategy<Bson> {
    let operand = || prop_oneof![3 => scalar(), 1 => value()];
    let plain = || {
        prop_oneof![
            (
                select(&["$eq", "$gt", "$gte", "$lt", "$lte", "$ne"][..]),
                operand()
            )
                .prop_map(|(op, operand)| doc! {op: operand}),
            (
                select(&["$in", "$nin"][..]),
                prop::collection::vec(operand(), 0..4)
            )
                .prop_map(|(op, list)| doc! {op: list}),
            any::<bool>().prop_map(|exists| doc! {"$exists": exists}),
            select(&["string", "number", "null", "object", "array", "undefined"][..])
                .prop_map(|kind| doc! {"$type": kind}),
            (scalar(), scalar()).prop_map(|(low, high)| doc! {"$gt": low, "$lt": high}),
            select(&["^a", "^ab", "b", "^"][..]).prop_map(|pattern| doc! {"$regex": pattern}),
            Just(doc! {"$mod": [2, 1]}),
            (0..3).prop_map(|size| doc! {"$size": size}),
            prop::collection::vec(scalar(), 0..3).prop_map(|all| doc! {"$all": all}),
        ]
    };
    prop_oneof![
        2 => operand(),
        6 => plain().prop_map(Bson::Document),
        1 => plain().prop_map(|inner| Bson::Document(doc! {"$not": inner})),
        1 => plain().prop_map(|inner| Bson::Document(doc! {"$elemMatch": inner})),
        1 => (select(&["y", "z"][..]), plain(), plain()).prop_map(|(name, first, second)| {
            Bson::Document(doc! {"$elemMatch": {name: first, "z": second}})
        }),
    ]
    .boxed()
}

fn condition() -> BoxedStrategy<Document> {
    let conditions = prop::collection::vec((select(PATHS), operator()), 0..4);
    let flat = conditions.prop_map(|all| {
        all.into_iter()
            .map(|(path, operator)| (path.to_owned(), operator))
            .collect::<Document>()
    });
    flat.prop_recursive(2, 6, 3, |inner| {
        (
            select(&["$or", "$and", "$nor"][..]),
            prop::collection::vec(inner.clone(), 1..4),
            inner,
        )
            .prop_map(|(op, list, mut rest)| {
                rest.insert(op, list);
                rest
            })
    })
    .boxed()
}

fn index(number: usize) -> BoxedStrategy<Document> {
    let field = (
        select(&["a", "a.y", "a.z", "b", "b.y", "c", "a.0"][..]),
        select(&[1, -1][..]),
    );
    let pattern = prop_oneof![
        6 => prop::collection::vec(field, 1..4).prop_map(|fields| {
            fields
                .into_iter()
                .map(|(path, direction)| (path.to_owned(), Bson::Int32(direction)))
                .collect::<Document>()
        }),
        1 => Just(doc! {"$**": 1}),
        1 => Just(doc! {"a.$**": 1}),
        1 => Just(doc! {"b": "hashed"}),
    ];
    (pattern, 0..6)
        .prop_map(move |(pattern, option)| {
            let wildcard = pattern.keys().any(|key| key.ends_with("$**"));
            let mut spec = doc! {"key": pattern, "name": format!("index {number}")};
            match option {
                0 if !wildcard => drop(spec.insert("sparse", true)),
                1 => drop(spec.insert("partialFilterExpression", doc! {"b": {"$gt": 0}})),
                3 => drop(spec.insert("collation", doc! {"locale": "en", "strength": 2})),
                2 => drop(spec.insert("partialFilterExpression", doc! {"a": {"$exists": true}})),
                _ => {}
            }
            spec
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn indexes_change_no_answer(
        documents in prop::collection::vec(document(), 0..12),
        specs in (index(0), index(1), index(2)),
        condition in condition(),
        collated in any::<bool>(),
        sort in prop::option::of(prop::collection::vec((select(PATHS), select(&[1, -1][..])), 1..3)),
    ) {
        let documents: Vec<Bytes> = documents
            .into_iter()
            .enumerate()
            .map(|(at, rest)| {
                let mut document = doc! {"_id": i32::try_from(at).expect("few")};
                document.extend(rest);
                bytes(&document)
            })
            .collect();
        let source = bytes(&condition);
        let collation = bytes(&doc! {"locale": "en", "strength": 2});
        let collation = Collation::parse(Doc::new(&collation)).expect("a collation").filter(|_| collated);
        let mut cx = ParseContext::new();
        cx.collation = collation.clone().map(Arc::new);
        let Ok(filter) = Filter::parse(Doc::new(&source), &cx) else {
            return Ok(());
        };
        // An index that refuses a document is left out.
        let specs: Vec<IndexSpec> = [specs.0, specs.1, specs.2]
            .iter()
            .map(spec)
            .filter(|spec| documents.iter().all(|document| spec.keys(document).is_ok()))
            .collect();
        let sort: Option<Document> = sort.map(|fields| {
            fields.into_iter().map(|(path, direction)| (path.to_owned(), Bson::Int32(direction))).collect()
        });
        let sort_bytes = sort.as_ref().map(bytes);
        let order = match &sort_bytes {
            Some(sort) => match Order::parse(Doc::new(sort)).expect("a sort") {
                Order::By(sort) => Order::By(sort.with_collation(collation)),
                other => other,
            },
            None => Order::Any,
        };
        let collection = Collection::new(specs, documents).expect("indexable documents");
        let env = Env::fixed();
        let matching = |at: &usize| filter.matches(&collection.documents[*at], &env).expect("no $expr");
        let expected: Vec<usize> = (0..collection.documents.len()).filter(matching).collect();
        let indexes = collection.plan_indexes();
        let plan = plan(&filter, &order, None, &indexes).expect("a plan");
        let raw = collection.run(&plan);
        let found: Vec<usize> = raw.iter().copied().filter(matching).collect();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&sorted, &expected, "{} {:?}", condition, plan);
        if plan.is_exact() {
            prop_assert_eq!(raw.len(), found.len(), "exact: {} {:?}", condition, plan);
        }
        if let (Order::By(sort), true) = (&order, plan.covers_sort()) {
            let keys: Vec<_> = found
                .iter()
                .filter_map(|&at| sort.key(Doc::new(&collection.documents[at])).ok())
                .collect();
            prop_assert!(keys.is_sorted(), "sorted: {:?} {} {:?}", sort, condition, plan);
        }
        let hints: Vec<Hint> = indexes.iter().map(|index| Hint::Name(index.spec.name().to_owned())).collect();
        for (hint, index) in hints.iter().zip(&indexes) {
            // A hinted sparse, partial or wildcard index may lack documents.
            let complete = !index.spec.sparse()
                && index.spec.partial_filter().is_none()
                && !index.spec.key_pattern().iter().any(|field| field.key().ends_with(b"$**"));
            if !complete {
                continue;
            }
            let plan = argon_mql::plan::plan(&filter, &order, Some(hint), &indexes).expect("a plan");
            let mut found: Vec<usize> = collection.run(&plan).into_iter().filter(matching).collect();
            found.sort_unstable();
            prop_assert_eq!(&found, &expected, "hinted: {} {:?}", condition, plan);
        }
    }
}

#[test]
fn an_id_is_looked_up_only_as_its_index_compares() {
    let bytes_of = |strength: i32| bytes(&doc! {"locale": "en", "strength": strength});
    let collation = |strength| {
        Collation::parse(Doc::new(&bytes_of(strength)))
            .expect("a collation")
            .expect("not simple")
    };
    let multikey = Multikey::default();
    let plain = IndexSpec::id();
    let collated = IndexSpec::id_collated(&collation(2));
    for (filter_collation, spec, operand, looked_up) in [
        (None, &plain, Bson::from("a"), true),
        (Some(2), &plain, Bson::from("a"), false),
        (Some(2), &plain, Bson::from(1), true),
        (None, &collated, Bson::from("a"), false),
        (None, &collated, Bson::from(1), true),
        (Some(2), &collated, Bson::from("a"), true),
        (Some(1), &collated, Bson::from("a"), false),
    ] {
        let mut cx = ParseContext::new();
        cx.collation = filter_collation.map(|strength| Arc::new(collation(strength)));
        let source = bytes(&doc! {"_id": operand.clone()});
        let filter = Filter::parse(Doc::new(&source), &cx).expect("a filter");
        let indexes = [PlanIndex {
            spec,
            multikey: &multikey,
        }];
        let plan = plan(&filter, &Order::Any, None, &indexes).expect("a plan");
        let found = matches!(plan, Plan::IdLookup { .. });
        assert_eq!(found, looked_up, "{filter_collation:?} {operand} {plan:?}");
    }
}
