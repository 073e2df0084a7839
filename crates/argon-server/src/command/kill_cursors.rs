//! `killCursors`.

use argon_mql::ValueRef;

use super::{Access, Command, Cx};
use crate::error::Result;
use crate::reply::Reply;
use crate::request::{Argument, is_generic, missing_field, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "killCursors",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Drops cursors.",
    run: |cx| Box::pin(run(cx)),
};

#[expect(
    clippy::unused_async,
    reason = "the table's functions are asynchronous"
)]
async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let namespace = format!("{}.{}", cx.request.database, cx.request.collection()?);
    let mut ids = None;
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"cursors" => {
                ids = Some(
                    Argument {
                        command: "killCursors",
                        element,
                    }
                    .array()?,
                )
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("killCursors", element.key())),
        }
    }
    let ids = ids.ok_or_else(|| missing_field("killCursors.cursors"))?;
    let (mut killed, mut missing) = (Vec::new(), Vec::new());
    for (at, id) in ids.values().enumerate() {
        match id {
            ValueRef::Int64(id) if cx.shared.cursors.kill(id, Some(&namespace)) => killed.push(id),
            ValueRef::Int64(id) => missing.push(id),
            value => {
                return Err(wrong_type(
                    &format!("killCursors.cursors.{at}"),
                    &value,
                    "long",
                ));
            }
        }
    }
    let mut reply = Reply::ok();
    for (name, ids) in [
        ("cursorsKilled", &killed),
        ("cursorsNotFound", &missing),
        ("cursorsAlive", &Vec::new()),
        ("cursorsUnknown", &Vec::new()),
    ] {
        let array = reply.doc().open_array(name);
        for (at, id) in ids.iter().enumerate() {
            reply.doc().push(at, ValueRef::Int64(*id));
        }
        reply.doc().close(array);
    }
    Ok(reply)
}
