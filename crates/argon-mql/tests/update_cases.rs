//! Plays the recorded update and projection cases on the language alone, without a server: `update` of one statement,
//! `find` and `aggregate` of documents in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argon_mql::filter::Filter;
use argon_mql::projection::{Flavor, Projection};
use argon_mql::stage::{Context, Documents, Pipeline, Reader, Source};
use argon_mql::{
    Doc, DocBuf, Env, Error, ParseContext, Result, Sort, Update, UpdateOptions, ValueRef,
};
use argon_testkit::case::data::DataSets;
use argon_testkit::case::file::{CaseFile, Step};
use argon_testkit::case::{json, root, suite};
use bson::RawDocument;
use bytes::Bytes;

/// 2020-09-13T12:26:40Z, which no case mentions.
const NOW_MS: i64 = 1_600_000_000_000;

const NEW_ID: [u8; 12] = [7; 12];

/// Fields of the commands and statements that are played.
const PLAYED: &[&str] = &[
    "update",
    "updates",
    "q",
    "u",
    "upsert",
    "multi",
    "arrayFilters",
    "c",
    "find",
    "filter",
    "projection",
    "sort",
    "aggregate",
    "pipeline",
    "cursor",
];

#[test]
fn updates_and_projections_answer_as_recorded() {
    let data = DataSets::load(&root().join("data")).unwrap();
    let mut played = 0;
    let mut failures = Vec::new();
    for room in ["update/", "projection/"] {
        for file in suite::find(&root(), room).unwrap() {
            let file = file.unwrap();
            for step in file.steps.iter().filter(|step| is_played(&file, step)) {
                let expected = expected(step);
                let answer = play(&data, &file, step);
                played += 1;
                if answer != expected {
                    failures.push(format!(
                        "{}:{} {}\n  expected {expected:#?}\n  got      {answer:#?}",
                        file.name, step.line, step.title
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(played > 400, "only {played} cases were played");
}

fn is_played(file: &CaseFile, step: &Step) -> bool {
    let commands = step.commands.iter().all(|command| {
        let command = json::parse_document(command).unwrap();
        let mut statements = command.get_array("updates").into_iter().flatten();
        let single = matches!(
            (statements.next(), statements.next()),
            (None | Some(_), None)
        );
        let inner = command.get_array("updates").into_iter().flatten();
        let inner = inner.filter_map(|row| row.ok()?.as_document().map(RawDocument::to_owned));
        single
            && std::iter::once(command.clone()).chain(inner).all(|doc| {
                doc.iter()
                    .all(|field| PLAYED.contains(&field.unwrap().0.as_str()))
            })
    });
    let timestamps = |line: &String| line.contains(r#"{"$timestamp": "<now>"}"#);
    // mongod reads these with its first look at the command, before the language sees them.
    let malformed = |line: &String| line.starts_with("error: 14 ");
    let mut lines = step.expected.iter().flatten();
    commands
        && !file.sequence
        && !step.raw
        && step.differs.is_none()
        && step.db.is_none()
        && step.contents.is_empty()
        && !lines.any(|line| timestamps(line) || malformed(line))
}

/// The recorded answers, without messages, and in an order of their own where mongod scans an index on `_id`.
fn expected(step: &Step) -> Vec<Vec<String>> {
    let lines = step.expected.iter().flatten();
    let lines: Vec<&String> = lines.filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| *line == "--")
        .map(|lines| {
            let mut lines: Vec<String> = lines.iter().map(|line| (*line).clone()).collect();
            lines.sort();
            lines
        })
        .collect()
}

fn play(data: &DataSets, file: &CaseFile, step: &Step) -> Vec<Vec<String>> {
    let first = json::parse_document(&step.commands[0]).unwrap();
    let (_, collection) = first.iter().next().unwrap().unwrap();
    let load = file
        .data
        .iter()
        .find(|load| Some(&*load.collection) == collection.as_str());
    let documents = load.map(|load| &data.get(&load.data_set).unwrap().documents);
    let mut collection: Vec<Bytes> = documents
        .into_iter()
        .flatten()
        .map(|document| Bytes::copy_from_slice(document.as_bytes()))
        .collect();
    let commands = step.commands.iter();
    commands
        .map(|command| {
            let command = json::parse_document(command).unwrap();
            let command = Doc::new(command.as_bytes());
            let answer = if command.get("update").is_some() {
                update(&mut collection, command).map(|reply| vec![render(&reply)])
            } else if command.get("find").is_some() {
                find(&collection, command)
            } else {
                aggregate(&collection, command)
            };
            let mut lines = answer.unwrap_or_else(|error| {
                vec![format!(
                    "error: {} {}",
                    error.code().number(),
                    error.code().name()
                )]
            });
            lines.sort();
            lines
        })
        .collect()
}

fn env() -> Env<'static> {
    Env {
        now_ms: NOW_MS,
        ..Env::fixed()
    }
}

/// Runs the one statement of an `update` and gives the reply.
fn update(collection: &mut Vec<Bytes>, command: Doc<'_>) -> Result<Bytes> {
    let updates = command.get("updates").unwrap().as_array().unwrap();
    let statement = updates.values().next().unwrap().as_document().unwrap();
    let change = statement.get("u").unwrap();
    let array_filters = statement.get("arrayFilters").and_then(|v| v.as_array());
    Update::check(change, array_filters)?;
    let mut reply = DocBuf::new();
    let (mut matched, mut modified) = (0, 0);
    let outcome = run(
        collection,
        statement,
        change,
        array_filters,
        &mut matched,
        &mut modified,
    );
    match outcome {
        Ok(inserted) => {
            reply.append("n", ValueRef::Int32(matched));
            if let Some(inserted) = inserted {
                let array = reply.open_array("upserted");
                let row = reply.push_document(0);
                reply.append("index", ValueRef::Int32(0));
                reply.append("_id", Doc::new(&inserted).get("_id").unwrap());
                reply.close(row);
                reply.close(array);
                collection.push(inserted);
            }
        }
        Err(error) => {
            reply.append("n", ValueRef::Int32(0));
            let array = reply.open_array("writeErrors");
            let row = reply.push_document(0);
            reply.append("index", ValueRef::Int32(0));
            reply.append("code", ValueRef::Int32(error.code().number()));
            reply.close(row);
            reply.close(array);
        }
    }
    reply.append("nModified", ValueRef::Int32(modified));
    Ok(reply.finish())
}

fn run(
    collection: &mut [Bytes],
    statement: Doc<'_>,
    change: ValueRef<'_>,
    array_filters: Option<Doc<'_>>,
    matched: &mut i32,
    modified: &mut i32,
) -> Result<Option<Bytes>> {
    let is = |name: &str| matches!(statement.get(name), Some(ValueRef::Bool(true)));
    let cx = ParseContext::new();
    let env = env();
    let filter = Filter::parse(statement.get("q").unwrap().as_document().unwrap(), &cx)?;
    let options = UpdateOptions {
        array_filters,
        constants: statement.get("c").and_then(|v| v.as_document()),
        multi: is("multi"),
    };
    let update = Update::parse(change, &options, &cx)?;
    if is("upsert") {
        update.check_upsert(&filter)?;
    }
    for document in collection.iter_mut() {
        if !filter.matches(document, &env)? {
            continue;
        }
        let position = match update.needs_match() {
            true => filter.array_match(document, &env)?,
            false => None,
        };
        if let Some(after) = update.apply(document, position, &env)? {
            *document = after;
            *modified += 1;
        }
        *matched += 1;
        if !options.multi {
            break;
        }
    }
    if *matched > 0 || !is("upsert") {
        return Ok(None);
    }
    *matched = 1;
    update.upsert(&filter, &env, || NEW_ID).map(Some)
}

fn find(collection: &[Bytes], command: Doc<'_>) -> Result<Vec<String>> {
    let cx = ParseContext::new();
    let env = env();
    let filter = match command.get("filter") {
        Some(ValueRef::Document(filter)) => Filter::parse(filter, &cx)?,
        _ => Filter::all(),
    };
    let sort = match command.get("sort") {
        Some(ValueRef::Document(sort)) => Some(Sort::parse(sort)?),
        _ => None,
    };
    let projection = match command.get("projection") {
        Some(ValueRef::Document(spec)) => spec,
        Some(other) => {
            return Err(Error::type_mismatch(other.type_name()));
        }
        None => Doc::EMPTY,
    };
    let projection = Projection::parse_sorted(projection, Flavor::Find, sort.as_ref(), &cx)?;
    let mut found = Vec::new();
    for document in collection {
        if filter.matches(document, &env)? {
            let position = filter.array_match(document, &env)?;
            found.push(projection.apply(document, &env, position)?);
        }
    }
    Ok(lines(&found))
}

fn aggregate(collection: &[Bytes], command: Doc<'_>) -> Result<Vec<String>> {
    struct Nothing;
    impl Reader for Nothing {
        fn scan(
            &self,
            _db: Option<&str>,
            _collection: &str,
            _filter: Option<&Filter>,
        ) -> Result<Box<dyn Source>> {
            Ok(Box::new(Documents::new(Vec::new())))
        }
    }
    let stages = command.get("pipeline").unwrap().as_array().unwrap();
    let pipeline = Pipeline::parse(stages, &ParseContext::new())?;
    let mut source = pipeline.open(Box::new(Documents::new(collection.to_vec())));
    let env = env();
    let context = Context {
        env: &env,
        reader: &Nothing,
        spill: None,
    };
    let mut found = Vec::new();
    while let Some(document) = source.next(&context)? {
        found.push(document);
    }
    Ok(lines(&found))
}

fn lines(documents: &[Bytes]) -> Vec<String> {
    if documents.is_empty() {
        return vec!["(no documents)".to_owned()];
    }
    documents.iter().map(render).collect()
}

/// The document as recorded: what a server makes anew is not told.
fn render(document: &Bytes) -> String {
    json::render_document(RawDocument::from_bytes(document).unwrap())
        .replace("070707070707070707070707", "<new>")
        .replace("2020-09-13T12:26:40Z", "<now>")
        .replace("2020-09-13T12:26:40.000Z", "<now>")
}
