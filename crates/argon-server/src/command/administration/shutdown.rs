//! `shutdown`: stops the server as SIGTERM does.

use argon_mql::ErrorCode;

use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "shutdown",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Stops the server; only from its own machine.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.request
        .refuse_unknown("shutdown", &["force", "timeoutSecs"])?;
    for element in cx.request.arguments().skip(1) {
        // Neither changes anything: there are no secondaries to wait for, and commands get their time in any case.
        let argument = Argument {
            command: "shutdown",
            element,
        };
        match &**element.key() {
            b"force" => argument.bool().map(|_| ())?,
            _ => argument.integer().map(|_| ())?,
        }
    }
    if !cx.connection.peer.ip().to_canonical().is_loopback() {
        let message = "shutdown must run from localhost when running db without auth";
        return Err(Error::new(ErrorCode::Unauthorized, message));
    }
    tracing::info!(peer = %cx.connection.peer, "asked to shut down");
    cx.shared.asked_to_stop.notify_one();
    Ok(Reply::ok())
}
