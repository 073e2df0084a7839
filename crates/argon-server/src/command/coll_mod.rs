//! `collMod`: changes a collection's options, an index's expiry or visibility, or a view's definition.

use std::sync::Arc;

use argon_engine::state::Options;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::collection_options::{at_least_one, capped_bytes, check_view, number, one_of, words};
use super::{Access, Command, Cx, write};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field};

pub(super) const COMMAND: Command = Command {
    name: "collMod",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Changes the options of a collection, index or view.",
    run: |cx| Box::pin(run(cx)),
};

#[derive(Default)]
struct Arguments<'a> {
    index: Option<Doc<'a>>,
    validator: Option<Doc<'a>>,
    level: Option<&'a str>,
    action: Option<&'a str>,
    view_on: Option<&'a str>,
    pipeline: Option<Doc<'a>>,
    capped_size: Option<i64>,
    capped_max: Option<i64>,
}

/// Source: MongoDB manual, "collMod", "Resize a Capped Collection": at most one pebibyte.
const CAPPED_BYTES_MAX: i64 = 1 << 50;

/// Source: MongoDB manual, "collMod", "Resize a Capped Collection": fewer than 2^31 documents.
const CAPPED_DOCUMENTS_MAX: i64 = i32::MAX as i64;

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let collection = cx.request.collection()?;
    let mut arguments = Arguments::default();
    let (levels, actions) = words();
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "collMod",
            element,
        };
        match &**element.key() {
            b"index" => arguments.index = Some(argument.document()?),
            b"validator" => arguments.validator = Some(argument.document()?),
            b"validationLevel" => arguments.level = Some(one_of(&argument, levels)?),
            b"validationAction" => arguments.action = Some(one_of(&argument, actions)?),
            b"viewOn" => arguments.view_on = Some(argument.string()?),
            b"pipeline" => arguments.pipeline = Some(argument.array()?),
            b"cappedSize" if element.value().is_nullish() => {}
            b"cappedSize" => {
                let size = at_least_one("cappedSize", argument.integer()?)?;
                check_most("cappedSize", size, "<=", CAPPED_BYTES_MAX)?;
                arguments.capped_size = Some(capped_bytes(size));
            }
            b"cappedMax" if element.value().is_nullish() => {}
            b"cappedMax" => {
                let max = argument.integer()?;
                check_most("cappedMax", max, "<", CAPPED_DOCUMENTS_MAX)?;
                // No bound is the greatest one.
                arguments.capped_max = Some(if max <= 0 { CAPPED_DOCUMENTS_MAX } else { max });
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("collMod", element.key())),
        }
    }
    if cx
        .shared
        .engine
        .database(&cx.request.database)
        .await?
        .is_none()
    {
        return Err(not_found());
    }
    let branch = write::branch(cx).await?;
    write::write(cx, &branch, |writer| {
        let target = writer
            .collection(collection)
            .cloned()
            .ok_or_else(not_found)?;
        let mut reply = Reply::ok();
        let is_view = target.options.view.is_some();
        if !is_view && (arguments.view_on.is_some() || arguments.pipeline.is_some()) {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                "option only supported on a view: viewOn",
            ));
        }
        let unfit = [
            ("index", arguments.index.is_some()),
            ("validator", arguments.validator.is_some()),
            ("validationLevel", arguments.level.is_some()),
            ("validationAction", arguments.action.is_some()),
        ];
        if let Some((option, _)) = unfit.iter().find(|(_, given)| is_view && *given) {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                format!("option not supported on a view: {option}"),
            ));
        }
        let resizes = arguments.capped_size.is_some() || arguments.capped_max.is_some();
        if resizes && target.options.capped.is_none() {
            return Err(Error::new(
                ErrorCode::InvalidOptions,
                "Collection must be capped.",
            ));
        }
        if let Some(index) = arguments.index {
            modify_index(writer, &target.name, index, reply.doc())?;
        }
        let options = changed(&arguments, &target.options);
        if options != target.options.document {
            if let Some(view) = &Options::parse(options.clone())?.view {
                let stages = view
                    .stages
                    .iter()
                    .map(|stage| ValueRef::Document(Doc::new(stage)));
                let stages = DocBuf::array(stages);
                let namespace = writer.namespace(collection);
                check_view(
                    &namespace,
                    collection,
                    &view.on,
                    Doc::new(&stages),
                    target.options.collation.as_deref(),
                    writer.state(),
                )?;
            }
            writer.modify_collection(collection, options)?;
        }
        Ok(reply)
    })
    .await
}

