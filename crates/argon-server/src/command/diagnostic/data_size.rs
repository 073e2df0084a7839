//! `dataSize`: bytes and number of the documents of one collection, named by its namespace.

use argon_engine::state::State;
use argon_mql::{ErrorCode, ValueRef};

use crate::command::coll_stats::number;
use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "dataSize",
    aliases: &["datasize"],
    access: Access::LoggedIn,
    help: "Counts the documents of a collection and their bytes: {dataSize: '<database>.<collection>'}.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let namespace = match cx.request.subject() {
        ValueRef::String(namespace) => namespace.to_string(),
        value => {
            let message = format!("collection name has invalid type {}", value.type_name());
            return Err(Error::bad_value(message));
        }
    };
    let named = namespace.split_once('.').filter(|(database, name)| {
        !database.is_empty() && !name.is_empty() && !name.starts_with('.')
    });
    let Some((database, name)) = named else {
        let message = format!("Invalid namespace specified '{namespace}'");
        return Err(Error::new(ErrorCode::InvalidNamespace, message));
    };
    let mut estimate = false;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "dataSize",
            element,
        };
        match &**element.key() {
            b"estimate" => estimate = argument.bool()?,
            b"keyPattern" | b"min" | b"max" => {
                let message = format!("dataSize: {} is not supported", element.key());
                return Err(Error::new(ErrorCode::CommandNotSupported, message));
            }
            _ => {}
        }
    }
    let state = match cx.shared.engine.database(database).await? {
        Some(database) => cx.shared.engine.read(&database).await?,
        None => State::empty().into(),
    };
    let mut reply = Reply::ok();
    let (bytes, count) = match state.collection(name) {
        Some(collection) => {
            reply.doc().append("estimate", ValueRef::Bool(estimate));
            (collection.bytes(), collection.len() as u64)
        }
        None => (0, 0),
    };
    // Both are kept as documents come and go: there is nothing to wait for.
    Ok(reply
        .with("size", number(bytes))
        .with("numObjects", number(count))
        .with("millis", ValueRef::Int32(0)))
}
