//! Commands of logical sessions.
//!
//! Source: MongoDB manual, "Sessions Commands"; specification "Driver Sessions".

mod kill;
mod start;

use argon_mql::value::Element;
use argon_mql::{Doc, ErrorCode, ValueRef};
use bytes::Bytes;

pub(super) use kill::{KILL_ALL_SESSIONS, KILL_ALL_SESSIONS_BY_PATTERN, KILL_SESSIONS};
pub(super) use start::{END_SESSIONS, REFRESH_SESSIONS, START_SESSION};

use super::Cx;
use crate::error::{Error, Result};
use crate::request::{missing_field, unknown_field, wrong_type};

/// The array in the command's first field, as documents. `command` and `list` are the names that error texts use.
fn items<'a>(cx: &'a Cx<'_>, command: &str, list: &str) -> Result<Vec<Doc<'a>>> {
    let array = match cx.request.subject() {
        ValueRef::Array(array) => array,
        value => {
            let field = cx.request.name();
            return Err(wrong_type(&format!("{command}.{field}"), &value, "array"));
        }
    };
    array
        .iter()
        .map(|item| {
            let path = || format!("{command}.{list}.{}", item.key());
            item.value()
                .as_document()
                .ok_or_else(|| wrong_type(&path(), &item.value(), "object"))
        })
        .collect()
}

/// The sessions named in the command's first field.
fn sessions(cx: &Cx<'_>, command: &str, list: &str) -> Result<Vec<Bytes>> {
    let path = format!("{command}.{list}");
    items(cx, command, list)?
        .into_iter()
        .map(|item| identity(item, &path))
        .collect()
}

/// A session's identity as the server knows it: its UUID, and the digest of its user if there is one.
fn identity(session: Doc<'_>, path: &str) -> Result<Bytes> {
    let mut identity = None;
    let mut user: &[u8] = &[];
    for element in session.iter() {
        match &**element.key() {
            b"id" => identity = Some(uuid(&element, path)?),
            b"uid" => user = digest(&element, path)?,
            _ => return Err(unknown_field(path, element.key())),
        }
    }
    let identity = identity.ok_or_else(|| missing_field(&format!("{path}.id")))?;
    Ok([identity, user].concat().into())
}

fn uuid<'a>(element: &Element<'a>, path: &str) -> Result<&'a [u8]> {
    let path = format!("{path}.{}", element.key());
    match element.value() {
        ValueRef::Binary { subtype: 4, bytes } if bytes.len() == 16 => Ok(bytes),
        ValueRef::Binary { subtype: 4, .. } => Err(Error::new(
            ErrorCode::InvalidUUID,
            "uuid must be a 16-byte binary field with UUID (4) subtype",
        )),
        ValueRef::Binary { subtype, .. } => Err(Error::new(
            ErrorCode::TypeMismatch,
            format!(
                "BSON field '{path}' is the wrong binData type '{}', expected type 'UUID'",
                subtype_name(subtype)
            ),
        )),
        value => Err(wrong_type(&path, &value, "binData")),
    }
}

/// The SHA-256 of a user's name.
fn digest<'a>(element: &Element<'a>, path: &str) -> Result<&'a [u8]> {
    match element.value() {
        ValueRef::Binary { bytes, .. } if bytes.len() == 32 => Ok(bytes),
        ValueRef::Binary { .. } => Err(Error::new(
            ErrorCode::UnsupportedFormat,
            "Unsupported SHA256Block hash length",
        )),
        value => Err(wrong_type(
            &format!("{path}.{}", element.key()),
            &value,
            "binData",
        )),
    }
}

fn subtype_name(subtype: u8) -> &'static str {
    match subtype {
        0 => "general",
        1 => "function",
        2 => "byte array",
        3 => "UUID (old)",
        5 => "MD5",
        6 => "encrypt",
        _ => "custom",
    }
}
