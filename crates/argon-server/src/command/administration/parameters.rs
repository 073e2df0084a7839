//! `getParameter` and `setParameter`.

use std::sync::atomic::Ordering;

use argon_mql::catalogue::Entry;
use argon_mql::spill::STAGE_BYTES_MAX;
use argon_mql::{DocBuf, ValueRef};

use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, unknown_field, whole};
use crate::session::{SESSIONS_MAX, TIMEOUT_MINUTES};

pub(in crate::command) const GET_PARAMETER: Command = Command {
    name: "getParameter",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Shows parameters: {getParameter: 1, <name>: 1}, or {getParameter: '*'} for all.",
    run: |cx| Box::pin(std::future::ready(get(cx))),
};

pub(in crate::command) const SET_PARAMETER: Command = Command {
    name: "setParameter",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Changes a parameter; cursorTimeoutMillis and ttlMonitorSleepSecs can be changed while the server runs.",
    run: |cx| Box::pin(std::future::ready(set(cx))),
};

/// How long an unused cursor is kept.
const CURSOR_TIMEOUT: &str = "cursorTimeoutMillis";

/// How often documents are looked for that have expired.
const TTL_SECONDS: &str = "ttlMonitorSleepSecs";

type Show = fn(&Cx<'_>, &str, &mut DocBuf);

/// MongoDB's parameters that mean something here, by name: what tools ask for, and limits that Argon has as well.
const PARAMETERS: &[(&str, Show)] = &[
    ("authSchemaVersion", |_, name, out| {
        out.append(name, ValueRef::Int32(5))
    }),
    ("authenticationMechanisms", |_, name, out| {
        let none = out.open_array(name);
        out.close(none);
    }),
    (CURSOR_TIMEOUT, |cx, name, out| {
        let ms = cx.shared.cursor_timeout_ms.load(Ordering::Relaxed);
        out.append(name, ValueRef::Int64(ms));
    }),
    ("enableTestCommands", |cx, name, out| {
        out.append(name, ValueRef::Bool(cx.shared.config.test_commands));
    }),
    ("featureCompatibilityVersion", |_, name, out| {
        let version = out.open_document(name);
        out.append("version", ValueRef::String("6.0".into()));
        out.close(version);
    }),
    (
        "internalQueryMaxBlockingSortMemoryUsageBytes",
        |_, name, out| {
            let bytes = i32::try_from(STAGE_BYTES_MAX).unwrap_or(i32::MAX);
            out.append(name, ValueRef::Int32(bytes));
        },
    ),
    ("localLogicalSessionTimeoutMinutes", |_, name, out| {
        out.append(name, ValueRef::Int32(TIMEOUT_MINUTES));
    }),
    ("logLevel", |_, name, out| {
        out.append(name, ValueRef::Int32(0))
    }),
    ("maxSessions", |_, name, out| {
        out.append(
            name,
            ValueRef::Int32(i32::try_from(SESSIONS_MAX).unwrap_or(i32::MAX)),
        );
    }),
    ("quiet", |_, name, out| {
        out.append(name, ValueRef::Bool(false))
    }),
    ("requireApiVersion", |_, name, out| {
        out.append(name, ValueRef::Bool(false))
    }),
    ("sslMode", |_, name, out| {
        out.append(name, ValueRef::String("disabled".into()))
    }),
    ("tlsMode", |_, name, out| {
        out.append(name, ValueRef::String("disabled".into()))
    }),
    (TTL_SECONDS, |cx, name, out| {
        let seconds = cx.shared.ttl_seconds.load(Ordering::Relaxed);
        out.append(
            name,
            ValueRef::Int32(i32::try_from(seconds).unwrap_or(i32::MAX)),
        );
    }),
];

/// The parameters that `getParameter` shows.
pub fn entries() -> impl Iterator<Item = Entry> {
    PARAMETERS.iter().map(|(name, _)| Entry {
        name,
        refused: None,
    })
}

fn get(cx: &Cx<'_>) -> Result<Reply> {
    let (mut all, mut details) = (false, false);
    match cx.request.subject() {
        ValueRef::String(name) if name == "*" => all = true,
        ValueRef::Document(options) => {
            for element in options.iter() {
                let argument = Argument {
                    command: "getParameter",
                    element,
                };
                match &**element.key() {
                    b"allParameters" => all = argument.bool()?,
                    b"showDetails" => details = argument.bool()?,
                    _ => return Err(unknown_field("getParameter", element.key())),
                }
            }
        }
        _ => {}
    }
    let mut found = DocBuf::new();
    let asked = |name: &str| {
        cx.request
            .arguments()
            .skip(1)
            .any(|element| element.key() == name)
    };
    let mut any = false;
    for (name, show) in PARAMETERS.iter().filter(|(name, _)| all || asked(name)) {
        any = true;
        if details {
            let row = found.open_document(name);
            show(cx, "value", &mut found);
            let settable = matches!(*name, CURSOR_TIMEOUT | TTL_SECONDS);
            found.append("settableAtRuntime", ValueRef::Bool(settable));
            found.append("settableAtStartup", ValueRef::Bool(false));
            found.close(row);
        } else {
            show(cx, name, &mut found);
        }
    }
    if !any {
        return Err(Error::uncoded("no option found to get"));
    }
    Ok(Reply::from(found))
}

fn set(cx: &Cx<'_>) -> Result<Reply> {
    let Some(first) = cx.request.arguments().nth(1) else {
        return Err(Error::uncoded(
            "no option found to set, use help:true to see options ",
        ));
    };
    let name = first.key();
    if name == TTL_SECONDS {
        let seconds = number(first.value(), TTL_SECONDS)?;
        let positive = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let seconds = positive.ok_or_else(|| {
            Error::bad_value(format!(
                "Invalid value for parameter {TTL_SECONDS}: {seconds} is not greater than 0"
            ))
        })?;
        let was = cx.shared.ttl_seconds.swap(seconds, Ordering::Relaxed);
        let was = i32::try_from(was).unwrap_or(i32::MAX);
        return Ok(Reply::ok().with("was", ValueRef::Int32(was)));
    }
    if name == CURSOR_TIMEOUT {
        let ms = number(first.value(), CURSOR_TIMEOUT)?;
        let was = cx.shared.cursor_timeout_ms.swap(ms, Ordering::Relaxed);
        return Ok(Reply::ok().with("was", ValueRef::Int64(was)));
    }
    let known = PARAMETERS.iter().any(|(known, _)| name == *known);
    Err(Error::uncoded(if known {
        format!("not allowed to change [{name}] at runtime")
    } else {
        format!("attempted to set unrecognized parameter [{name}], use help:true to see options ")
    }))
}

/// A parameter's new value, which is a whole number.
fn number(value: ValueRef<'_>, name: &str) -> Result<i64> {
    match value {
        ValueRef::Int32(number) => Ok(i64::from(number)),
        ValueRef::Int64(number) => Ok(number),
        ValueRef::Double(number) => Ok(whole(number).unwrap_or_default()),
        _ => Err(Error::bad_value(format!(
            "Failed validating {name}: Unable to coerce value to integral type"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(PARAMETERS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
