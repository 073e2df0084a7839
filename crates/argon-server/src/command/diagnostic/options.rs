//! `getCmdLineOpts`: how the server was started.

use argon_mql::{DocBuf, ValueRef};

use crate::command::{Access, Command, Cx, text};
use crate::error::Result;
use crate::reply::Reply;

pub(in crate::command) const COMMAND: Command = Command {
    name: "getCmdLineOpts",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Shows how the server was started.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.request.refuse_unknown("getCmdLineOpts", &[])?;
    let mut reply = DocBuf::new();
    let argv = reply.open_array("argv");
    for (at, argument) in cx.shared.config.arguments.iter().enumerate() {
        reply.push(at, text(argument));
    }
    reply.close(argv);
    let parsed = reply.open_document("parsed");
    let net = reply.open_document("net");
    reply.append("bindIp", text(&cx.shared.address.ip().to_string()));
    reply.append("port", ValueRef::Int32(cx.shared.address.port().into()));
    reply.append(
        "maxIncomingConnections",
        ValueRef::Int32(i32::try_from(cx.shared.config.connections_max).unwrap_or(i32::MAX)),
    );
    reply.close(net);
    reply.close(parsed);
    Ok(Reply::from(reply))
}
