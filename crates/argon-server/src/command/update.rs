//! `update`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use argon_engine::exec::{self, Update};
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::update::{Update as Change, UpdateOptions};
use argon_mql::{Doc, ErrorCode, ParseContext, ValueRef};

use super::insert::check_target;
use super::query::{self, Common};
use super::write::{Arguments, Done, document, flag, implicit_options, new_id, own_collation};
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{missing_field, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "update",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Changes documents of a collection.",
    run: |cx| Box::pin(run(cx)),
};

/// MongoDB's code for a stage that there is none of.
const UNKNOWN_STAGE: ErrorCode = ErrorCode::location(40324);

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    check_target(cx, cx.request.collection()?)?;
    let mut common = Common::default();
    let arguments = Arguments::read(cx.request, "update", "updates", |argument| {
        common.take(argument)
    })?;
    let count = arguments.statements.len() as u64;
    cx.shared.counters.updates.fetch_add(count, Relaxed);
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
        let shape = Shape::read(Doc::new(spec), &format!("update.updates.{index}"))?;
        let statement = shape.compile(cx, &parse);
        // A pipeline is read with the command, so a stage it does not know fails the command.
        if let Err(error) = &statement
            && error.code == UNKNOWN_STAGE
        {
            return Err(error.clone());
        }
        compiled.push(statement);
    }
    write::run(cx, arguments, |writer, index| {
        query::check_known(writer.collection(collection), target.as_ref())?;
        let statement = compiled[index].as_ref().map_err(Error::clone)?;
        let check = || cx.operation.check();
        let env = cx.env(variables.clone(), &check);
        let heavy = query::is_heavy(target.as_ref(), Some(&statement.filter));
        let update = || {
            exec::update(
                writer,
                collection,
                statement,
                &env,
                &mut new_id,
                &implicit_options,
            )
        };
        let updated = query::run(heavy, update)?;
        Ok(Done {
            n: updated.matched + u64::from(updated.upserted.is_some()),
            modified: updated.modified,
            upserted: updated.upserted,
        })
    })
    .await
}

/// One statement as it was sent.
struct Shape<'a> {
    filter: Doc<'a>,
    change: ValueRef<'a>,
    multi: bool,
    upsert: bool,
    array_filters: Option<Doc<'a>>,
    constants: Option<Doc<'a>>,
    hint: ValueRef<'a>,
    collation: Option<Doc<'a>>,
}

impl<'a> Shape<'a> {
    fn read(spec: Doc<'a>, path: &str) -> Result<Shape<'a>> {
        let mut filter = None;
        let mut change = None;
        let mut shape = Shape {
            filter: Doc::EMPTY,
            change: ValueRef::Missing,
            multi: false,
            upsert: false,
            array_filters: None,
            constants: None,
            hint: ValueRef::Missing,
            collation: None,
        };
        for element in spec.iter() {
            let path = || format!("{path}.{}", element.key());
            match &**element.key() {
                b"q" => filter = Some(document(&path(), &element)?),
                b"u" => change = Some(element.value()),
                b"multi" => shape.multi = flag(&path(), &element)?,
                b"upsert" => shape.upsert = flag(&path(), &element)?,
                b"upsertSupplied" => {
                    flag(&path(), &element)?;
                }
                b"arrayFilters" => match element.value() {
                    ValueRef::Array(array) => {
                        if let Some(value) =
                            array.values().find(|item| item.as_document().is_none())
                        {
                            return Err(wrong_type(
                                "update.updates.arrayFilters",
                                &value,
                                "object",
                            ));
                        }
                        shape.array_filters = Some(array);
                    }
                    value => return Err(wrong_type(&path(), &value, "array")),
                },
                b"c" => shape.constants = Some(document(&path(), &element)?),
                b"collation" => shape.collation = Some(document(&path(), &element)?),
                b"hint" => shape.hint = element.value(),
                _ => return Err(unknown_field("update.updates", element.key())),
            }
        }
        shape.filter = filter.ok_or_else(|| missing_field("update.updates.q"))?;
        shape.change = change.ok_or_else(|| missing_field("update.updates.u"))?;
        Ok(shape)
    }

    /// Compiles the statement. A failure belongs to the statement, not to the command.
    fn compile(&self, cx: &Cx<'_>, parse: &ParseContext) -> Result<Update> {
        if self.multi && cx.request.txn_number.is_some() {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                "Cannot use (or request) retryable writes with multi=true",
            ));
        }
        let parse = &*own_collation(parse, self.collation)?;
        // As in MongoDB, a mistake in the update is reported before one in the filter.
        let change = change(
            self.change,
            self.multi,
            self.array_filters,
            self.constants,
            parse,
        )?;
        let filter = Filter::parse(self.filter, parse)?;
        Ok(Update {
            filter,
            change,
            multi: self.multi,
            upsert: self.upsert,
            hint: query::hint(self.hint)?,
        })
    }
}

/// Compiles what becomes of a document, in an `update` or a `findAndModify`.
pub(super) fn change(
    change: ValueRef<'_>,
    multi: bool,
    array_filters: Option<Doc<'_>>,
    constants: Option<Doc<'_>>,
    parse: &ParseContext,
) -> Result<Change> {
    let options = UpdateOptions {
        array_filters,
        constants,
        multi,
    };
    Ok(Change::parse(change, &options, parse)?)
}
