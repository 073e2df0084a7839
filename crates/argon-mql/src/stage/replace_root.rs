//! `$replaceRoot` and its short form `$replaceWith`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, Source, Stage, StageContext};
use crate::expr::{Expr, Scope};
use crate::value::{Value, ValueRef};
use crate::{Error, Result};

#[derive(Debug)]
struct ReplaceRoot {
    root: Expr,
    /// What error texts call the new root.
    what: &'static str,
}

pub(super) fn replace_root(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            40229,
            format!(
                "expected an object as specification for $replaceRoot stage, got {}",
                value.type_name()
            ),
        ));
    };
    let mut root = None;
    for element in spec.iter() {
        if element.key() != "newRoot" {
            return Err(Error::location(
                40415,
                format!(
                    "BSON field '$replaceRoot.{}' is an unknown field.",
                    element.key()
                ),
            ));
        }
        root = Some(element.value());
    }
    let root = root.ok_or_else(|| {
        Error::location(
            40414,
            "BSON field '$replaceRoot.newRoot' is missing but a required field",
        )
    })?;
    out.push(Box::new(ReplaceRoot {
        root: Expr::parse(root, context.cx)?,
        what: "'newRoot' expression ",
    }));
    Ok(())
}

pub(super) fn replace_with(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    out.push(Box::new(ReplaceRoot {
        root: Expr::parse(value, context.cx)?,
        what: "'replacement document' ",
    }));
    Ok(())
}

impl Stage for ReplaceRoot {
    fn gives_one_for_one(&self) -> bool {
        true
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(ReplaceSource { stage: self, input })
    }
}

struct ReplaceSource {
    stage: Arc<ReplaceRoot>,
    input: Box<dyn Source>,
}

impl Source for ReplaceSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let Some(doc) = self.input.next(cx)? else {
            return Ok(None);
        };
        match self.stage.root.eval(&Scope::new(&doc, cx.env))? {
            Value::Document(root) => Ok(Some(root)),
            other => Err(not_an_object(self.stage.what, other.as_ref())),
        }
    }
}

/// The error for a document to be that is none.
pub(super) fn not_an_object(what: &str, value: ValueRef<'_>) -> Error {
    Error::location(
        40228,
        format!(
            "{what} must evaluate to an object, but resulting value was: {value:?}. Type of resulting value: '{}'",
            value.type_name()
        ),
    )
}
