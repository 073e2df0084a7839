//! `dropBranch`.

use argon_engine::BranchEngine;
use argon_mql::ValueRef;

use super::project;
use crate::command::{Access, Command, Cx, text};
use crate::error::Result;
use crate::prefix;
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field, wrong_type};

pub(in crate::command) const COMMAND: Command = Command {
    name: "dropBranch",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Drops a branch that has no branches of its own: {dropBranch: <name>}.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let name = match cx.request.subject() {
        ValueRef::String(name) => name.to_string(),
        value => return Err(wrong_type("dropBranch.dropBranch", &value, "string")),
    };
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) {
            return Err(unknown_field("dropBranch", element.key()));
        }
    }
    let project = project(cx)?;
    let engine = &cx.shared.engine;
    engine.refresh().await?;
    match engine.branch(project, &name)? {
        branch if branch.meta.engine == BranchEngine::Prefix => {
            prefix::drop_branch(cx, branch).await?;
        }
        _ => engine.drop_branch(project, &name).await?,
    }
    Ok(Reply::ok().with("dropped", text(&name)))
}
