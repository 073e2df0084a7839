//! `listProjects`.

use argon_mql::{DocBuf, ValueRef};

use crate::command::{Access, Command, Cx, batch, text};
use crate::error::Result;
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field};

pub(in crate::command) const COMMAND: Command = Command {
    name: "listProjects",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Lists all projects.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) && element.key() != "cursor" {
            return Err(unknown_field("listProjects", element.key()));
        }
    }
    let mut documents = Vec::new();
    cx.shared.engine.refresh().await?;
    for name in cx.shared.engine.projects() {
        let branches = cx
            .shared
            .engine
            .branches(&name)
            .map(|branches| branches.len())
            .unwrap_or(0);
        let mut doc = DocBuf::new();
        doc.append("name", text(&name));
        doc.append(
            "branches",
            ValueRef::Int32(i32::try_from(branches).unwrap_or(i32::MAX)),
        );
        documents.push(doc.finish());
    }
    batch::listing(cx, "admin.$cmd.listProjects".to_owned(), documents, None)
}
