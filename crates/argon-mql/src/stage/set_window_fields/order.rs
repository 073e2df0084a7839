//! `$rank`, `$denseRank`, `$documentNumber` and `$shift`: by the position of a document in its partition.

use std::sync::Arc;

use super::bounds::{SortShape, is_empty_object};
use super::functions::Arguments;
use super::{Function, Partition, Run};
use crate::expr::{Expr, Scope};
use crate::stage::Context;
use crate::value::{Number, Value};
use crate::{Error, Result};

/// How equal documents are numbered.
#[derive(Clone, Copy, Debug)]
enum Numbering {
    Document,
    Rank,
    Dense,
}

#[derive(Debug)]
struct Rank(Numbering);

pub(super) fn document_number(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    numbering(arguments, Numbering::Document)
}

pub(super) fn rank(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    numbering(arguments, Numbering::Rank)
}

pub(super) fn dense_rank(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    numbering(arguments, Numbering::Dense)
}

fn numbering(arguments: &Arguments<'_>, numbering: Numbering) -> Result<Arc<dyn Function>> {
    let name = arguments.name;
    if arguments.window.is_some() {
        return Err(Error::location(
            5_371_601,
            "Rank style window functions take no other arguments",
        ));
    }
    if arguments.sort != SortShape::Single {
        return Err(Error::location(
            5_371_602,
            format!(
                "{name} must be specified with a top level sortBy expression with exactly one element"
            ),
        ));
    }
    if !is_empty_object(arguments.value) {
        return Err(Error::location(
            5_371_603,
            format!("{name} must be specified with '{{}}' as the value"),
        ));
    }
    Ok(Arc::new(Rank(numbering)))
}

impl Function for Rank {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(RankRun {
            numbering: self.0,
            last: None,
            rank: 0,
        })
    }
}

struct RankRun {
    numbering: Numbering,
    /// The sorted value of the document before, as a key: a whole array, where sorting saw one item.
    last: Option<Vec<u8>>,
    rank: i64,
}

impl Run for RankRun {
    fn value(&mut self, at: usize, partition: &Partition, _: &Context<'_>) -> Result<Value> {
        let number = i64::try_from(at).unwrap_or(i64::MAX - 1) + 1;
        match self.numbering {
            Numbering::Document => self.rank = number,
            Numbering::Rank | Numbering::Dense => {
                let key = partition.value_key(at);
                if self.last.as_ref() != Some(&key) {
                    self.rank = match self.numbering {
                        Numbering::Dense => self.rank + 1,
                        _ => number,
                    };
                    self.last = Some(key);
                }
            }
        }
        Ok(Number::narrow(self.rank).to_value())
    }
}

#[derive(Debug)]
struct Shift {
    output: Expr,
    by: i64,
    default: Value,
}

pub(super) fn shift(arguments: &Arguments<'_>) -> Result<Arc<dyn Function>> {
    if arguments.window.is_some() {
        return Err(Error::failed_to_parse(
            "$shift does not accept a 'window' field",
        ));
    }
    if arguments.sort == SortShape::None {
        return Err(Error::failed_to_parse("'$shift' requires a sortBy"));
    }
    let Some(spec) = arguments.value.as_document() else {
        return Err(Error::failed_to_parse(
            "Argument to $shift must be an object",
        ));
    };
    let (mut output, mut by, mut default) = (None, None, Value::Null);
    for element in spec.iter() {
        let value = element.value();
        match &**element.key() {
            b"output" => output = Some(Expr::parse(value, arguments.cx)?),
            b"by" => {
                let integer = Number::from_value(value)
                    .and_then(Number::to_i64)
                    .and_then(|by| i32::try_from(by).ok())
                    .ok_or_else(|| {
                        Error::failed_to_parse(format!(
                            "'$shift:by' field must be an integer, but found by: {value}"
                        ))
                    })?;
                by = Some(i64::from(integer));
            }
            b"default" => {
                default = Expr::parse(value, arguments.cx)?
                    .as_constant()
                    .cloned()
                    .ok_or_else(|| {
                        Error::failed_to_parse(
                            "'$shift:default' expression must yield a constant value.",
                        )
                    })?;
            }
            _ => return Err(Error::failed_to_parse("Unknown argument in $shift")),
        }
    }
    let output =
        output.ok_or_else(|| Error::failed_to_parse("$shift requires an 'output' expression."))?;
    let by =
        by.ok_or_else(|| Error::failed_to_parse("$shift requires 'by' as an integer value."))?;
    Ok(Arc::new(Shift {
        output,
        by,
        default,
    }))
}

impl Function for Shift {
    fn run(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(ShiftRun(self))
    }
}

struct ShiftRun(Arc<Shift>);

impl Run for ShiftRun {
    fn value(&mut self, at: usize, partition: &Partition, cx: &Context<'_>) -> Result<Value> {
        let wanted = i64::try_from(at)
            .unwrap_or(i64::MAX)
            .saturating_add(self.0.by);
        let doc = usize::try_from(wanted)
            .ok()
            .and_then(|wanted| partition.docs.get(wanted));
        match doc {
            Some(doc) => self.0.output.eval(&Scope::new(doc, cx.env)),
            None => Ok(self.0.default.clone()),
        }
    }
}
