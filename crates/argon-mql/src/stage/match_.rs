//! `$match`.

use std::sync::Arc;

use bytes::Bytes;

use super::read_fields::FieldSet;
use super::source::Turns;
use super::{Context, Source, Stage, StageContext, read_fields, reorder};
use crate::filter::Filter;
use crate::value::ValueRef;
use crate::{Error, Result};

#[derive(Debug)]
struct Match {
    filter: Arc<Filter>,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            15959,
            "the match filter must be an expression in an object",
        ));
    };
    out.push(Box::new(Match {
        filter: Arc::new(Filter::parse(spec, context.cx).map_err(|error| refusal(error, context))?),
    }));
    Ok(())
}

/// What a find refuses with one code, a `$match` refuses with another.
fn refusal(error: Error, context: &StageContext<'_>) -> Error {
    match error.code().number() {
        // `$where`
        6_108_304 => Error::bad_value("$where is not allowed in this context"),
        // `$near`
        291 => Error::location(
            5_626_500,
            "$geoNear, $near, and $nearSphere are not allowed in this context",
        ),
        // `$text`
        27 if context.index > 0 => Error::location(
            17313,
            "$match with $text is only allowed as the first pipeline stage",
        ),
        _ => error,
    }
}

/// The stage for a filter that is parsed already.
pub(super) fn stage(filter: Arc<Filter>) -> Box<dyn Stage> {
    Box::new(Match { filter })
}

impl Stage for Match {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(MatchSource {
            filter: Arc::clone(&self.filter),
            input,
            turns: Turns::default(),
        })
    }

    fn reads(&self, after: Option<&FieldSet>) -> Option<FieldSet> {
        let fields = reorder::fields(&self.filter)?;
        read_fields::and(after, fields.iter().map(Vec::as_slice))
    }

    fn as_match(&self) -> Option<&Arc<Filter>> {
        Some(&self.filter)
    }
}

struct MatchSource {
    filter: Arc<Filter>,
    input: Box<dyn Source>,
    turns: Turns,
}

impl Source for MatchSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        while let Some(doc) = self.input.next(cx)? {
            if self.filter.matches(&doc, cx.env)? {
                return Ok(Some(doc));
            }
            self.turns.turn(cx)?;
        }
        Ok(None)
    }

    fn is_resident(&self) -> bool {
        self.input.is_resident()
    }
}
