//! Collations: strings in the order in which mongod 6.0.5 sorts them.

#![allow(missing_docs, reason = "a test")]

use argon_mql::collation::Collation;
use argon_mql::value::{compare_with, key};
use argon_mql::{Doc, ValueRef};
use bson::{Bson, Document};

#[test]
fn orders_are_mongods() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/collations.json"
    ))
    .expect("the recorded orders");
    let recorded: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let recorded = Bson::try_from(recorded).expect("extended JSON");
    let cases = recorded
        .as_document()
        .expect("a document")
        .get_array("cases")
        .expect("cases");
    let mut differing = Vec::new();
    for case in cases.iter().filter_map(Bson::as_document) {
        let spec: &Document = case.get_document("collation").expect("a collation");
        let bytes = spec.to_vec().expect("a document");
        let collation = Collation::parse(Doc::new(&bytes))
            .expect("a collation")
            .expect("not simple");
        let groups: Vec<Vec<&str>> = case
            .get_array("order")
            .expect("an order")
            .iter()
            .map(|group| {
                group
                    .as_array()
                    .expect("a group")
                    .iter()
                    .filter_map(Bson::as_str)
                    .collect()
            })
            .collect();
        let words: Vec<(usize, &str)> = groups
            .iter()
            .enumerate()
            .flat_map(|(rank, group)| group.iter().map(move |word| (rank, *word)))
            .collect();
        for (rank, word) in &words {
            for (other_rank, other) in &words {
                let (a, b) = (
                    ValueRef::String((*word).into()),
                    ValueRef::String((*other).into()),
                );
                let order = compare_with(a, b, Some(&collation));
                if order != rank.cmp(other_rank) {
                    differing.push(format!("{spec}: {word:?} {order:?} {other:?}"));
                }
                let (mut left, mut right) = (Vec::new(), Vec::new());
                key::append_with(&mut left, a, false, Some(&collation));
                key::append_with(&mut right, b, false, Some(&collation));
                assert_eq!(
                    left.cmp(&right),
                    order,
                    "{spec}: keys of {word:?} {other:?}"
                );
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
