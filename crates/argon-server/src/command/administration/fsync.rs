//! `fsync`: everything acknowledged is on disk when it answers.

use argon_mql::ValueRef;

use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "fsync",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Waits until everything acknowledged is on disk.",
    run: |cx| Box::pin(run(cx)),
};

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    for element in cx.request.arguments().skip(1) {
        if element.key() == "lock"
            && (Argument {
                command: "fsync",
                element,
            })
            .bool()?
        {
            // A mongos refuses this too. A branch is what the lock is wanted for: a copy that stands still.
            return Err(Error::uncoded("can't do lock through mongos"));
        }
    }
    // What a relaxed durability leaves to the operating system, it has put on disk after this long.
    tokio::time::sleep(cx.shared.config.durable_within).await;
    Ok(Reply::ok().with("numFiles", ValueRef::Int32(1)))
}
