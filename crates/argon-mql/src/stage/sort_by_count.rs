//! `$sortByCount`: a `$group` that counts, and a `$sort` by the count.

use super::group::GroupStage;
use super::sort::SortStage;
use super::{Stage, StageContext};
use crate::accumulator::Accumulator;
use crate::sort::Sort;
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Error, Result};

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let refuse = |code, why: &str| {
        Err(Error::location(
            code,
            format!("the sortByCount field must be {why}"),
        ))
    };
    let why = "defined as a $-prefixed path or an expression inside an object";
    match value {
        ValueRef::String(text) if !text.starts_with(b"$") => return refuse(40148, why),
        ValueRef::String(_) => {}
        ValueRef::Document(spec)
            if !spec
                .iter()
                .next()
                .is_some_and(|element| element.key().starts_with(b"$")) =>
        {
            return refuse(40147, why);
        }
        ValueRef::Document(_) => {}
        _ => return refuse(40149, "specified as a string or as an object"),
    }
    let group = GroupStage::new(value, vec![("count".into(), Accumulator::count())], context)?;
    out.push(Box::new(group));
    let mut order = DocBuf::new();
    order.append("count", ValueRef::Int32(-1));
    let sort = Sort::parse(Doc::new(&order.finish()))?;
    out.push(Box::new(SortStage::new(sort)));
    Ok(())
}
