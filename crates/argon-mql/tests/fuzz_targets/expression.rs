//! An expression out of any document, evaluated on that document.

use argon_mql::value::validate;
use argon_mql::{Doc, Env, ErrorCode, Expr, ParseContext, Scope, ValueRef};
use bytes::Bytes;

pub(crate) fn run(data: &[u8]) {
    if validate(data).is_err() {
        return;
    }
    let document = Bytes::copy_from_slice(data);
    let Ok(expr) = Expr::parse(ValueRef::Document(Doc::new(data)), &ParseContext::new()) else {
        return;
    };
    if let Ok(value) = expr.eval(&Scope::new(&document, &Env::fixed())) {
        // What comes out is BSON again, if perhaps too deep to be stored.
        if let ValueRef::Document(result) = value.as_ref()
            && let Err(error) = validate(result.as_bytes())
        {
            assert_eq!(error.code(), ErrorCode::Overflow);
        }
    }
}
