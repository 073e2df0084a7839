//! `aggregate`.

use argon_engine::exec::{Reading, aggregate};
use argon_mql::stage::Pipeline;
use argon_mql::{ErrorCode, ValueRef};

use super::query::{self, Common};
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
            b"explain" => {
                argument.bool()?;
            }
            b"bypassDocumentValidation" | b"fromMongos" | b"needsMerge" | b"isMapReduceCommand" => {
                argument.bool()?;
            }
            _ if common.take(&argument)? => {}
            key if is_generic(key) => {}
            _ => return Err(unknown_field("aggregate", element.key())),
        }
    }
    let stages = stages.ok_or_else(|| missing_field("aggregate.pipeline"))?;
    if cursor.is_none() {
        return Err(Error::failed_to_parse(
            "The 'cursor' option is required, except for aggregate with the explain argument",
        ));
    }
    let (variables, parse) = query::variables(cx, &common)?;
    let pipeline = Pipeline::parse(stages, &parse)?;
    if let Some(sink) = pipeline.sink() {
        return Err(Error::new(
            ErrorCode::CommandNotSupported,
            format!("{} is not supported yet", sink.name()),
        ));
    }
    let target = state.collection(collection).cloned();
    let heavy = query::is_heavy(target.as_ref(), &None);
    let source = aggregate(target.as_ref(), &pipeline, query::hint(hint)?.as_ref())?;
    batch::first(
        cx,
        batch::Opened {
            namespace: format!("{}.{collection}", cx.request.database),
            source,
            reader: Box::new(Reading::new(state)),
            batch_size,
            single_batch: false,
            no_timeout: false,
            allow_disk_use,
            variables,
            heavy,
        },
    )
}
