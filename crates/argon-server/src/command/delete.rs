//! `delete`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use argon_engine::exec;
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::plan::Hint;
use argon_mql::{Doc, ErrorCode, ParseContext, ValueRef};

use super::insert::check_target;
use super::query::{self, Common};
use super::write::{Arguments, Done, document, own_collation};
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, missing_field, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "delete",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Removes documents from a collection.",
    run: |cx| Box::pin(run(cx)),
};

/// One statement.
struct Statement {
    filter: Filter,
    hint: Option<Hint>,
    multi: bool,
}

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    check_target(cx, cx.request.collection()?)?;
    let mut common = Common::default();
    let arguments = Arguments::read(cx.request, "delete", "deletes", |argument| {
        common.take(argument)
    })?;
    let count = arguments.statements.len() as u64;
    cx.shared.counters.deletes.fetch_add(count, Relaxed);
    query::attempts(cx, |target| attempt(cx, &common, &arguments, target)).await
}

async fn attempt(
    cx: &Cx<'_>,
    common: &Common<'_>,
    arguments: &Arguments,
    target: Option<Arc<Collection>>,
) -> Result<Reply> {
    let collection = cx.request.collection()?;
    let (variables, parse) = query::variables(cx, common, target.as_ref())?;
    let mut compiled = Vec::with_capacity(arguments.statements.len());
    for (index, spec) in arguments.statements.iter().enumerate() {
        compiled.push(compile(cx, Doc::new(spec), index, &parse)?);
    }
    write::run(cx, arguments, |writer, index| {
        query::check_known(writer.collection(collection), target.as_ref())?;
        let Statement {
            filter,
            hint,
            multi,
        } = compiled[index].as_ref().map_err(Error::clone)?;
        let check = || cx.operation.check();
        let env = cx.env(variables.clone(), &check);
        let heavy = query::is_heavy(target.as_ref(), Some(filter));
        let delete = || exec::delete(writer, collection, filter, hint.as_ref(), *multi, &env);
        let n = query::run(heavy, delete)?;
        Ok(Done {
            n,
            ..Done::default()
        })
    })
    .await
}

/// Reads one statement: its shape is the command's concern, its filter the statement's.
fn compile(
    cx: &Cx<'_>,
    spec: Doc<'_>,
    index: usize,
    parse: &ParseContext,
) -> Result<Result<Statement>> {
    let mut filter = None;
    let mut limit = None;
    let mut hint = ValueRef::Missing;
    let mut collation = None;
    for element in spec.iter() {
        let path = || format!("delete.deletes.{index}.{}", element.key());
        match &**element.key() {
            b"q" => filter = Some(document(&path(), &element)?),
            b"limit" => {
                limit = Some(
                    Argument {
                        command: "delete.deletes",
                        element,
                    }
                    .integer()?,
                )
            }
            b"hint" => hint = element.value(),
            b"collation" => collation = Some(document(&path(), &element)?),
            _ => return Err(unknown_field("delete.deletes", element.key())),
        }
    }
    let filter = filter.ok_or_else(|| missing_field("delete.deletes.q"))?;
    let limit = limit.ok_or_else(|| missing_field("delete.deletes.limit"))?;
    if !(0..=1).contains(&limit) {
        return Err(Error::failed_to_parse(format!(
            "The limit field in delete objects must be 0 or 1. Got {limit}"
        )));
    }
    let statement = || -> Result<Statement> {
        if limit == 0 && cx.request.txn_number.is_some() {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                "Cannot use (or request) retryable writes with limit=0",
            ));
        }
        Ok(Statement {
            filter: Filter::parse(filter, &*own_collation(parse, collation)?)?,
            hint: query::hint(hint)?,
            multi: limit == 0,
        })
    };
    Ok(statement())
}
