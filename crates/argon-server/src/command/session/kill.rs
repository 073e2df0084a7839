//! `killSessions`, `killAllSessions`, `killAllSessionsByPattern`: stop what sessions are doing.

use argon_mql::value::Element;
use argon_mql::{Doc, ErrorCode, ValueRef};
use bytes::Bytes;

use super::{digest, identity, items, sessions};
use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{missing_field, unknown_field, wrong_type};
use crate::session::NOBODY;

pub(in crate::command) const KILL_SESSIONS: Command = Command {
    name: "killSessions",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Ends the commands and closes the cursors of sessions: {killSessions: [{id: <UUID>}, ...]}.",
    run: |cx| Box::pin(std::future::ready(kill_sessions(cx))),
};

pub(in crate::command) const KILL_ALL_SESSIONS: Command = Command {
    name: "killAllSessions",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Ends the commands and closes the cursors of all sessions: {killAllSessions: []}.",
    run: |cx| Box::pin(std::future::ready(kill_all_sessions(cx))),
};

pub(in crate::command) const KILL_ALL_SESSIONS_BY_PATTERN: Command = Command {
    name: "killAllSessionsByPattern",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Ends the commands and closes the cursors of the sessions that match a pattern.",
    run: |cx| Box::pin(std::future::ready(kill_by_pattern(cx))),
};

/// Which sessions to kill.
enum Pattern {
    All,
    One(Bytes),
    /// Those of a user that does not exist.
    Nobodys,
}

fn kill_sessions(cx: &Cx<'_>) -> Result<Reply> {
    for session in sessions(cx, "KillSessionsCmd", "killSessions")? {
        kill(cx, &session);
    }
    Ok(Reply::ok())
}

fn kill_all_sessions(cx: &Cx<'_>) -> Result<Reply> {
    const PATH: &str = "KillAllSessionsCmd.killAllSessions";
    let users = items(cx, "KillAllSessionsCmd", "killAllSessions")?;
    // There are no users yet, so the first that is named is one too many.
    if let Some(user) = users.first() {
        let (mut name, mut database) = (None, None);
        for element in user.iter() {
            match &**element.key() {
                b"user" => name = Some(string(&element, PATH)?),
                b"db" => database = Some(string(&element, PATH)?),
                _ => return Err(unknown_field(PATH, element.key())),
            }
        }
        let name = name.ok_or_else(|| missing_field(&format!("{PATH}.user")))?;
        let database = database.ok_or_else(|| missing_field(&format!("{PATH}.db")))?;
        let message = format!("Could not find user \"{name}\" for db \"{database}\"");
        return Err(Error::new(ErrorCode::UserNotFound, message));
    }
    kill_all(cx);
    Ok(Reply::ok())
}

fn kill_by_pattern(cx: &Cx<'_>) -> Result<Reply> {
    let patterns = items(
        cx,
        "KillAllSessionsByPatternCmd",
        "killAllSessionsByPattern",
    )?;
    if patterns.is_empty() {
        kill_all(cx);
    }
    for pattern in patterns {
        match parse(pattern)? {
            Pattern::All => kill_all(cx),
            Pattern::One(session) => kill(cx, &session),
            Pattern::Nobodys => {}
        }
    }
    Ok(Reply::ok())
}

fn parse(pattern: Doc<'_>) -> Result<Pattern> {
    const PATH: &str = "KillAllSessionsByPatternCmd.killAllSessionsByPattern";
    let mut parsed = Pattern::All;
    for element in pattern.iter() {
        match &**element.key() {
            b"lsid" => {
                let path = format!("{PATH}.lsid");
                let value = element.value();
                let session = value
                    .as_document()
                    .ok_or_else(|| wrong_type(&path, &value, "object"))?;
                let whole = identity(session, &path)?;
                if whole.len() == 16 {
                    return Err(missing_field(&format!("{path}.uid")));
                }
                parsed = Pattern::One(whole);
            }
            b"uid" => {
                parsed = if digest(&element, PATH)? == NOBODY {
                    Pattern::All
                } else {
                    Pattern::Nobodys
                };
            }
            b"users" | b"roles" => {
                let value = element.value();
                let list = value.as_array().ok_or_else(|| {
                    wrong_type(&format!("{PATH}.{}", element.key()), &value, "array")
                })?;
                if !list.is_empty() {
                    parsed = Pattern::Nobodys;
                }
            }
            _ => return Err(unknown_field(PATH, element.key())),
        }
    }
    Ok(parsed)
}

fn string(element: &Element<'_>, path: &str) -> Result<String> {
    match element.value() {
        ValueRef::String(text) => Ok(text.to_string()),
        value => Err(wrong_type(
            &format!("{path}.{}", element.key()),
            &value,
            "string",
        )),
    }
}

fn kill_all(cx: &Cx<'_>) {
    for (session, _) in cx.shared.sessions.list() {
        kill(cx, &session);
    }
}

/// Ends what `session` runs, and closes its cursors. A client sends no user, but one who names it means the same session.
fn kill(cx: &Cx<'_>, session: &[u8]) {
    let plain = match session.split_at_checked(16) {
        Some((id, user)) if user == NOBODY => id,
        _ => session,
    };
    cx.shared.operations.kill_session(plain);
    cx.shared.cursors.kill_session(plain);
}
