//! `find`.

use std::sync::Arc;

use argon_engine::exec::{Find, Range, Reading, find, tail};
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::projection::{Flavor, Projection};
use argon_mql::sort::Order;
use argon_mql::stage::Source;
use argon_mql::{Doc, ErrorCode, ParseContext, ValueRef};

use super::query::{self, Common};
use super::{Access, Command, Cx, batch};
use crate::cursor::Tailing;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field, wrong_type};

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
    await_data: bool,
    min: Doc<'a>,
    max: Doc<'a>,
    return_key: bool,
    show_record_id: bool,
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
    check(&arguments)?;
    let is_view = collection
        .as_ref()
        .is_some_and(|found| found.options.view.is_some());
    if is_view {
        refuse_on_view(&arguments)?;
    }
    let query = compile(&arguments, &parse, is_view)?;
    let heavy = query::is_heavy(collection.as_ref(), query.filter.as_ref());
    let (source, tailing) = match &collection {
        Some(collection) if arguments.tailable => {
            let (source, tailing) = follow(cx, collection, &query, &arguments).await?;
            (source, Some(tailing))
        }
        _ => (find(&reading, cx.request.collection()?, &query)?, None),
    };
    // Of an empty collection there is no position to go on from.
    let tailing = tailing.filter(|_| collection.as_ref().is_some_and(|found| !found.is_empty()));
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
            tailing,
            layout: if collection.is_some() {
                batch::Layout::BatchFirst
            } else {
                batch::Layout::BatchLast
            },
        },
    )
}

/// Refuses options that do not go together.
fn check(arguments: &Arguments<'_>) -> Result<()> {
    if !arguments.tailable {
        return if arguments.await_data {
            Err(Error::failed_to_parse(
                "Cannot set 'awaitData' without also setting 'tailable'",
            ))
        } else {
            Ok(())
        };
    }
    if arguments.single_batch {
        return Err(Error::bad_value(
            "cannot use tailable option with the 'singleBatch' option",
        ));
    }
    match Order::parse(arguments.sort)? {
        Order::Any | Order::Natural { reverse: false } => Ok(()),
        Order::By(_) | Order::Natural { reverse: true } => Err(Error::bad_value(
            "cannot use tailable option with a sort other than {$natural: 1}",
        )),
    }
}

/// Refuses what only collections have: a query on a view is a pipeline.
fn refuse_on_view(arguments: &Arguments<'_>) -> Result<()> {
    let message = if arguments.tailable {
        "Tailable cursors are not supported in aggregation."
    } else if !arguments.min.is_empty() {
        "Option min not supported in aggregation."
    } else if !arguments.max.is_empty() {
        "Option max not supported in aggregation."
    } else if arguments.return_key {
        "Option returnKey not supported in aggregation."
    } else if arguments.show_record_id {
        "Option showRecordId not supported in aggregation."
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorCode::InvalidPipelineOperator, message))
}

/// Opens a tailable query on a capped collection.
async fn follow(
    cx: &Cx<'_>,
    collection: &Arc<Collection>,
    query: &Find,
    arguments: &Arguments<'_>,
) -> Result<(Box<dyn Source>, Tailing)> {
    let name = cx.request.collection()?;
    let database = cx.shared.engine.database(&cx.request.database).await?;
    let (Some(database), true) = (database, collection.options.capped.is_some()) else {
        return Err(Error::bad_value(format!(
            "error processing query: ns={}.{name}: tailable cursor requested on non capped collection",
            cx.request.database,
        )));
    };
    let (source, tail) = tail(collection, query);
    let tailing = Tailing {
        tail,
        database,
        collection: name.to_owned(),
        waits: arguments.await_data,
    };
    Ok((source, tailing))
}

fn compile(arguments: &Arguments<'_>, parse: &ParseContext, is_view: bool) -> Result<Find> {
    let filter = Filter::parse(arguments.filter, parse)?;
    let order = query::order(arguments.sort, parse)?;
    let projection = if arguments.projection.is_empty() {
        None
    } else {
        Some(Arc::new(Projection::parse_sorted(
            arguments.projection,
            // As in MongoDB, a query on a view is a pipeline.
            if is_view {
                Flavor::Aggregate
            } else {
                Flavor::Find
            },
            match &order {
                Order::By(sort) => Some(sort),
                Order::Any | Order::Natural { .. } => None,
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
        range: Range::new(arguments.min, arguments.max)?,
        show_record_id: arguments.show_record_id && !arguments.return_key,
        return_key: arguments.return_key,
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
        await_data: false,
        min: Doc::EMPTY,
        max: Doc::EMPTY,
        return_key: false,
        show_record_id: false,
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
            b"awaitData" => arguments.await_data = argument.bool()?,
            b"min" => arguments.min = argument.document()?,
            b"max" => arguments.max = argument.document()?,
            // Unlike its neighbours it takes no numbers.
            b"returnKey" => match element.value() {
                ValueRef::Bool(value) => arguments.return_key = value,
                value => return Err(wrong_type("find.returnKey", &value, "bool")),
            },
            b"showRecordId" => arguments.show_record_id = argument.bool()?,
            // The oplog is none of ours, and there are no shards that could be missing.
            b"oplogReplay" | b"allowPartialResults" => {
                argument.bool()?;
            }
            b"ntoreturn" => negative_limit = true,
            key if arguments.common.take(&argument)? || is_generic(key) => {}
            _ => return Err(unknown_field("find", element.key())),
        }
    }
    if negative_limit {
        return Err(unknown_field("find", "ntoreturn"));
    }
    Ok(arguments)
}
