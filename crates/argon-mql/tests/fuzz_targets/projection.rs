//! A projection `p` out of any document, applied to that document as find and aggregate do.

use argon_mql::projection::Flavor;
use argon_mql::value::validate;
use argon_mql::{Doc, Env, ErrorCode, ParseContext, Projection, ValueRef};
use bytes::Bytes;

pub(crate) fn run(data: &[u8]) {
    if validate(data).is_err() {
        return;
    }
    let document = Bytes::copy_from_slice(data);
    let spec = match Doc::new(data).get("p") {
        Some(ValueRef::Document(spec)) => spec,
        _ => Doc::new(data),
    };
    for flavor in [Flavor::Find, Flavor::Aggregate] {
        if let Ok(projection) = Projection::parse(spec, flavor, &ParseContext::new())
            && let Ok(projected) = projection.apply(&document, &Env::fixed(), Some(0))
            && let Err(error) = validate(&projected)
        {
            assert_eq!(error.code(), ErrorCode::Overflow);
        }
    }
}
