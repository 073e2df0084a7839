//! `createProject`: makes a project with an empty main branch. Writing to its database does the same.

use argon_engine::IfExists;

use super::{describe, project};
use crate::command::{Access, Command, Cx};
use crate::error::Result;
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field};

pub(in crate::command) const COMMAND: Command = Command {
    name: "createProject",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Makes the database a project with an empty main branch: {createProject: 1}.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) {
            return Err(unknown_field("createProject", element.key()));
        }
    }
    let engine = &cx.shared.engine;
    let branch = engine
        .create_project(project(cx)?, IfExists::Refuse)
        .await?;
    let mut reply = Reply::ok();
    describe(reply.doc(), &branch, None);
    Ok(reply)
}
