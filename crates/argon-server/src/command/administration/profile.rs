//! `profile`: as on a mongos, which has no profiler, it sets which slow commands are written to the log.
//!
//! Source: MongoDB manual, "profile".

use argon_mql::filter::Filter;
use argon_mql::value::Number;
use argon_mql::{Doc, ErrorCode, ParseContext, ValueRef};
use bytes::Bytes;

use crate::command::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::missing_field;

pub(in crate::command) const COMMAND: Command = Command {
    name: "profile",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Sets which slow commands are written to the log: {profile: 0, slowms: _, sampleRate: _, filter: _}.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

const NOTE: &str = "When a filter expression is set, slowms and sampleRate are not used for profiling and slow-query log lines.";

fn run(cx: &Cx<'_>) -> Result<Reply> {
    let was = cx.shared.slow_log.0.lock().clone();
    let mut now = was.clone();
    for (at, element) in cx.request.arguments().enumerate() {
        let key = if at == 0 {
            &b"profile"[..]
        } else {
            &**element.key()
        };
        match key {
            b"profile" if matches!(element.value(), ValueRef::Null) => {
                return Err(missing_field("profile.profile"));
            }
            b"profile" => {
                if matches!(
                    number("profile", element.value())?.to_i64_truncated(),
                    Some(1 | 2)
                ) {
                    return Err(Error::new(
                        ErrorCode::CommandNotSupported,
                        "profiling is not supported, as on a mongos: the level must be 0",
                    ));
                }
            }
            b"slowms" => {
                let ms = number("slowms", element.value())?.to_i64_truncated();
                let ms = ms
                    .unwrap_or(i64::MAX)
                    .clamp(i32::MIN.into(), i32::MAX.into());
                now.slow_ms = i32::try_from(ms).unwrap_or(i32::MAX);
            }
            b"sampleRate" => {
                let rate = number("sampleRate", element.value())?.to_f64();
                if !(0.0..=1.0).contains(&rate) {
                    return Err(Error::bad_value(
                        "'sampleRate' must be between 0.0 and 1.0 inclusive",
                    ));
                }
                now.sample_rate = rate;
            }
            b"filter" => {
                now.filter = match element.value() {
                    ValueRef::String(text) if text == "unset" => None,
                    ValueRef::Document(filter) => Some((
                        Filter::parse(filter, &ParseContext::new())?,
                        Bytes::copy_from_slice(filter.as_bytes()),
                    )),
                    _ => {
                        return Err(Error::bad_value(
                            "Expected an object, or the string 'unset'.",
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    *cx.shared.slow_log.0.lock() = now;
    let mut reply = Reply::ok()
        .with("was", ValueRef::Int32(0))
        .with("slowms", ValueRef::Int32(was.slow_ms))
        .with("sampleRate", ValueRef::Double(was.sample_rate));
    if let Some((_, filter)) = &was.filter {
        let doc = reply.doc();
        doc.append("filter", ValueRef::Document(Doc::new(filter)));
    }
    if was.filter.is_some() || cx.shared.slow_log.0.lock().filter.is_some() {
        reply.doc().append("note", text(NOTE));
    }
    Ok(reply)
}

fn number(field: &str, value: ValueRef<'_>) -> Result<Number> {
    Number::from_value(value).ok_or_else(|| {
        Error::new(
            ErrorCode::TypeMismatch,
            format!(
                "BSON field 'profile.{field}' is the wrong type '{}', expected types '[long, int, decimal, double']",
                value.type_name()
            ),
        )
    })
}
