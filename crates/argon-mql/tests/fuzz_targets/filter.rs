//! A filter out of any document, run over that document; and what the filter prints parses again.

use argon_mql::filter::failure;
use argon_mql::value::validate;
use argon_mql::{Doc, Env, Filter, ParseContext};
use bytes::Bytes;

pub(crate) fn run(data: &[u8]) {
    if validate(data).is_err() {
        return;
    }
    let cx = ParseContext::new();
    let env = Env::fixed();
    let document = Bytes::copy_from_slice(data);
    let Ok(filter) = Filter::parse(Doc::new(data), &cx) else {
        return;
    };
    let _ = filter.matches(&document, &env);
    let _ = filter.array_match(&document, &env);
    let _ = failure(Doc::new(data), &cx, &document, &env);
    let _ = Filter::parse(Doc::new(&filter.to_doc()), &cx);
}
