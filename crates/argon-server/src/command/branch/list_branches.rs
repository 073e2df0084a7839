//! `listBranches`.

use argon_engine::BranchEngine;
use argon_mql::{DocBuf, ValueRef};

use super::{describe, project};
use crate::command::{Access, Command, Cx, batch, text};
use crate::error::Result;
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field};

pub(in crate::command) const COMMAND: Command = Command {
    name: "listBranches",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Lists the project's branches.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) && element.key() != "cursor" {
            return Err(unknown_field("listBranches", element.key()));
        }
    }
    cx.shared.engine.refresh().await?;
    let branches = cx.shared.engine.branches(project(cx)?)?;
    let mut documents = Vec::with_capacity(branches.len());
    for info in &branches {
        let mut doc = DocBuf::new();
        describe(&mut doc, &info.branch, info.parent.as_deref());
        if info.branch.meta.engine == BranchEngine::Wal {
            let head = cx.shared.engine.head(&info.branch).await?;
            doc.append("headLsn", ValueRef::Int64(head.0.cast_signed()));
        } else if let Some(job) = cx.shared.prefix_jobs.find(info.branch.id()) {
            doc.append("status", text(job.kind.doing()));
            let (done, total) = job.progress.now();
            let progress = doc.open_document("progress");
            doc.append("done", ValueRef::Int64(done));
            doc.append("total", ValueRef::Int64(total));
            doc.close(progress);
        }
        documents.push(doc.finish());
    }
    let namespace = format!("{}.$cmd.listBranches", cx.request.database);
    batch::listing(cx, namespace, documents, None)
}
