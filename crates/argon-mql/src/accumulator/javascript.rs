//! `$accumulator`, which is read, so that its own errors come first, and then refused: Argon runs no JavaScript.

use std::sync::Arc;

use bstr::ByteSlice;

use super::Spec;
use crate::expr::Expr;
use crate::value::ValueRef;
use crate::{Error, ErrorCode, ParseContext, Result};

/// What a mongod without server-side scripting answers, for `$function` too.
pub(crate) const DISABLED: ErrorCode = ErrorCode::location(31264);

/// The functions there must be, and the code of their absence.
const REQUIRED: &[(&str, i32)] = &[
    ("init", 4_544_707),
    ("accumulate", 4_544_708),
    ("merge", 4_544_709),
    ("accumulateArgs", 4_544_710),
];

pub(super) fn parse(
    name: &'static str,
    value: ValueRef<'_>,
    cx: &ParseContext,
) -> Result<Arc<dyn Spec>> {
    let error = |code, text: String| Err(Error::location(code, format!("{name} {text}")));
    let Some(doc) = value.as_document() else {
        let found = value.type_name();
        return error(
            4_544_703,
            format!("expects an object as an argument; found: {found}"),
        );
    };
    for element in doc.iter() {
        let value = element.value();
        match &**element.key() {
            key @ (b"init" | b"accumulate" | b"merge" | b"finalize") => {
                if !matches!(value, ValueRef::String(_) | ValueRef::JavaScript(_)) {
                    let key = key.as_bstr();
                    return error(4_544_702, format!("'{key}' must be a String or Code"));
                }
            }
            b"initArgs" | b"accumulateArgs" => drop(Expr::parse(value, cx)?),
            b"lang" => match value.as_str() {
                Some("js") => {}
                Some(_) => return error(4_544_705, "only supports lang: 'js'".to_owned()),
                None => {
                    let found = value.type_name();
                    return error(4_544_704, format!("lang must be a string; found: {found}"));
                }
            },
            key => {
                let key = key.as_bstr();
                return error(4_544_706, format!("got an unexpected field: {key}"));
            }
        }
    }
    for (argument, code) in REQUIRED {
        // An empty text is none; that goes for `accumulateArgs` as for the functions.
        let given = match doc.get(argument) {
            Some(ValueRef::String(text)) => !text.is_empty(),
            given => given.is_some(),
        };
        if !given {
            return error(*code, format!("missing required argument '{argument}'"));
        }
    }
    Err(Error::new(
        DISABLED,
        "Cannot run server-side javascript without the javascript engine enabled",
    ))
}
