//! `connectionStatus`: who is logged in on this connection.

use argon_mql::DocBuf;

use crate::command::{Access, Command, Cx};
use crate::error::Result;
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "connectionStatus",
    aliases: &[],
    access: Access::Anonymous,
    help: "Tells who is logged in on this connection.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.request
        .refuse_unknown("connectionStatus", &["showPrivileges"])?;
    let mut privileges = false;
    for element in cx
        .request
        .arguments()
        .skip(1)
        .filter(|element| !element.value().is_nullish())
    {
        privileges = Argument {
            command: "connectionStatus",
            element,
        }
        .bool()?;
    }
    let mut reply = DocBuf::new();
    let info = reply.open_document("authInfo");
    // Without authentication nobody is logged in, and a client that reads this knows that it may do anything.
    let mut fields = vec!["authenticatedUsers", "authenticatedUserRoles"];
    if privileges {
        fields.push("authenticatedUserPrivileges");
    }
    for field in fields {
        let array = reply.open_array(field);
        reply.close(array);
    }
    reply.close(info);
    Ok(Reply::from(reply))
}
