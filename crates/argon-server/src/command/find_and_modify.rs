//! `findAndModify`.

use std::sync::Arc;

use argon_engine::exec::{self, FindAndModify, Modified};
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::projection::{Flavor, Projection};
use argon_mql::{Doc, DocBuf, ValueRef};
use bytes::Bytes;

use super::insert::check_target;
use super::query::{self, Common};
use super::write::{self, implicit_options, new_id};
use super::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "findAndModify",
    aliases: &["findandmodify"],
    access: Access::LoggedIn,
    help: "Changes or removes one document and gives it.",
    run: |cx| Box::pin(run(cx)),
};

/// The arguments, once read.
struct Arguments<'a> {
    query: Doc<'a>,
    sort: Doc<'a>,
    fields: Doc<'a>,
    update: ValueRef<'a>,
    remove: bool,
    new: bool,
    upsert: bool,
    array_filters: Option<Doc<'a>>,
    hint: ValueRef<'a>,
    bypass: bool,
    common: Common<'a>,
}

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    check_target(cx, cx.request.collection()?)?;
    let arguments = read(cx)?;
    check(&arguments)?;
    query::attempts(cx, |target| attempt(cx, &arguments, target)).await
}

async fn attempt(
    cx: &Cx<'_>,
    arguments: &Arguments<'_>,
    target: Option<Arc<Collection>>,
) -> Result<Reply> {
    let collection = cx.request.collection()?;
    let (variables, parse) = query::variables(cx, &arguments.common, target.as_ref())?;
    // As in MongoDB, a mistake in the update is reported before one in the query.
    let change = match arguments.update {
        ValueRef::Missing => None,
        update => Some(super::update::change(
            update,
            false,
            arguments.array_filters,
            None,
            &parse,
        )?),
    };
    let filter = Filter::parse(arguments.query, &parse)?;
    let projection = if arguments.fields.is_empty() {
        None
    } else {
        Some(Projection::parse(arguments.fields, Flavor::Find, &parse)?)
    };
    let command = FindAndModify {
        filter,
        order: query::order(arguments.sort, &parse)?,
        hint: query::hint(arguments.hint)?,
        change,
        upsert: arguments.upsert,
    };
    let branch = write::branch(cx).await?;
    write::write(cx, &branch, |writer| {
        query::check_known(writer.collection(collection), target.as_ref())?;
        writer.bypass_validation = arguments.bypass;
        let retry = cx.request.retry(0);
        if let Some(retry) = &retry
            && let Some(earlier) = writer.earlier_outcome(retry)?
        {
            // As in MongoDB, a retry gets the document whole: the projection is not made again.
            let mut reply = Reply::ok();
            reply.doc().append_all(Doc::new(&earlier));
            return Ok(reply.with("retriedStmtId", ValueRef::Int32(retry.stmt_id)));
        }
        let interrupt = || cx.operation.check();
        let env = cx.env(variables.clone(), &interrupt);
        let before = writer.changes();
        let heavy = query::is_heavy(target.as_ref(), Some(&command.filter));
        let modified = query::run(heavy, || {
            exec::find_and_modify(
                writer,
                collection,
                &command,
                &env,
                &mut new_id,
                &implicit_options,
            )
        })?;
        let shown = if arguments.new {
            &modified.after
        } else {
            &modified.before
        };
        if let Some(retry) = retry.filter(|_| writer.changes() > before) {
            let outcome = answer(arguments, &modified, shown.as_ref());
            writer.remember(&retry, outcome.finish());
        }
        let shown = match (shown, &projection) {
            (Some(document), Some(projection)) => {
                Some(projection.apply(document, &env, modified.matched)?)
            }
            (shown, _) => shown.clone(),
        };
        Ok(Reply::from(answer(arguments, &modified, shown.as_ref())))
    })
    .await
}

/// The answer's own fields.
fn answer(arguments: &Arguments<'_>, modified: &Modified, shown: Option<&Bytes>) -> DocBuf {
    let mut doc = DocBuf::new();
    let last = doc.open_document("lastErrorObject");
    let touched = modified.before.is_some() || modified.upserted.is_some();
    doc.append("n", ValueRef::Int32(i32::from(touched)));
    if !arguments.remove {
        doc.append("updatedExisting", ValueRef::Bool(modified.before.is_some()));
        if let Some(id) = &modified.upserted {
            doc.append("upserted", id.as_ref());
        }
    }
    doc.close(last);
    match shown {
        Some(document) => doc.append("value", ValueRef::Document(Doc::new(document))),
        None => doc.append("value", ValueRef::Null),
    }
    doc
}

fn read<'a>(cx: &'a Cx<'_>) -> Result<Arguments<'a>> {
    let mut arguments = Arguments {
        query: Doc::EMPTY,
        sort: Doc::EMPTY,
        fields: Doc::EMPTY,
        update: ValueRef::Missing,
        remove: false,
        new: false,
        upsert: false,
        array_filters: None,
        hint: ValueRef::Missing,
        bypass: false,
        common: Common::default(),
    };
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "findAndModify",
            element,
        };
        match &**element.key() {
            b"query" => arguments.query = argument.document()?,
            b"sort" => arguments.sort = argument.document()?,
            b"fields" => arguments.fields = argument.document()?,
            b"update" => arguments.update = element.value(),
            b"remove" => arguments.remove = argument.bool()?,
            b"new" => arguments.new = argument.bool()?,
            b"upsert" => arguments.upsert = argument.bool()?,
            b"arrayFilters" => arguments.array_filters = Some(argument.array()?),
            b"hint" => arguments.hint = element.value(),
            b"bypassDocumentValidation" => arguments.bypass = argument.bool()?,
            _ if arguments.common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("findAndModify", element.key())),
        }
    }
    Ok(arguments)
}

fn check(arguments: &Arguments<'_>) -> Result<()> {
    let update = !matches!(arguments.update, ValueRef::Missing);
    let refused = match (arguments.remove, update) {
        (true, true) => "Cannot specify both an update and remove=true",
        (false, false) => "Either an update or remove=true must be specified",
        (true, _) if arguments.upsert => "Cannot specify both upsert=true and remove=true ",
        (true, _) if arguments.new => {
            "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document"
        }
        (true, _) if arguments.array_filters.is_some() => {
            "Cannot specify arrayFilters and remove=true"
        }
        _ => return Ok(()),
    };
    Err(Error::failed_to_parse(refused))
}
