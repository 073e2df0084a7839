//! The `client` document of a handshake: which application and driver talk to the server.
//!
//! Source: specification "MongoDB Handshake"; what mongod 6.0.5 answers to bad ones.

use std::sync::atomic::Ordering;

use argon_mql::{Doc, ErrorCode, ValueRef};
use bytes::Bytes;

use crate::connection::Connection;
use crate::error::{Error, Result};

/// The largest document that a mongos takes. Source: specification "MongoDB Handshake", "Limitations".
const BYTES_MAX: usize = 512;

/// The longest application name. Source: specification "MongoDB Handshake", "Limitations".
const NAME_BYTES_MAX: usize = 128;

/// Keeps the client's description: it comes with the first handshake of a connection, or never.
///
/// # Errors
/// MongoDB's for a malformed document, and for one that comes later.
pub(super) fn remember(connection: &Connection, hello: Doc<'_>) -> Result<()> {
    let Some(client) = hello.get("client") else {
        connection.greeted.store(true, Ordering::Relaxed);
        return Ok(());
    };
    if connection.greeted.load(Ordering::Relaxed) {
        return Err(Error::new(
            ErrorCode::ClientMetadataCannotBeMutated,
            "The client metadata document may only be sent in the first hello",
        ));
    }
    let client = client
        .as_document()
        .ok_or_else(|| mismatch("The client metadata document must be a document".to_owned()))?;
    check(client)?;
    *connection.client.lock() = Some(Bytes::copy_from_slice(client.as_bytes()));
    connection.greeted.store(true, Ordering::Relaxed);
    Ok(())
}

fn check(client: Doc<'_>) -> Result<()> {
    if client.byte_len() > BYTES_MAX {
        return Err(Error::new(
            ErrorCode::ClientMetadataDocumentTooLarge,
            format!("The client metadata document must be less then or equal to {BYTES_MAX}bytes"),
        ));
    }
    if let Some(application) = part(client, "application")?
        && let Some(name) = application.get("name")
    {
        let name = string("application.name", name)?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::ClientMetadataAppNameTooLarge,
                format!(
                    "The 'application.name' field must be less then or equal to {NAME_BYTES_MAX} bytes in the \
                     client metadata document"
                ),
            ));
        }
    }
    for (name, fields) in [
        ("driver", ["name", "version"].as_slice()),
        ("os", &["type"]),
    ] {
        let Some(part) = part(client, name)? else {
            return Err(missing(&format!("sub-document '{name}'")));
        };
        for field in fields {
            let path = format!("{name}.{field}");
            let value = part
                .get(field)
                .ok_or_else(|| missing(&format!("field '{path}'")))?;
            string(&path, value)?;
        }
    }
    Ok(())
}

fn part<'a>(client: Doc<'a>, name: &str) -> Result<Option<Doc<'a>>> {
    let Some(value) = client.get(name) else {
        return Ok(None);
    };
    value.as_document().map(Some).ok_or_else(|| {
        mismatch(format!(
            "The '{name}' field is required to be a BSON document in the client metadata document"
        ))
    })
}

fn string<'a>(path: &str, value: ValueRef<'a>) -> Result<&'a [u8]> {
    match value {
        ValueRef::String(text) => Ok(text),
        _ => Err(mismatch(format!(
            "The '{path}' field must be a string in the client metadata document"
        ))),
    }
}

fn mismatch(message: String) -> Error {
    Error::new(ErrorCode::TypeMismatch, message)
}

fn missing(what: &str) -> Error {
    Error::new(
        ErrorCode::ClientMetadataMissingField,
        format!("Missing required {what} in the client metadata document"),
    )
}
