//! `startSession`, `refreshSessions`, `endSessions`: a session's life.

use argon_mql::{DocBuf, ValueRef};
use bytes::Bytes;

use super::sessions;
use crate::command::{Access, Command, Cx};
use crate::error::Result;
use crate::reply::Reply;
use crate::session::TIMEOUT_MINUTES;

pub(in crate::command) const START_SESSION: Command = Command {
    name: "startSession",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Starts a logical session and tells its identity.",
    run: |cx| Box::pin(std::future::ready(Ok(start(cx)))),
};

pub(in crate::command) const REFRESH_SESSIONS: Command = Command {
    name: "refreshSessions",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Keeps sessions alive: {refreshSessions: [{id: <UUID>}, ...]}.",
    run: |cx| Box::pin(std::future::ready(refresh(cx))),
};

pub(in crate::command) const END_SESSIONS: Command = Command {
    name: "endSessions",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Ends sessions and closes their cursors: {endSessions: [{id: <UUID>}, ...]}.",
    run: |cx| Box::pin(std::future::ready(end(cx))),
};

fn start(cx: &Cx<'_>) -> Reply {
    let id = uuid::Uuid::new_v4();
    cx.shared
        .sessions
        .touch(&Bytes::copy_from_slice(id.as_bytes()));
    let mut reply = DocBuf::new();
    let session = reply.open_document("id");
    reply.append(
        "id",
        ValueRef::Binary {
            subtype: 4,
            bytes: id.as_bytes(),
        },
    );
    reply.close(session);
    reply.append("timeoutMinutes", ValueRef::Int32(TIMEOUT_MINUTES));
    Reply::from(reply)
}

fn refresh(cx: &Cx<'_>) -> Result<Reply> {
    for session in sessions(cx, "refreshSessions", "refreshSessionsFromClient")? {
        cx.shared.sessions.touch(&session);
    }
    Ok(Reply::ok())
}

fn end(cx: &Cx<'_>) -> Result<Reply> {
    for session in sessions(cx, "endSessions", "endSessionsFromClient")? {
        cx.shared.sessions.end(&session);
        cx.shared.cursors.kill_session(&session);
    }
    Ok(Reply::ok())
}
