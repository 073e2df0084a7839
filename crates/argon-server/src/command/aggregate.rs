//! `aggregate`.

use std::sync::Arc;

use argon_engine::exec::{self, Reading, aggregate};
use argon_engine::state::State;
use argon_mql::stage::{Context, Pipeline, Reader, Sink, Source};
use argon_mql::{Doc, DocBuf, ErrorCode, Value, ValueRef};
use bytes::Bytes;

use super::query::{self, Common};
use super::system_source::SystemReader;
use super::write::{self, implicit_options, new_id};
use super::{Access, Command, Cx, batch};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "aggregate",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Runs a pipeline over a collection.",
    run: |cx| Box::pin(run(cx)),
};

/// Most bytes that one pipeline writes: they are one record, and in memory until it is made.
const SINK_BYTES_MAX: usize = 1 << 30;

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = match cx.request.subject() {
        ValueRef::String(_) => cx.request.collection()?,
        ValueRef::Int32(1) | ValueRef::Int64(1) => "$cmd.aggregate",
        ValueRef::Double(1.0) => "$cmd.aggregate",
        value => return Err(wrong_type("aggregate.aggregate", &value, "string")),
    };
    let state = query::state(cx).await?;
    let mut stages = None;
    let mut batch_size = None;
    let mut cursor = None;
    let mut hint = ValueRef::Missing;
    let mut allow_disk_use = true;
    let mut explain = false;
    let mut bypass = false;
    let mut common = Common::default();
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "aggregate",
            element,
        };
        match &**element.key() {
            b"pipeline" => stages = Some(argument.array()?),
            b"cursor" => {
                batch_size = batch::size_of(argument.document()?, "aggregate.cursor")?;
                cursor = Some(());
            }
            b"hint" => hint = element.value(),
            b"allowDiskUse" => allow_disk_use = argument.bool()?,
            b"explain" => explain = argument.bool()?,
            b"bypassDocumentValidation" => bypass = argument.bool()?,
            b"fromMongos" | b"needsMerge" | b"isMapReduceCommand" => {
                argument.bool()?;
            }
            _ if common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("aggregate", element.key())),
        }
    }
    let stages = stages.ok_or_else(|| missing_field("aggregate.pipeline"))?;
    if explain {
        return super::explain::aggregate(cx).await;
    }
    if cursor.is_none() {
        return Err(Error::failed_to_parse(
            "The 'cursor' option is required, except for aggregate with the explain argument",
        ));
    }
    let (variables, parse) = query::variables(cx, &common, state.collection(collection))?;
    let mut pipeline = Pipeline::parse(stages, &parse)?;
    let named = (collection != "$cmd.aggregate").then_some(collection);
    pipeline.check_namespace(&cx.request.database, named)?;
    let resolved = exec::resolve(&state, collection)?;
    if !resolved.stages.is_empty() {
        let below = resolved
            .stages
            .iter()
            .map(|stage| ValueRef::Document(Doc::new(stage)));
        let whole = DocBuf::array(below.chain(stages.values()));
        pipeline = Pipeline::parse(Doc::new(&whole), &parse)?;
    }
    let target = resolved.collection;
    let heavy = query::is_heavy(target.as_ref(), None);
    let namespace = format!("{}.{collection}", cx.request.database);
    let system = pipeline.system_source();
    // What the server tells stands in the place of the collection's documents.
    let read = target.as_ref().filter(|_| system.is_none());
    let source = aggregate(read, &pipeline, query::hint(hint)?.as_ref())?;
    if let Some(sink) = pipeline.sink() {
        if let (Some(database), _) = sink.target()
            && let Some(passthrough) = &cx.shared.passthrough
            && database != cx.request.database
        {
            let from = &cx.request.database;
            passthrough.check_in_log(cx.shared, from, database).await?;
        }
        let documents = drain(cx, source, &state, &variables, allow_disk_use)?;
        write(cx, sink, &documents, &variables, bypass).await?;
        return Ok(batch::empty(&namespace));
    }
    let reading = Reading::new(state);
    let reader: Box<dyn Reader + Send> = match system {
        Some(system) => Box::new(SystemReader::new(
            cx,
            system,
            &namespace,
            target.as_ref(),
            reading,
        )?),
        None => Box::new(reading),
    };
    batch::first(
        cx,
        batch::Opened {
            namespace,
            source,
            reader,
            batch_size,
            single_batch: false,
            no_timeout: false,
            allow_disk_use,
            variables,
            heavy,
            tailing: None,
            layout: batch::Layout::BatchFirst,
        },
    )
}

/// Everything that the pipeline gives, before it is written.
fn drain(
    cx: &Cx<'_>,
    mut source: Box<dyn Source>,
    state: &Arc<State>,
    variables: &[(String, Value)],
    allow_disk_use: bool,
) -> Result<Vec<Bytes>> {
    let check = || cx.operation.check();
    let env = cx.env(variables.to_vec(), &check);
    let reader = Reading::new(Arc::clone(state));
    let context = Context {
        env: &env,
        reader: &reader,
        spill: cx.spill(allow_disk_use),
    };
    let mut documents = Vec::new();
    let mut bytes = 0;
    tokio::task::block_in_place(|| {
        while let Some(document) = source.next(&context)? {
            bytes += document.len();
            if bytes > SINK_BYTES_MAX {
                return Err(Error::new(
                    ErrorCode::ExceededMemoryLimit,
                    format!("$out and $merge write at most {SINK_BYTES_MAX} bytes at a time"),
                ));
            }
            documents.push(document);
        }
        Ok(documents)
    })
}

/// Writes the documents where the pipeline's last stage says, as one record.
async fn write(
    cx: &Cx<'_>,
    sink: &Sink,
    documents: &[Bytes],
    variables: &[(String, Value)],
    bypass: bool,
) -> Result<()> {
    let (database, collection) = sink.target();
    let database = database.unwrap_or(&cx.request.database);
    super::insert::check_writable(collection)?;
    if collection.contains('$') {
        return Err(Error::new(
            ErrorCode::IllegalOperation,
            format!("error with target namespace: Invalid collection name: {collection}"),
        ));
    }
    let branch = cx.shared.engine.database_for_write(database).await?;
    let written = write::write(cx, &branch, |writer| {
        writer.bypass_validation = bypass;
        let check = || cx.operation.check();
        let env = cx.env(variables.to_vec(), &check);
        tokio::task::block_in_place(|| match sink {
            Sink::Out { collection, .. } => {
                exec::out(writer, collection, documents, &new_id, &implicit_options)
            }
            Sink::Merge(merge) => {
                exec::merge(writer, merge, documents, &env, &new_id, &implicit_options)
            }
        })?;
        Ok(())
    });
    written.await.map_err(|mut error| {
        error
            .message
            .insert_str(0, "PlanExecutor error during aggregation :: caused by :: ");
        error
    })
}
