//! An update `u` with array filters `f` and a filter `q` out of any document, applied to the document `d`.

use argon_mql::value::validate;
use argon_mql::{Doc, Env, ErrorCode, Filter, ParseContext, Update, UpdateOptions, ValueRef};
use bytes::Bytes;

pub(crate) fn run(data: &[u8]) {
    if validate(data).is_err() {
        return;
    }
    let root = Doc::new(data);
    let document = match root.get("d") {
        Some(ValueRef::Document(doc)) => Bytes::copy_from_slice(doc.as_bytes()),
        _ => Bytes::copy_from_slice(data),
    };
    let array_filters = match root.get("f") {
        Some(ValueRef::Array(filters)) => Some(filters),
        _ => None,
    };
    let spec = root.get("u").unwrap_or(ValueRef::Document(root));
    let cx = ParseContext::new();
    let env = Env::fixed();
    let options = UpdateOptions {
        array_filters,
        ..UpdateOptions::default()
    };
    let _ = Update::check(spec, options.array_filters);
    let Ok(update) = Update::parse(spec, &options, &cx) else {
        return;
    };
    let filter = match root.get("q") {
        Some(ValueRef::Document(filter)) => Filter::parse(filter, &cx).ok(),
        _ => None,
    };
    let filter = filter.unwrap_or_else(Filter::all);
    let matched = filter.array_match(&document, &env).ok().flatten();
    for changed in [
        update.apply(&document, matched, &env),
        update.upsert(&filter, &env, || [1; 12]).map(Some),
    ] {
        if let Ok(Some(after)) = changed
            && let Err(error) = validate(&after)
        {
            assert_eq!(error.code(), ErrorCode::Overflow);
        }
    }
}
