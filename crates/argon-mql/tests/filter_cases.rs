//! Plays the recorded filter cases on the filter alone, without a server: every `find` in `tests/cases/filter`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argon_mql::{Doc, Env, Filter, ParseContext};
use argon_testkit::case::data::DataSets;
use argon_testkit::case::file::{CaseFile, Step};
use argon_testkit::case::{json, root, suite};
use bson::raw::cstr;
use bson::{RawBsonRef, RawDocument, RawDocumentBuf};
use bytes::Bytes;

/// Options of `find` that change which documents come out, or their order.
const OTHER_OPTIONS: &[&str] = &[
    "sort",
    "limit",
    "skip",
    "collation",
    "hint",
    "let",
    "min",
    "max",
];

#[test]
fn filters_answer_as_recorded() {
    let data = DataSets::load(&root().join("data")).unwrap();
    let mut played = 0;
    let mut failures = Vec::new();
    for file in suite::find(&root(), "filter/").unwrap() {
        let file = file.unwrap();
        for step in &file.steps {
            match play(&data, &file, step) {
                None => {}
                Some(Ok(())) => played += 1,
                Some(Err(difference)) => failures.push(difference),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played > 500, "only {played} cases were played");
}

/// Plays a step, if it is a single `find` of a filter.
fn play(data: &DataSets, file: &CaseFile, step: &Step) -> Option<Result<(), String>> {
    let [command] = step.commands.as_slice() else {
        return None;
    };
    let command = json::parse_document(command).unwrap();
    let collection = command.get_str("find").ok()?;
    let changed = OTHER_OPTIONS
        .iter()
        .any(|option| command.get(option).unwrap().is_some());
    if changed || step.raw || step.differs.is_some() {
        return None;
    }
    if !matches!(
        command.get("filter").unwrap(),
        None | Some(RawBsonRef::Document(_))
    ) {
        return None;
    }
    let filter = command
        .get_document("filter")
        .map_or_else(|_| RawDocumentBuf::new(), RawDocument::to_owned);
    let load = file
        .data
        .iter()
        .find(|load| load.collection == collection)?;
    let documents = &data.get(&load.data_set).unwrap().documents;
    let mut answer = answer(&filter, documents);
    let mut expected: Vec<String> = step
        .expected
        .clone()?
        .iter()
        // Messages are comments.
        .filter(|line| !line.starts_with('#'))
        .map(|line| id_of(line))
        .collect();
    if filter.get("_id").unwrap().is_some() || step.unordered {
        // mongod scans the index on _id then.
        answer.sort();
        expected.sort();
    }
    Some(if answer == expected {
        Ok(())
    } else {
        Err(format!(
            "{}:{} {}\n  expected {expected:?}\n  got      {answer:?}",
            file.name, step.line, step.title
        ))
    })
}

/// The ids of the documents that pass, or the error.
fn answer(filter: &RawDocument, documents: &[RawDocumentBuf]) -> Vec<String> {
    let env = Env::fixed();
    let ids = Filter::parse(Doc::new(filter.as_bytes()), &ParseContext::new()).and_then(|filter| {
        let mut ids = Vec::new();
        for document in documents {
            if filter.matches(&Bytes::copy_from_slice(document.as_bytes()), &env)? {
                let mut id = RawDocumentBuf::new();
                id.append(cstr!("_id"), document.get("_id").unwrap().unwrap());
                ids.push(json::render_document(&id));
            }
        }
        Ok(ids)
    });
    match ids {
        Ok(ids) if ids.is_empty() => vec!["(no documents)".to_owned()],
        Ok(ids) => ids,
        Err(error) => vec![format!(
            "error: {} {}",
            error.code().number(),
            error.code().name()
        )],
    }
}

/// The id of a recorded document; any other line as it is.
fn id_of(line: &str) -> String {
    let Ok(document) = json::parse_document(line) else {
        return line.to_owned();
    };
    let mut id = RawDocumentBuf::new();
    id.append(cstr!("_id"), document.get("_id").unwrap().unwrap());
    json::render_document(&id)
}
