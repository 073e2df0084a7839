//! `profile`: the profiler is off and stays off, as on a mongos.

use argon_mql::value::Number;
use argon_mql::{ErrorCode, ValueRef};

use crate::command::{Access, Command, Cx};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "profile",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Tells that the profiler is off.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

/// Source: MongoDB manual, "slowms" and "sampleRate": the defaults.
const SLOW_MS: i64 = 100;
const SAMPLE_RATE: f64 = 1.0;

fn run(cx: &Cx<'_>) -> Result<Reply> {
    let not_supported = |what: &str| Err(Error::new(ErrorCode::CommandNotSupported, what));
    for (at, element) in cx.request.arguments().enumerate() {
        let argument = Argument {
            command: "profile",
            element,
        };
        match &**element.key() {
            _ if at == 0 => {
                if matches!(argument.integer()?, 1 | 2) {
                    return not_supported("profiling is not supported: the level must be 0");
                }
            }
            b"slowms" if argument.integer()? != SLOW_MS => {
                return not_supported("profiling is not supported: slowms cannot be changed");
            }
            b"sampleRate"
                if Number::from_value(element.value())
                    .is_none_or(|rate| rate.to_f64() != SAMPLE_RATE) =>
            {
                return not_supported("profiling is not supported: sampleRate cannot be changed");
            }
            b"filter" => {
                return not_supported("profiling is not supported: there is nothing to filter");
            }
            _ => {}
        }
    }
    Ok(Reply::ok()
        .with("was", ValueRef::Int32(0))
        .with("slowms", ValueRef::Int32(100))
        .with("sampleRate", ValueRef::Double(SAMPLE_RATE)))
}