/// The options with what the command changes.
fn changed(arguments: &Arguments<'_>, options: &Arc<Options>) -> Bytes {
    let text = |value: Option<&str>| value.map(argon_mql::Value::string);
    let mut set: Vec<(&str, Option<argon_mql::Value>)> = Vec::new();
    if let Some(validator) = arguments.validator {
        let value = argon_mql::Value::copy_of(ValueRef::Document(validator));
        set.push(("validator", (!validator.is_empty()).then_some(value)));
        // A validator shows how it is applied.
        set.push((
            "validationLevel",
            text(Some(arguments.level.unwrap_or("strict"))),
        ));
        set.push((
            "validationAction",
            text(Some(arguments.action.unwrap_or("error"))),
        ));
    }
    let has =
        |set: &[(&str, Option<argon_mql::Value>)], key: &str| set.iter().any(|row| row.0 == key);
    for (key, value) in [
        ("validationLevel", arguments.level),
        ("validationAction", arguments.action),
    ] {
        if value.is_some() && !has(&set, key) {
            set.push((key, text(value)));
        }
    }
    for (key, value) in [
        ("size", arguments.capped_size),
        ("max", arguments.capped_max),
    ] {
        if let Some(value) = value {
            set.push((key, Some(argon_mql::Value::copy_of(number(value)))));
        }
    }
    if let Some(on) = arguments.view_on {
        set.push(("viewOn", text(Some(on))));
    }
    if let Some(pipeline) = arguments.pipeline {
        set.push((
            "pipeline",
            Some(argon_mql::Value::copy_of(ValueRef::Array(pipeline))),
        ));
    }
    let old = Doc::new(&options.document);
    let mut out = DocBuf::new();
    for field in old.iter() {
        match set.iter().find(|(key, _)| field.key() == *key) {
            None => out.append_element(&field),
            // How an existing validator is applied stays, unless the command says otherwise.
            Some((key @ ("validationLevel" | "validationAction"), _))
                if (*key == "validationLevel" && arguments.level.is_none())
                    || (*key == "validationAction" && arguments.action.is_none()) =>
            {
                out.append_element(&field);
            }
            Some((key, Some(value))) => out.append(key, value.as_ref()),
            Some((_, None)) => {}
        }
        if field.key() == "size"
            && old.element(b"max").is_none()
            && let Some(max) = arguments.capped_max
        {
            out.append("max", number(max));
        }
    }
    for (key, value) in set.iter().filter(|(key, _)| *key != "max") {
        if let Some(value) = value
            && old.element(key.as_bytes()).is_none()
        {
            out.append(key, value.as_ref());
        }
    }
    out.finish()
}

fn modify_index(
    writer: &mut argon_engine::Writer,
    collection: &str,
    index: Doc<'_>,
    reply: &mut DocBuf,
) -> Result<()> {
    let target = writer
        .collection(collection)
        .cloned()
        .ok_or_else(not_found)?;
    if index.get("name").is_none() && index.get("keyPattern").is_none() {
        return Err(Error::new(
            ErrorCode::InvalidOptions,
            "Must specify either index name or key pattern.",
        ));
    }
    let expiry = match index.get("expireAfterSeconds") {
        Some(ValueRef::Int32(seconds)) => Some(seconds),
        Some(ValueRef::Int64(seconds)) => i32::try_from(seconds).ok(),
        #[expect(clippy::cast_possible_truncation, reason = "saturates, as in MongoDB")]
        Some(ValueRef::Double(seconds)) => Some(seconds as i32),
        _ => None,
    };
    let hidden = match index.get("hidden") {
        Some(ValueRef::Bool(hidden)) => Some(hidden),
        _ => None,
    };
    if expiry.is_none() && hidden.is_none() {
        return Err(Error::new(
            ErrorCode::InvalidOptions,
            "no expireAfterSeconds, hidden, unique, or prepareUnique field",
        ));
    }
    if expiry.is_some_and(|seconds| seconds < 0) {
        return Err(Error::new(
            ErrorCode::InvalidOptions,
            "TTL index 'expireAfterSeconds' option cannot be less than 0",
        ));
    }
    let found =
        target
            .indexes()
            .iter()
            .find(|known| match (index.get("name"), index.get("keyPattern")) {
                (Some(ValueRef::String(name)), _) => name == known.spec.name(),
                (_, Some(ValueRef::Document(pattern))) => known.spec.has_pattern(pattern),
                _ => false,
            });
    let Some(found) = found else {
        let what = index
            .get("name")
            .and_then(|name| name.as_str())
            .unwrap_or_default();
        return Err(Error::new(
            ErrorCode::IndexNotFound,
            format!(
                "cannot find index {what} for ns {}",
                writer.namespace(collection)
            ),
        ));
    };
    let long = |seconds: i32| ValueRef::Int64(seconds.into());
    if let Some(new) = expiry.filter(|new| found.spec.expire_after_seconds() != Some(*new)) {
        if let Some(old) = found.spec.expire_after_seconds() {
            reply.append("expireAfterSeconds_old", long(old));
        }
        reply.append("expireAfterSeconds_new", long(new));
    }
    if let Some(new) = hidden.filter(|new| found.spec.hidden() != *new) {
        reply.append("hidden_old", ValueRef::Bool(found.spec.hidden()));
        reply.append("hidden_new", ValueRef::Bool(new));
    }
    let spec = found.spec.modified(expiry, hidden);
    writer.modify_index(collection, found.spec.name(), &Arc::new(spec))?;
    Ok(())
}

fn check_most(name: &str, number: i64, sign: &str, most: i64) -> Result<()> {
    if number <= most {
        return Ok(());
    }
    let limit = if sign == "<" { most + 1 } else { most };
    Err(Error::location(
        51024,
        format!("BSON field '{name}' value must be {sign} {limit}, actual value '{number}'"),
    ))
}

fn not_found() -> Error {
    Error::new(ErrorCode::NamespaceNotFound, "ns does not exist")
}
