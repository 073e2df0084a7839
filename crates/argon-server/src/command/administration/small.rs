//! Administration commands of one line each.

use argon_mql::{DocBuf, ErrorCode, ValueRef};

use crate::command::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::server::now_ms;

pub(in crate::command) const GET_DEFAULT_RW_CONCERN: Command = Command {
    name: "getDefaultRWConcern",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Shows the read and write concern of commands that name none.",
    run: |cx| Box::pin(std::future::ready(default_concerns(cx))),
};

pub(in crate::command) const INVALIDATE_USER_CACHE: Command = Command {
    name: "invalidateUserCache",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Forgets cached users: there are none.",
    run: |_| Box::pin(async { Ok(Reply::ok()) }),
};

pub(in crate::command) const LOG_ROTATE: Command = Command {
    name: "logRotate",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Begins a new log file; the log goes to standard error, so there is none.",
    run: |cx| Box::pin(std::future::ready(log_rotate(cx))),
};

fn default_concerns(cx: &Cx<'_>) -> Result<Reply> {
    cx.request
        .refuse_unknown("getDefaultRWConcern", &["inMemory"])?;
    let mut reply = DocBuf::new();
    let read = reply.open_document("defaultReadConcern");
    reply.append("level", text("local"));
    reply.close(read);
    let write = reply.open_document("defaultWriteConcern");
    reply.append("w", text("majority"));
    reply.append("wtimeout", ValueRef::Int32(0));
    reply.close(write);
    reply.append("defaultReadConcernSource", text("implicit"));
    reply.append("defaultWriteConcernSource", text("implicit"));
    reply.append("localUpdateWallClockTime", ValueRef::DateTime(now_ms()));
    Ok(Reply::from(reply))
}

fn log_rotate(cx: &Cx<'_>) -> Result<Reply> {
    cx.request.refuse_unknown("logRotate", &[])?;
    match cx.request.subject() {
        ValueRef::String(log) if log != "server" => Err(Error::new(
            ErrorCode::NoSuchKey,
            "Log rotation failed due to one or more errors",
        )),
        _ => Ok(Reply::ok()),
    }
}
