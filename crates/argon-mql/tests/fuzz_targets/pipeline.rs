//! A pipeline `p` out of any document, run over the documents `d` with the documents `e` to join.

use std::cell::Cell;

use argon_mql::stage::{Context, Documents, Pipeline, Reader, Source};
use argon_mql::value::validate;
use argon_mql::{Doc, Env, Error, ErrorCode, Filter, ParseContext, Result, ValueRef};
use bytes::Bytes;

/// How often a pipeline may look for an interruption before it gets one.
const TURNS_MAX: u32 = 200;

/// Documents taken of a pipeline: `$densify` may make half a million, and a few thousand tell as much.
const DOCUMENTS_MAX: usize = 2_000;

struct Collections(Vec<Bytes>);

impl Reader for Collections {
    fn scan(&self, _: Option<&str>, _: &str, filter: Option<&Filter>) -> Result<Box<dyn Source>> {
        let env = Env::fixed();
        let fits =
            |doc: &&Bytes| filter.is_none_or(|filter| filter.matches(doc, &env).unwrap_or(false));
        Ok(Box::new(Documents::new(
            self.0.iter().filter(fits).cloned().collect(),
        )))
    }
}

pub(crate) fn run(data: &[u8]) {
    if validate(data).is_err() {
        return;
    }
    let root = Doc::new(data);
    let documents = |name: &str| match root.get(name) {
        Some(ValueRef::Array(items)) => items
            .values()
            .filter_map(|item| item.as_document())
            .map(|doc| Bytes::copy_from_slice(doc.as_bytes()))
            .collect(),
        _ => vec![Bytes::copy_from_slice(data)],
    };
    let Some(ValueRef::Array(stages)) = root.get("p") else {
        return;
    };
    let Ok(pipeline) = Pipeline::parse(stages, &ParseContext::new()) else {
        return;
    };
    let turns = Cell::new(0);
    let check_interrupt = || {
        turns.set(turns.get() + 1);
        if turns.get() > TURNS_MAX {
            return Err(Error::new(ErrorCode::Interrupted, "long enough"));
        }
        Ok(())
    };
    let env = Env {
        check_interrupt: &check_interrupt,
        ..Env::fixed()
    };
    let reader = Collections(documents("e"));
    let cx = Context {
        env: &env,
        reader: &reader,
        spill: None,
    };
    let mut source = pipeline.open(Box::new(Documents::new(documents("d"))));
    for _ in 0..DOCUMENTS_MAX {
        match source.next(&cx) {
            // What comes out is BSON again, if perhaps too deep to be stored.
            Ok(Some(doc)) => {
                if let Err(error) = validate(&doc) {
                    assert_eq!(error.code(), ErrorCode::Overflow);
                }
            }
            Ok(None) | Err(_) => break,
        }
    }
}
