//! `find`.

use std::sync::Arc;

use argon_engine::exec::{Find, Reading, find};
use argon_mql::filter::Filter;
use argon_mql::projection::{Flavor, Projection};
use argon_mql::{Doc, ParseContext, ValueRef};

use super::query::{self, Common};
use super::{Access, Command, Cx, batch};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "find",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Gives the documents of a collection that pass a filter.",
    run: |cx| Box::pin(run(cx)),
};

/// The arguments, once read.
struct Arguments<'a> {
    filter: Doc<'a>,
    sort: Doc<'a>,
    projection: Doc<'a>,
    hint: ValueRef<'a>,
    skip: u64,
    limit: u64,
    batch_size: Option<u64>,
    single_batch: bool,
    no_timeout: bool,
    tailable: bool,
    allow_disk_use: bool,
    common: Common<'a>,
}

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.shared
        .counters
        .queries
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (reading, collection) = query::open_named(cx).await?;
    let arguments = read(cx.request.doc())?;
    let (variables, parse) = query::variables(cx, &arguments.common, collection.as_ref())?;
    let is_view = collection
        .as_ref()
        .is_some_and(|found| found.options.view.is_some());
    let query = compile(&arguments, &parse, is_view)?;
    if arguments.tailable {
        // Only capped collections have tailable cursors.
        return Err(Error::bad_value(format!(
            "error processing query: ns={}.{}: tailable cursor requested on non capped collection",
            cx.request.database,
            cx.request.collection()?
        )));
    }
    let heavy = query::is_heavy(collection.as_ref(), &query.filter);
    let source = find(&reading, cx.request.collection()?, &query)?;
    let namespace = format!("{}.{}", cx.request.database, cx.request.collection()?);
    batch::first(
        cx,
        batch::Opened {
            namespace,
            source,
            reader: Box::new(Reading::new(reading)),
            batch_size: arguments.batch_size,
            single_batch: arguments.single_batch,
            no_timeout: arguments.no_timeout,
            allow_disk_use: arguments.allow_disk_use,
            variables,
            heavy,
            layout: if collection.is_some() {
                batch::Layout::BatchFirst
            } else {
                batch::Layout::BatchLast
            },
        },
    )
}

fn compile(arguments: &Arguments<'_>, parse: &ParseContext, is_view: bool) -> Result<Find> {
    let filter = Filter::parse(arguments.filter, parse)?;
    let order = query::order(arguments.sort, parse)?;
    let projection = if arguments.projection.is_empty() {
        None
    } else {
        Some(Arc::new(Projection::parse(
            arguments.projection,
            // As in MongoDB, a query on a view is a pipeline.
            if is_view {
                Flavor::Aggregate
            } else {
                Flavor::Find
            },
            parse,
        )?))
    };
    Ok(Find {
        filter: Some(filter),
        order,
        projection,
        skip: arguments.skip,
        limit: arguments.limit,
        hint: query::hint(arguments.hint)?,
        allow_disk_use: arguments.allow_disk_use,
        collation: parse.collation.clone(),
    })
}

fn read(body: Doc<'_>) -> Result<Arguments<'_>> {
    let mut arguments = Arguments {
        filter: Doc::EMPTY,
        sort: Doc::EMPTY,
        projection: Doc::EMPTY,
        hint: ValueRef::Missing,
        skip: 0,
        limit: 0,
        batch_size: None,
        single_batch: false,
        no_timeout: false,
        tailable: false,
        allow_disk_use: true,
        common: Common::default(),
    };
    let mut negative_limit = false;
    for (at, element) in body.iter().enumerate() {
        let argument = Argument {
            command: "find",
            element,
        };
        match &**element.key() {
            _ if at == 0 => {}
            b"filter" => arguments.filter = argument.document()?,
            b"sort" => arguments.sort = argument.document()?,
            b"projection" => arguments.projection = argument.document()?,
            b"hint" => arguments.hint = element.value(),
            b"skip" => arguments.skip = argument.count()?,
            b"limit" => arguments.limit = argument.count()?,
            b"batchSize" => arguments.batch_size = Some(argument.count()?),
            b"singleBatch" => arguments.single_batch = argument.bool()?,
            b"noCursorTimeout" => arguments.no_timeout = argument.bool()?,
            b"allowDiskUse" => arguments.allow_disk_use = argument.bool()?,
            b"tailable" => arguments.tailable = argument.bool()?,
            // Without capped collections there is nothing to await; the oplog is none of ours.
            b"awaitData" | b"oplogReplay" | b"allowPartialResults" => {
                argument.bool()?;
            }
            b"ntoreturn" => negative_limit = true,
            b"min" | b"max" | b"returnKey" | b"showRecordId" => {
                query::refuse_unless_empty(&argument)?;
            }
            key if arguments.common.take(&argument)? || is_generic(key) => {}
            _ => return Err(unknown_field("find", element.key())),
        }
    }
    if negative_limit {
        return Err(unknown_field("find", "ntoreturn"));
    }
    Ok(arguments)
}
