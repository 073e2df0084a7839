//! `getLog`: the last lines of the server's log, and what a shell shows as a warning when it connects.

use argon_mql::{DocBuf, ErrorCode, ValueRef};

use crate::command::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::wrong_type;

pub(in crate::command) const COMMAND: Command = Command {
    name: "getLog",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Shows the last lines of the log: {getLog: 'global'}, or {getLog: 'startupWarnings'}.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

/// The logs there are.
const LOGS: &[&str] = &["global", "startupWarnings"];

fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.request.refuse_unknown("getLog", &[])?;
    let name = match cx.request.subject() {
        ValueRef::String(name) => name.to_string(),
        value => return Err(wrong_type("getLog.getLog", &value, "string")),
    };
    let mut reply = DocBuf::new();
    match name.as_str() {
        "*" => {
            let names = reply.open_array("names");
            for (at, name) in LOGS.iter().enumerate() {
                reply.push(at, text(name));
            }
            reply.close(names);
        }
        "global" => {
            let log = &cx.shared.config.log;
            append(&mut reply, log.total(), &log.lines());
        }
        "startupWarnings" => {
            let warnings = warnings(cx);
            append(&mut reply, warnings.len() as u64, &warnings);
        }
        _ => {
            let message = format!("No log named '{name}'");
            return Err(Error::new(ErrorCode::OperationFailed, message));
        }
    }
    Ok(Reply::from(reply))
}

fn append(reply: &mut DocBuf, total: u64, lines: &[String]) {
    reply.append(
        "totalLinesWritten",
        ValueRef::Int32(i32::try_from(total).unwrap_or(i32::MAX)),
    );
    let log = reply.open_array("log");
    for (at, line) in lines.iter().enumerate() {
        reply.push(at, text(line));
    }
    reply.close(log);
}

/// What a user should know before anything else, one line each in the shape of MongoDB's log, which shells take apart.
fn warnings(cx: &Cx<'_>) -> Vec<String> {
    let mut messages = vec![
        "Access control is not enabled for the database. Read and write access to data and configuration is \
         unrestricted",
    ];
    if !cx.shared.address.ip().is_loopback() {
        messages.push(
            "This server listens off loopback: whoever reaches it can read and write everything",
        );
    }
    let time = bson::DateTime::from_millis(cx.shared.started_ms).try_to_rfc3339_string();
    let time = time.unwrap_or_default();
    messages
        .iter()
        .map(|message| {
            format!(
                r#"{{"t":{{"$date":"{time}"}},"s":"W","c":"CONTROL","id":22120,"ctx":"initandlisten","msg":"{message}","tags":["startupWarnings"]}}"#
            ) + "\n"
        })
        .collect()
}
