//! `update`.

use std::sync::Arc;

use argon_engine::exec::{self, Update};
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::update::{Update as Change, UpdateOptions};
use argon_mql::{Doc, ErrorCode, ParseContext, ValueRef};
use bytes::Bytes;

use super::insert::check_target;
use super::query::{self, Common, Target};
use super::write::{Done, Statements, flag, implicit_options, new_id, statements};
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

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
    let mut ordered = true;
    let mut bypass = false;
    let mut common = Common::default();
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "update",
            element,
        };
        match &**element.key() {
            b"updates" => {}
            b"ordered" => ordered = argument.bool()?,
            b"bypassDocumentValidation" => bypass = argument.bool()?,
            _ if common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("update", element.key())),
        }
    }
    let specs = statements(cx.request, "update", "updates")?;
    cx.shared
        .counters
        .updates
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
    let shape = Statements {
        count: compiled.len(),
        ordered,
        updates: true,
        bypass,
    };
    write::run(cx, shape, |writer, index| {
        query::check_known(writer.collection(collection), target)?;
        let statement = compiled[index].as_ref().map_err(Error::clone)?;
        let check = || cx.operation.check();
        let env = cx.env(variables.clone(), &check);
        let heavy = query::is_heavy(target, Some(&statement.filter));
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
                b"q" => match element.value() {
                    ValueRef::Document(doc) => filter = Some(doc),
                    value => return Err(wrong_type(&path(), &value, "object")),
                },
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
                b"c" => match element.value() {
                    ValueRef::Document(doc) => shape.constants = Some(doc),
                    value => return Err(wrong_type(&path(), &value, "object")),
                },
                b"collation" => match element.value() {
                    ValueRef::Document(doc) => shape.collation = Some(doc),
                    value => return Err(wrong_type(&path(), &value, "object")),
                },
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
        let own;
        let parse = match self.collation {
            Some(_) => {
                own = ParseContext {
                    collation: query::collation(self.collation, None)?,
                    ..parse.clone()
                };
                &own
            }
            None => parse,
        };
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
