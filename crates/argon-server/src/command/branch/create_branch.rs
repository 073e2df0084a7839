//! `createBranch`: forks a branch in constant time.

use argon_engine::name::{MAIN, Point};
use argon_engine::{BranchEngine, Lsn};
use argon_mql::ValueRef;

use super::{describe, project};
use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::prefix;
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field, wrong_type};

pub(in crate::command) const COMMAND: Command = Command {
    name: "createBranch",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Forks a branch: {createBranch: <name>, from: <branch>, at: <LSN or date>, engine: <wal or prefix>}.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let name = match cx.request.subject() {
        ValueRef::String(name) => name.to_string(),
        value => return Err(wrong_type("createBranch.createBranch", &value, "string")),
    };
    let mut from = MAIN;
    let mut point = None;
    let mut asked = None;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "createBranch",
            element,
        };
        match &**element.key() {
            b"from" => from = argument.string()?,
            b"at" => {
                point = Some(match element.value() {
                    ValueRef::DateTime(ms) => Point::Instant(ms),
                    _ => Point::Lsn(Lsn(argument.count()?)),
                });
            }
            b"engine" => {
                asked = Some(match argument.string()? {
                    "wal" => BranchEngine::Wal,
                    "prefix" => BranchEngine::Prefix,
                    other => {
                        return Err(Error::bad_value(format!("no engine is called '{other}'")));
                    }
                });
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("createBranch", element.key())),
        }
    }
    let engine = &cx.shared.engine;
    let project = project(cx)?;
    // A database of the upstream becomes a project with its first branch there.
    let adopts = asked == Some(BranchEngine::Prefix) && !engine.has_project(project);
    if adopts {
        cx.shared.upstream()?;
    }
    if adopts || engine.engine_of_fork(project, from, asked).await? == BranchEngine::Prefix {
        if point.is_some() {
            return Err(Error::bad_value(
                "'at' needs a history, and branches of the engine 'prefix' have none",
            ));
        }
        return copied(cx, project, &name, from).await;
    }
    let branch = engine.create_branch(project, &name, from, point).await?;
    let mut reply = Reply::ok();
    let parent = branch.parent().map(|parent| parent.meta.name.clone());
    describe(reply.doc(), &branch, parent.as_deref());
    Ok(reply)
}

/// Makes a branch by copying its parent's collections in the upstream MongoDB.
async fn copied(cx: &Cx<'_>, project: &str, name: &str, from: &str) -> Result<Reply> {
    let (branch, copied) = prefix::create_branch(cx, project, name, from).await?;
    let mut reply = Reply::ok();
    let parent = branch.parent().map(|parent| parent.meta.name.clone());
    let doc = reply.doc();
    describe(doc, &branch, parent.as_deref());
    let open = doc.open_document("copied");
    let number = |count: u64| ValueRef::Int64(i64::try_from(count).unwrap_or(i64::MAX));
    doc.append("collections", number(copied.collections));
    doc.append("documents", number(copied.documents));
    doc.append("atOneTime", ValueRef::Bool(copied.at_one_time));
    doc.close(open);
    Ok(reply)
}
