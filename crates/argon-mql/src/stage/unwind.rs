//! `$unwind`: one document per item of an array.

use std::sync::Arc;

use bytes::Bytes;

use super::read_fields::{self, FieldSet};
use super::source::Turns;
use super::{Changes, Context, FieldPath, Paths, Source, Stage, StageContext};
use crate::filter::Filter;
use crate::value::{Doc, DocBuf, Element, ValueRef};
use crate::{Env, Error, Result};

#[derive(Debug)]
struct Unwind {
    path: FieldPath,
    index: Option<FieldPath>,
    preserve: bool,
    /// Whether an empty array leaves a place.
    keeps_place: bool,
    /// The fields that are read of what it gives, if not all.
    read: Option<FieldSet>,
    /// What follows, and the fields that it reads.
    filter: Option<(Arc<Filter>, FieldSet)>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
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
    let path = FieldPath::parse(path)?;
    let last = path.names().last();
    out.push(Box::new(Unwind {
        keeps_place: last.is_some_and(|name| context.cx.keeps_place(name)),
        path,
        index,
        preserve,
        read: None,
        filter: None,
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
    fn changes(&self) -> Changes {
        let mut paths = Paths::default();
        paths.add(&self.path.text());
        if let Some(index) = &self.index {
            paths.add(&index.text());
        }
        Changes::Only(paths)
    }

    /// mongod 6.0.5 forgets the index, and so sorts by what it replaces; Argon does not.
    fn may_follow_sort(&self, path: &[u8]) -> bool {
        self.changes().keep(path)
    }

    fn reads(&self, after: Option<&FieldSet>) -> Option<FieldSet> {
        let paths = [Some(&self.path), self.index.as_ref()];
        let first = |path: &'_ FieldPath| path.names().first().cloned();
        let firsts: Vec<Bytes> = paths.into_iter().flatten().filter_map(first).collect();
        read_fields::and(after, firsts.iter().map(|name| &name[..]))
    }

    fn is_read_for(&mut self, fields: &FieldSet) {
        self.read = Some(fields.clone());
    }

    fn is_filtered(&mut self, filter: &Arc<Filter>, fields: FieldSet) {
        self.filter = Some((Arc::clone(filter), fields));
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
    /// The array.
    items: Bytes,
    /// Where in it the next item stands.
    at: usize,
    /// The next item's number.
    number: i64,
    rest: Rest,
    /// The part of `rest` that decides whether a document passes the filter behind.
    probe: Option<Rest>,
}

/// What stands around the item in each document that is given.
enum Rest {
    /// The array is a top-level field: the elements before and after it.
    Around { before: Vec<u8>, after: Vec<u8> },
    /// The whole document.
    Below(Bytes),
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
        match item {
            Some(item) => self.numbered(self.path.set(Doc::new(doc), item), number),
            None => self.numbered(doc.clone(), number),
        }
    }

    /// `doc` without the array, which is empty.
    fn without_array(&self, doc: &Bytes) -> Bytes {
        let doc = Doc::new(doc);
        let rest = if self.keeps_place {
            self.path.leave_place(doc)
        } else {
            self.path.set(doc, ValueRef::Missing)
        };
        self.numbered(rest, None)
    }

    fn numbered(&self, doc: Bytes, number: Option<i64>) -> Bytes {
        match &self.index {
            None => doc,
            Some(path) => {
                let number = number.map_or(ValueRef::Null, ValueRef::Int64);
                path.set(Doc::new(&doc), number)
            }
        }
    }

    /// What stands around the array in `doc`, of the fields of `read` if those are not all.
    fn rest(&self, doc: &Bytes, read: Option<&FieldSet>) -> Rest {
        let [name] = self.path.names() else {
            return Rest::Below(doc.clone());
        };
        let (mut before, mut after) = (Vec::with_capacity(64), Vec::new());
        let mut passed = false;
        for element in Doc::new(doc).iter_with_places() {
            let key: &[u8] = element.key();
            if !passed && key == &name[..] {
                passed = true;
            } else if read.is_none_or(|read| read.contains(key)) {
                let out = if passed { &mut after } else { &mut before };
                out.extend_from_slice(element.raw());
            }
        }
        Rest::Around { before, after }
    }

    /// The document of the next item of `open` that passes the filter behind, if that can be told.
    fn next_of(&self, open: &mut Unwinding, env: &Env<'_>) -> Result<Option<Bytes>> {
        let mut items = Doc::new(&open.items).iter_from(open.at);
        while let Some(item) = items.next() {
            open.at = items.offset();
            let number = Some(open.number);
            open.number += 1;
            // Most are looked at for a few fields; all others are not copied for that.
            if let (Some((filter, _)), Some(probe)) = (&self.filter, &open.probe)
                && !filter.matches(&self.with_item(probe, &item, number), env)?
            {
                continue;
            }
            return Ok(Some(self.with_item(&open.rest, &item, number)));
        }
        Ok(None)
    }

    /// The document of one item.
    fn with_item(&self, rest: &Rest, item: &Element<'_>, number: Option<i64>) -> Bytes {
        match rest {
            Rest::Around { before, after } => {
                let name = self.path.names().first().map_or(&b""[..], |name| name);
                let bytes = before.len() + after.len() + name.len() + item.raw().len() + 8;
                let mut out = DocBuf::with_capacity(bytes);
                out.append_raw(before);
                out.append_renamed(name, item);
                out.append_raw(after);
                self.numbered(out.finish(), number)
            }
            Rest::Below(doc) => self.output(doc, Some(item.value()), number),
        }
    }
}

impl Source for UnwindSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(doc) = self.stage.next_of(open, cx.env)? {
                    return Ok(Some(doc));
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
                    let stage = &self.stage;
                    // Where the filter's fields are all that is read, the document itself is as small.
                    let probe = match &stage.filter {
                        Some((_, fields))
                            if stage.read.is_none() && stage.path.names().len() == 1 =>
                        {
                            Some(stage.rest(&doc, Some(fields)))
                        }
                        _ => None,
                    };
                    self.open = Some(Unwinding {
                        items: doc.slice_ref(array.as_bytes()),
                        at: Doc::EMPTY.byte_len() - 1,
                        number: 0,
                        rest: stage.rest(&doc, stage.read.as_ref()),
                        probe,
                    });
                }
                ValueRef::Array(_) if self.stage.preserve => {
                    return Ok(Some(self.stage.without_array(&doc)));
                }
                ValueRef::Array(_) => {}
                value if value.is_nullish() && !self.stage.preserve => {}
                _ => return Ok(Some(self.stage.output(&doc, None, None))),
            }
        }
    }
}
