//! `delete`.

use std::sync::Arc;

use argon_engine::exec;
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::plan::Hint;
use argon_mql::{Doc, ErrorCode, ParseContext, ValueRef};
use bytes::Bytes;

use super::insert::check_target;
use super::query::{self, Common, Target};
use super::write::{Done, Statements, statements};
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

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
    let mut ordered = true;
    let mut bypass = false;
    let mut common = Common::default();
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "delete",
            element,
        };
        match &**element.key() {
            b"deletes" => {}
            b"ordered" => ordered = argument.bool()?,
            b"bypassDocumentValidation" => bypass = argument.bool()?,
            _ if common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("delete", element.key())),
        }
    }
    let specs = statements(cx.request, "delete", "deletes")?;
    cx.shared
        .counters
        .deletes
        .fetch_add(specs.len() as u64, std::sync::atomic::Ordering::Relaxed);
    let mut target = Target::new(cx).await?;
    loop {
        let outcome = attempt(
            cx,
            &common,
            &specs,
            target.collection.as_ref(),
            ordered,
            bypass,
        );
        let outcome = outcome.await;
        if !target.is_to_repeat(cx, &outcome).await? {
            return outcome;
        }
    }
}

async fn attempt(
    cx: &Cx<'_>,
    common: &Common<'_>,
    specs: &[Bytes],
    target: Option<&Arc<Collection>>,
    ordered: bool,
    bypass: bool,
) -> Result<Reply> {
    let collection = cx.request.collection()?;
    let (variables, parse) = query::variables(cx, common, target)?;
    let mut compiled = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        compiled.push(compile(cx, Doc::new(spec), index, &parse)?);
    }
    let shape = Statements {
        count: compiled.len(),
        ordered,
        updates: false,
        bypass,
    };
    write::run(cx, shape, |writer, index| {
        query::check_known(writer.collection(collection), target)?;
        let Statement {
            filter,
            hint,
            multi,
        } = compiled[index].as_ref().map_err(Error::clone)?;
        let check = || cx.operation.check();
        let env = cx.env(variables.clone(), &check);
        let heavy = query::is_heavy(target, Some(filter));
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
            b"q" => match element.value() {
                ValueRef::Document(doc) => filter = Some(doc),
                value => return Err(wrong_type(&path(), &value, "object")),
            },
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
            b"collation" => match element.value() {
                ValueRef::Document(doc) => collation = Some(doc),
                value => return Err(wrong_type(&path(), &value, "object")),
            },
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
            filter: match collation {
                None => Filter::parse(filter, parse)?,
                Some(_) => {
                    let collation = query::collation(collation, None)?;
                    Filter::parse(
                        filter,
                        &ParseContext {
                            collation,
                            ..parse.clone()
                        },
                    )?
                }
            },
            hint: query::hint(hint)?,
            multi: limit == 0,
        })
    };
    Ok(statement())
}
