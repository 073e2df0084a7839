//! `$unwind`: one document per item of an array.

use std::sync::Arc;

use bytes::Bytes;

use super::source::Turns;
use super::{Context, FieldPath, Source, Stage, StageContext};
use crate::value::{Doc, Value, ValueRef};
use crate::{Error, Result};

#[derive(Debug)]
struct Unwind {
    path: FieldPath,
    index: Option<FieldPath>,
    preserve: bool,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let mut path: &[u8] = b"";
    let mut index = None;
    let mut preserve = false;
    match value {
        ValueRef::String(text) => path = text,
        ValueRef::Document(spec) => {
            for element in spec.iter() {
                let value = element.value();
                match (&**element.key(), value) {
                    (b"path", ValueRef::String(text)) => path = text,
                    (b"path", _) => {
                        return Err(wrong(28808, "a string as the path for", value));
                    }
                    (b"preserveNullAndEmptyArrays", ValueRef::Bool(flag)) => preserve = flag,
                    (b"preserveNullAndEmptyArrays", _) => {
                        let what = "a boolean for the preserveNullAndEmptyArrays option to";
                        return Err(wrong(28809, what, value));
                    }
                    (b"includeArrayIndex", ValueRef::String(text)) if !text.is_empty() => {
                        if text.starts_with(b"$") {
                            return Err(Error::location(
                                28822,
                                format!(
                                    "includeArrayIndex option to $unwind stage should not be prefixed with a '$': {text}"
                                ),
                            ));
                        }
                        index = Some(FieldPath::parse(text)?);
                    }
                    (b"includeArrayIndex", _) => {
                        let what = "a non-empty string for the includeArrayIndex option to";
                        return Err(wrong(28810, what, value));
                    }
                    _ => {
                        return Err(Error::location(
                            28811,
                            format!("unrecognized option to $unwind stage: {}", element.key()),
                        ));
                    }
                }
            }
        }
        _ => {
            let what = "either a string or an object as specification for";
            return Err(wrong(15981, what, value));
        }
    }
    if path.is_empty() {
        return Err(Error::location(28812, "no path specified to $unwind stage"));
    }
    let Some(path) = path.strip_prefix(b"$") else {
        return Err(Error::location(
            28818,
            "path option to $unwind stage should be prefixed with a '$'",
        ));
    };
    out.push(Box::new(Unwind {
        path: FieldPath::parse(path)?,
        index,
        preserve,
    }));
    Ok(())
}

fn wrong(code: i32, what: &str, value: ValueRef<'_>) -> Error {
    Error::location(
        code,
        format!("expected {what} $unwind stage, got {}", value.type_name()),
    )
}

impl Stage for Unwind {
    fn keeps_field(&self, name: &[u8]) -> bool {
        !self.path.starts_with(name)
            && self
                .index
                .as_ref()
                .is_none_or(|index| !index.starts_with(name))
    }

    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(UnwindSource {
            stage: self,
            input,
            open: None,
            turns: Turns::default(),
        })
    }
}

/// A document whose array is being unwound.
struct Unwinding {
    doc: Bytes,
    items: std::vec::IntoIter<Value>,
    /// The next item's number.
    number: i64,
}

struct UnwindSource {
    stage: Arc<Unwind>,
    input: Box<dyn Source>,
    open: Option<Unwinding>,
    turns: Turns,
}

impl Unwind {
    /// `doc` with `item` (if it changes) at the path, and the item's number (null: not from an array) if asked for.
    fn output(&self, doc: &Bytes, item: Option<ValueRef<'_>>, number: Option<i64>) -> Bytes {
        let doc = match item {
            Some(item) => self.path.set(Doc::new(doc), item),
            None => doc.clone(),
        };
        match &self.index {
            None => doc,
            Some(path) => {
                let number = number.map_or(ValueRef::Null, ValueRef::Int64);
                path.set(Doc::new(&doc), number)
            }
        }
    }
}

impl Source for UnwindSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(item) = open.items.next() {
                    let number = Some(open.number);
                    open.number += 1;
                    let item = Some(item.as_ref());
                    return Ok(Some(self.stage.output(&open.doc, item, number)));
                }
                self.open = None;
            }
            let Some(doc) = self.input.next(cx)? else {
                return Ok(None);
            };
            self.turns.turn(cx)?;
            let value = self.stage.path.get(Doc::new(&doc));
            match value {
                ValueRef::Array(array) if !array.is_empty() => {
                    let items: Vec<_> = array
                        .values()
                        .map(|item| Value::share(item, &doc))
                        .collect();
                    self.open = Some(Unwinding {
                        doc: doc.clone(),
                        items: items.into_iter(),
                        number: 0,
                    });
                }
                ValueRef::Array(_) if self.stage.preserve => {
                    return Ok(Some(self.stage.output(&doc, Some(ValueRef::Missing), None)));
                }
                ValueRef::Array(_) => {}
                value if value.is_nullish() && !self.stage.preserve => {}
                _ => return Ok(Some(self.stage.output(&doc, None, None))),
            }
        }
    }
}
