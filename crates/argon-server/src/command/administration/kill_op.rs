//! `killOp`: ends a running command.

use argon_mql::ErrorCode;
use argon_mql::value::Number;

use crate::command::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;

pub(in crate::command) const COMMAND: Command = Command {
    name: "killOp",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Ends a running command: {killOp: 1, op: <opid of currentOp>}.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

fn run(cx: &Cx<'_>) -> Result<Reply> {
    let op = cx
        .request
        .doc()
        .get("op")
        .ok_or_else(|| Error::new(ErrorCode::NoSuchKey, "Missing expected field \"op\""))?;
    let number = Number::from_value(op).ok_or_else(|| {
        let kind = op.type_name();
        let message = format!("Expected field \"op\" to have numeric type, but found {kind}");
        Error::new(ErrorCode::TypeMismatch, message)
    })?;
    let number = number.to_i64_truncated().unwrap_or(i64::MAX);
    // Tools send numbers as they got them, or unsigned.
    let op = i32::try_from(number)
        .or_else(|_| u32::try_from(number).map(u32::cast_signed))
        .map_err(|_| {
            let message =
                format!("invalid op : {number}. Op ID cannot be represented with 32 bits");
            Error::location(26823, message)
        })?;
    cx.shared.operations.kill(op);
    // Said whether it runs or not: it may have ended just now.
    Ok(Reply::ok().with("info", text("attempting to kill op")))
}
