//! `renameCollection`.

use argon_mql::{ErrorCode, ValueRef};
use bytes::Bytes;

use super::{Access, Command, Cx, create, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "renameCollection",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Gives a collection another name in its database.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let from = match cx.request.subject() {
        ValueRef::String(name) => name.to_string(),
        value => {
            return Err(wrong_type(
                "renameCollection.renameCollection",
                &value,
                "string",
            ));
        }
    };
    let mut to = None;
    let mut drop_target = false;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "renameCollection",
            element,
        };
        match &**element.key() {
            b"to" => to = Some(argument.string()?),
            // A collection's UUID may stand for true: only that target may be dropped. mongos takes booleans.
            b"dropTarget" => drop_target = argument.bool()?,
            b"stayTemp" => {
                argument.bool()?;
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("renameCollection", element.key())),
        }
    }
    let to = to.ok_or_else(|| missing_field("renameCollection.to"))?;
    let (database, source) = split(&from)?;
    let (target_database, target) = split(to)?;
    if database != target_database {
        return Err(Error::new(
            ErrorCode::CommandFailed,
            "Source and destination collections must be on the same database.",
        ));
    }
    if source == target {
        return Err(Error::new(
            ErrorCode::IllegalOperation,
            "Can't rename a collection to itself",
        ));
    }
    for (what, name) in [("source", source), ("target", target)] {
        create::check_name(database, name).map_err(|error| {
            Error::new(
                ErrorCode::IllegalOperation,
                format!("error with {what} namespace: {}", error.message),
            )
        })?;
    }
    if cx.shared.engine.database(database).await?.is_none() {
        return Err(Error::new(
            ErrorCode::NamespaceNotFound,
            format!("Source collection {from} does not exist"),
        ));
    }
    let branch = cx.shared.engine.database_for_write(database).await?;
    write::write(cx, &branch, |writer| {
        let Some(found) = writer.collection(source) else {
            return Err(Error::new(
                ErrorCode::NamespaceNotFound,
                format!("Source collection {from} does not exist"),
            ));
        };
        if found.options.view.is_some() {
            return Err(Error::new(
                ErrorCode::CommandNotSupportedOnView,
                format!("cannot rename view: {from}"),
            ));
        }
        writer.rename_collection(source, target, drop_target)?;
        Ok(Bytes::new())
    })
    .await?;
    Ok(Reply::ok())
}

fn split(namespace: &str) -> Result<(&str, &str)> {
    if namespace.contains('\0') {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            "namespaces cannot have embedded null characters",
        ));
    }
    namespace
        .split_once('.')
        .filter(|(database, collection)| !database.is_empty() && !collection.is_empty())
        .ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidNamespace,
                format!("Invalid namespace specified '{namespace}'"),
            )
        })
}
