//! Commands that take long are written to the log. What counts as long is set with `profile`, as on a mongos.
//!
//! Source: MongoDB manual, "profile".

use std::time::Duration;

use argon_mql::filter::Filter;
use argon_mql::{Doc, DocBuf, Env, ValueRef};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::connection::Connection;
use crate::request::Request;

/// Which commands are written to the log.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Milliseconds from which a command is slow.
    pub(crate) slow_ms: i32,
    /// Which share of the slow ones is written.
    pub(crate) sample_rate: f64,
    /// In place of these, which commands are written, and how the client wrote that.
    pub(crate) filter: Option<(Filter, Bytes)>,
}

/// The settings, which commands change.
pub(crate) struct SlowLog(pub(crate) Mutex<Settings>);

impl Default for SlowLog {
    fn default() -> SlowLog {
        SlowLog(Mutex::new(Settings {
            // Source: MongoDB manual, "slowms" and "sampleRate": the defaults.
            slow_ms: 100,
            sample_rate: 1.0,
            filter: None,
        }))
    }
}

impl SlowLog {
    /// Writes a command that took `took` to the log, if it is one of those.
    pub(crate) fn note(
        &self,
        connection: &Connection,
        request: &Request,
        name: &str,
        took: Duration,
        response_bytes: usize,
    ) {
        // They wait to be told something.
        if matches!(name, "hello" | "isMaster" | "ismaster" | "getMore") {
            return;
        }
        let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        let filter = {
            let settings = self.0.lock();
            match &settings.filter {
                None => {
                    let slow = millis >= i64::from(settings.slow_ms);
                    if !slow || rand::random::<f64>() >= settings.sample_rate {
                        return;
                    }
                    None
                }
                Some((filter, _)) => Some(filter.clone()),
            }
        };
        if let Some(filter) = filter {
            let entry = entry(connection, request, name, millis, response_bytes);
            if !matches!(filter.matches(&entry, &Env::fixed()), Ok(true)) {
                return;
            }
        }
        tracing::info!(
            command = name,
            database = request.database,
            millis,
            response_bytes,
            client = %connection.peer,
            "slow command"
        );
    }
}

/// What a filter looks at.
fn entry(
    connection: &Connection,
    request: &Request,
    name: &str,
    millis: i64,
    response_bytes: usize,
) -> Bytes {
    let mut doc = DocBuf::new();
    let op = match name {
        "delete" => "remove",
        "find" => "query",
        "insert" | "update" => name,
        _ => "command",
    };
    doc.append("op", ValueRef::String(op.into()));
    let namespace = format!(
        "{}.{}",
        request.database,
        request.collection().unwrap_or("$cmd")
    );
    doc.append("ns", ValueRef::String(namespace.as_bytes().into()));
    doc.append("command", ValueRef::Document(request.doc()));
    let bytes = i64::try_from(response_bytes).unwrap_or(i64::MAX);
    doc.append("responseLength", ValueRef::Int64(bytes));
    doc.append("millis", ValueRef::Int64(millis));
    let peer = connection.peer.to_string();
    doc.append("client", ValueRef::String(peer.as_bytes().into()));
    let client = connection.client.lock().clone();
    let application = client.as_ref().and_then(|client| {
        let application = Doc::new(client).get("application")?.as_document()?;
        application.get("name")
    });
    if let Some(name) = application {
        doc.append("appName", name);
    }
    doc.finish()
}
