//! Logging in and out, and asking for users. There are no users yet, so nobody can log in, and everybody is let in.
//!
//! Source: MongoDB manual, "Authentication Commands"; what mongod 6.0.5 answers without a user.

use argon_mql::{DocBuf, ErrorCode};

use super::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, missing_field};

pub(super) const AUTHENTICATE: Command = Command {
    name: "authenticate",
    aliases: &[],
    access: Access::Anonymous,
    help: "Logs in with a certificate.",
    run: |cx| Box::pin(std::future::ready(authenticate(cx))),
};

pub(super) const GET_NONCE: Command = Command {
    name: "getnonce",
    aliases: &[],
    access: Access::Anonymous,
    help: "Gives a number for a way of logging in that is no more.",
    run: |_| {
        Box::pin(async {
            let nonce = format!("{:016x}", rand::random::<u64>());
            Ok(Reply::ok().with("nonce", text(&nonce)))
        })
    },
};

pub(super) const LOGOUT: Command = Command {
    name: "logout",
    aliases: &[],
    access: Access::Anonymous,
    help: "Logs out of the database.",
    run: |_| Box::pin(async { Ok(Reply::ok()) }),
};

pub(super) const ROLES_INFO: Command = Command {
    name: "rolesInfo",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Lists roles: there are none.",
    run: |cx| Box::pin(std::future::ready(roles(cx))),
};

pub(super) const SASL_CONTINUE: Command = Command {
    name: "saslContinue",
    aliases: &[],
    access: Access::Anonymous,
    help: "Goes on with logging in.",
    run: |cx| Box::pin(std::future::ready(sasl_continue(cx))),
};

pub(super) const SASL_START: Command = Command {
    name: "saslStart",
    aliases: &[],
    access: Access::Anonymous,
    help: "Begins to log in.",
    run: |cx| Box::pin(std::future::ready(sasl_start(cx))),
};

pub(super) const USERS_INFO: Command = Command {
    name: "usersInfo",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Lists users: there are none.",
    run: |cx| Box::pin(std::future::ready(users(cx))),
};

/// Mechanisms whose exchange would begin if there were a user to log in.
const MECHANISMS: &[&str] = &["SCRAM-SHA-1", "SCRAM-SHA-256"];

fn required<'a>(cx: &'a Cx<'_>, command: &'static str, field: &str) -> Result<Argument<'a>> {
    let element = cx.request.doc().element(field.as_bytes());
    let element = element.ok_or_else(|| missing_field(&format!("{command}.{field}")))?;
    Ok(Argument { command, element })
}

fn authenticate(cx: &Cx<'_>) -> Result<Reply> {
    let mechanism = required(cx, "authenticate", "mechanism")?.string()?;
    cx.request
        .refuse_unknown("authenticate", &["mechanism", "user", "db"])?;
    if mechanism != "MONGODB-X509" {
        return Err(unavailable(mechanism));
    }
    Err(Error::new(
        ErrorCode::AuthenticationFailed,
        "No verified subject name available from client",
    ))
}

fn sasl_start(cx: &Cx<'_>) -> Result<Reply> {
    let mechanism = required(cx, "saslStart", "mechanism")?.string()?;
    required(cx, "saslStart", "payload")?;
    if !MECHANISMS.contains(&mechanism) {
        return Err(unavailable(mechanism));
    }
    tracing::info!(peer = %cx.connection.peer, mechanism, "log-in refused: there are no users");
    Err(Error::new(
        ErrorCode::AuthenticationFailed,
        "Authentication failed.",
    ))
}

fn sasl_continue(cx: &Cx<'_>) -> Result<Reply> {
    required(cx, "saslContinue", "conversationId")?.integer()?;
    required(cx, "saslContinue", "payload")?;
    Err(Error::new(
        ErrorCode::ProtocolError,
        "No SASL session state found",
    ))
}

fn unavailable(mechanism: &str) -> Error {
    Error::new(
        ErrorCode::MechanismUnavailable,
        format!("Received authentication for mechanism {mechanism} which is not enabled"),
    )
}

fn users(cx: &Cx<'_>) -> Result<Reply> {
    const DETAILS: &[&str] = &["showPrivileges", "showAuthenticationRestrictions"];
    const KNOWN: &[&str] = &[
        "showPrivileges",
        "showAuthenticationRestrictions",
        "showCredentials",
        "showCustomData",
        "filter",
    ];
    cx.request.refuse_unknown("usersInfo", KNOWN)?;
    let mut details = false;
    for element in cx
        .request
        .arguments()
        .skip(1)
        .filter(|element| element.key() != "filter")
    {
        let asked = (Argument {
            command: "usersInfo",
            element,
        })
        .bool()?;
        details |= asked && DETAILS.iter().any(|name| element.key() == *name);
    }
    if details && cx.request.subject().is_number() {
        return Err(Error::new(
            ErrorCode::IllegalOperation,
            "Privilege or restriction details require exact-match usersInfo queries",
        ));
    }
    Ok(nothing("users"))
}

fn roles(cx: &Cx<'_>) -> Result<Reply> {
    const KNOWN: &[&str] = &[
        "showPrivileges",
        "showAuthenticationRestrictions",
        "showBuiltinRoles",
    ];
    cx.request.refuse_unknown("rolesInfo", KNOWN)?;
    Ok(nothing("roles"))
}

fn nothing(list: &str) -> Reply {
    let mut reply = DocBuf::new();
    let array = reply.open_array(list);
    reply.close(array);
    Reply::from(reply)
}
