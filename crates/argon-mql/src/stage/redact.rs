//! `$redact`: leaves out parts of documents by what stands in them.

use std::sync::Arc;

use bytes::Bytes;

use super::source::Turns;
use super::{Context, Copies, Source, Stage, StageContext};
use crate::expr::{Expr, Scope};
use crate::value::{Doc, DocBuf, Value, ValueRef};
use crate::{Error, ParseContext, Result};

#[derive(Debug)]
struct Redact {
    decide: Expr,
    /// Whether what it can of the filter behind it stands before it.
    has_copy: bool,
}

enum Decision {
    Keep,
    Prune,
    Descend,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let cx = ParseContext {
        redact: true,
        ..context.cx.clone()
    };
    out.push(Box::new(Redact {
        decide: Expr::parse(value, &cx)?,
        has_copy: false,
    }));
    Ok(())
}

impl Redact {
    fn decide(&self, current: &Bytes, scope: &Scope<'_>) -> Result<Decision> {
        let scope = scope.with_current(current);
        let value = self.decide.operand(&scope)?;
        if let ValueRef::String(decision) = value.as_ref() {
            match &**decision {
                b"keep" => return Ok(Decision::Keep),
                b"prune" => return Ok(Decision::Prune),
                b"descend" => return Ok(Decision::Descend),
                _ => {}
            }
        }
        Err(Error::location(
            17053,
            format!(
                "$redact's expression should not return anything aside from the variables $$KEEP, $$DESCEND, and $$PRUNE, but returned {}",
                value.as_ref()
            ),
        ))
    }

    /// What is left of `doc`; `None` if nothing is.
    fn redact(&self, doc: &Bytes, scope: &Scope<'_>) -> Result<Option<Bytes>> {
        match self.decide(doc, scope)? {
            Decision::Keep => return Ok(Some(doc.clone())),
            Decision::Prune => return Ok(None),
            Decision::Descend => {}
        }
        let mut out = DocBuf::with_capacity(doc.len());
        for element in Doc::new(doc).iter() {
            match Value::share(element.value(), doc) {
                Value::Document(inner) => {
                    if let Some(inner) = self.redact(&inner, scope)? {
                        out.append(element.key(), ValueRef::Document(Doc::new(&inner)));
                    }
                }
                Value::Array(array) => {
                    let array = self.redact_array(&array, scope)?;
                    out.append(element.key(), ValueRef::Array(Doc::new(&array)));
                }
                _ => out.append_element(&element),
            }
        }
        Ok(Some(out.finish()))
    }

    /// What is left of `array`: of documents in it what they decide, the same in arrays in it, everything else.
    fn redact_array(&self, array: &Bytes, scope: &Scope<'_>) -> Result<Bytes> {
        let mut out = DocBuf::with_capacity(array.len());
        let mut index = 0;
        for item in Doc::new(array).values() {
            match Value::share(item, array) {
                Value::Document(inner) => {
                    let Some(inner) = self.redact(&inner, scope)? else {
                        continue;
                    };
                    out.push(index, ValueRef::Document(Doc::new(&inner)));
                }
                Value::Array(inner) => {
                    let inner = self.redact_array(&inner, scope)?;
                    out.push(index, ValueRef::Array(Doc::new(&inner)));
                }
                _ => out.push(index, item),
            }
            index += 1;
        }
        Ok(out.finish())
    }
}

impl Stage for Redact {
    fn takes_copies(&self) -> Copies {
        if self.has_copy {
            Copies::None
        } else {
            Copies::WhatPartsMeet
        }
    }

    fn has_copy(&mut self) {
        self.has_copy = true;
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(RedactSource {
            stage: self,
            input,
            turns: Turns::default(),
        })
    }
}

struct RedactSource {
    stage: Arc<Redact>,
    input: Box<dyn Source>,
    turns: Turns,
}

impl Source for RedactSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        while let Some(doc) = self.input.next(cx)? {
            let scope = Scope::new(&doc, cx.env);
            if let Some(doc) = self.stage.redact(&doc, &scope)? {
                return Ok(Some(doc));
            }
            self.turns.turn(cx)?;
        }
        Ok(None)
    }
}
