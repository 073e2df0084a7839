//! `getConfig` and `setConfig`: settings that all servers of a store share, changed while they run.

use argon_engine::{SETTINGS, SettingSource};
use argon_mql::ValueRef;

use crate::command::{Access, Command, Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{is_generic, unknown_field};

pub(in crate::command) const GET_CONFIG: Command = Command {
    name: "getConfig",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Lists the settings that can be changed while servers run.",
    run: |cx| Box::pin(get(cx)),
};

pub(in crate::command) const SET_CONFIG: Command = Command {
    name: "setConfig",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Changes a setting on all servers, or forgets the change: {setConfig: <name>, value: <value, or null>}.",
    run: |cx| Box::pin(set(cx)),
};

async fn get(cx: &Cx<'_>) -> Result<Reply> {
    for element in cx.request.arguments().skip(1) {
        if !is_generic(element.key()) {
            return Err(unknown_field("getConfig", element.key()));
        }
    }
    let values = cx.shared.engine.settings().await?;
    let mut reply = Reply::ok();
    let doc = reply.doc();
    let settings = doc.open_array("settings");
    for (at, (value, setting)) in values.iter().zip(SETTINGS).enumerate() {
        let row = doc.open_document(at.to_string());
        doc.append("name", text(value.name));
        doc.append("value", text(&value.value));
        let source = match value.source {
            SettingSource::Stored => "stored",
            SettingSource::Server => "server",
            SettingSource::Default => "default",
        };
        doc.append("source", text(source));
        doc.append("help", text(setting.help));
        doc.close(row);
    }
    doc.close(settings);
    Ok(reply)
}

async fn set(cx: &Cx<'_>) -> Result<Reply> {
    let ValueRef::String(name) = cx.request.subject() else {
        return Err(Error::bad_value(
            "setConfig takes a setting's name: {setConfig: <name>, value: <value>}",
        ));
    };
    let mut value = None;
    for element in cx.request.arguments().skip(1) {
        match &**element.key() {
            b"value" => value = Some(written(element.value())?),
            key if is_generic(key) => {}
            _ => return Err(unknown_field("setConfig", element.key())),
        }
    }
    let value = value.ok_or_else(|| {
        Error::bad_value("setConfig needs a value; null forgets the one that was set")
    })?;
    cx.shared
        .engine
        .set(&name.to_string(), value.as_deref())
        .await?;
    Ok(Reply::ok())
}

/// A value as settings are written; none for null.
fn written(value: ValueRef<'_>) -> Result<Option<String>> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::String(text) => Ok(Some(text.to_string())),
        ValueRef::Bool(value) => Ok(Some(value.to_string())),
        ValueRef::Int32(number) => Ok(Some(number.to_string())),
        ValueRef::Int64(number) => Ok(Some(number.to_string())),
        ValueRef::Double(number) => Ok(Some(number.to_string())),
        value => Err(Error::bad_value(format!(
            "a setting's value is a string, a boolean or a number, not {}",
            value.type_name()
        ))),
    }
}
