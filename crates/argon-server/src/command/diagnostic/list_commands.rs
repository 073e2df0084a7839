//! `listCommands`: the table of commands, as it is.

use argon_mql::{DocBuf, ValueRef};

use crate::command::{ALL, Access, Command, is_in_stable_api, text};
use crate::reply::Reply;

pub(in crate::command) const COMMAND: Command = Command {
    name: "listCommands",
    aliases: &[],
    access: Access::Anonymous,
    help: "Lists the commands.",
    run: |_| Box::pin(std::future::ready(Ok(run()))),
};

fn run() -> Reply {
    let mut reply = DocBuf::with_capacity(16 * 1024);
    let commands = reply.open_document("commands");
    for command in ALL.iter() {
        let row = reply.open_document(command.name);
        reply.append("help", text(command.help));
        reply.append(
            "requiresAuth",
            ValueRef::Bool(command.access != Access::Anonymous),
        );
        // A mongos has no secondaries; every answer is as fresh as the primary's.
        reply.append("secondaryOk", ValueRef::Bool(true));
        reply.append(
            "adminOnly",
            ValueRef::Bool(command.access == Access::AdminDatabase),
        );
        let versions = reply.open_array("apiVersions");
        if is_in_stable_api(command.name) {
            reply.push(0, text("1"));
        }
        reply.close(versions);
        let deprecated = reply.open_array("deprecatedApiVersions");
        reply.close(deprecated);
        reply.close(row);
    }
    reply.close(commands);
    Reply::from(reply)
}
