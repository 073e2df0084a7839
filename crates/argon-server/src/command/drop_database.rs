//! `dropDatabase`: removes every collection of a branch. The branch and its history stay.

use argon_mql::ValueRef;

use super::{Access, Command, Cx, write};
use crate::error::Result;
use crate::prefix;
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "dropDatabase",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Removes every collection of the database; its branches and its history stay.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) {
            return Err(unknown_field("dropDatabase", element.key()));
        }
    }
    if !matches!(
        cx.request.subject(),
        ValueRef::Int32(1) | ValueRef::Int64(1) | ValueRef::Double(1.0)
    ) {
        return Err(crate::error::Error::location(
            5_255_100,
            "Have to pass 1 as 'dropDatabase' parameter",
        ));
    }
    if let Some(names) = prefix::names(cx.shared, &cx.request.database).await? {
        prefix::drop_database(cx.shared.upstream()?, &names).await?;
        return Ok(Reply::ok());
    }
    if cx
        .shared
        .engine
        .database(&cx.request.database)
        .await?
        .is_some()
    {
        let branch = write::branch(cx).await?;
        write::write(cx, &branch, |writer| Ok(writer.drop_database()?)).await?;
    }
    Ok(Reply::ok())
}
