//! A reply, as the lines that a case compares.
//!
//! What is different in every run is left out (cluster times, election ids) or replaced by a
//! placeholder (generated ids, the present time), so that the same answer gives the same lines.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bson::Bson;
use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::spec::BinarySubtype;

use super::json;
use crate::client::is_ok;

/// Stands for a cursor that returned nothing, so that an empty answer cannot be a forgotten one.
pub const NO_DOCUMENTS: &str = "(no documents)";
/// Stands for the database of the file.
pub const DB_PLACEHOLDER: &str = "<db>";
/// Stands for the id of the last cursor that was left open.
pub const CURSOR_PLACEHOLDER: &str = "<cursor>";

/// Fields of a reply that speak of the deployment or the moment and not of the answer.
const REPLY_NOISE: &[&str] = &[
    "$clusterTime",
    "$configServerState",
    "$gleStats",
    "$topologyTime",
    "commitQuorum",
    "electionId",
    "lastCommittedOpTime",
    "ok",
    "opTime",
    "operationTime",
    "recoveryToken",
];
/// Fields of an explanation, at any depth, that no two servers share.
const EXPLAIN_NOISE: &[&str] = &[
    "executionTimeMillis",
    "executionTimeMillisEstimate",
    "planCacheKey",
    "queryHash",
    "serverInfo",
    "serverParameters",
];
/// A value this close to the present was made by the server just now.
const RECENT_SECONDS: u64 = 24 * 60 * 60;

/// Tells values the case gave from values that the server made up.
#[derive(Debug)]
pub struct Normalizer {
    /// The case file and its data sets, in lower case.
    given: String,
    db: String,
    now_seconds: u64,
}

/// How a command's reply is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Whether the reply explains a plan.
    pub explain: bool,
    /// Paths to keep; empty keeps all.
    pub only: &'a [String],
}

impl Normalizer {
    /// Prepares for a file whose text and data are `given` and whose database is `db`.
    #[must_use]
    pub fn new(given: &str, db: &str) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            given: given.to_lowercase(),
            db: db.to_owned(),
            now_seconds: now.as_secs(),
        }
    }

    /// Writes a document that a cursor returned.
    ///
    /// # Errors
    /// If it is not well-formed BSON.
    pub fn document(&self, document: &RawDocument, reading: Reading<'_>) -> Result<String> {
        if reading.only.is_empty() {
            return Ok(self.render(document));
        }
        let paths: Vec<&str> = reading.only.iter().map(String::as_str).collect();
        Ok(self.render(&keep(document, &paths)?))
    }

    /// Writes a whole reply: one line for a success, `error: code name` and its message otherwise.
    ///
    /// # Errors
    /// If it is not well-formed BSON.
    pub fn reply(&self, reply: &RawDocument, reading: Reading<'_>) -> Result<Vec<String>> {
        let mut messages = Vec::new();
        let mut body = RawDocumentBuf::new();
        for element in reply {
            let (key, value) = element?;
            match (key.as_str(), value) {
                (name, _) if REPLY_NOISE.contains(&name) => {}
                ("writeErrors", RawBsonRef::Array(errors)) => {
                    let mut kept = RawArrayBuf::new();
                    for error in errors {
                        let error = error?
                            .as_document()
                            .map_or_else(RawDocumentBuf::new, |error| {
                                without_message(error, &mut messages)
                            });
                        kept.push(error);
                    }
                    body.append(key, kept);
                }
                ("writeConcernError", RawBsonRef::Document(error)) => {
                    body.append(key, without_message(error, &mut messages));
                }
                (_, value) => body.append(key, value),
            }
        }
        let mut lines = Vec::new();
        if is_ok(reply) {
            if reading.explain {
                body = drop_noise(&body)?;
            }
            lines.push(self.document(&body, reading)?);
        } else {
            lines.push(self.error(&body, &mut messages)?);
        }
        for message in messages {
            lines.push(format!(
                "# message: {}",
                self.own(&message.replace('\n', " "))
            ));
        }
        Ok(lines)
    }

    fn error(&self, body: &RawDocument, messages: &mut Vec<String>) -> Result<String> {
        let mut rest = RawDocumentBuf::new();
        let (mut code, mut name) = (0, String::new());
        for element in body {
            let (key, value) = element?;
            match (key.as_str(), value) {
                ("code", RawBsonRef::Int32(value)) => code = value,
                ("codeName", RawBsonRef::String(value)) => value.clone_into(&mut name),
                ("errmsg", RawBsonRef::String(value)) => messages.push(value.to_owned()),
                (_, value) => rest.append(key, value),
            }
        }
        let mut line = format!("error: {code} {name}").trim_end().to_owned();
        if !rest.is_empty() {
            line.push(' ');
            line.push_str(&self.render(&rest));
        }
        Ok(line)
    }

    fn render(&self, document: &RawDocument) -> String {
        json::render_document_with(document, &|value| self.placeholder(value))
    }

    fn placeholder(&self, value: &RawBsonRef<'_>) -> Option<String> {
        match value {
            RawBsonRef::String(text) if text.contains(&self.db) => {
                Some(serde_json::Value::from(self.own(text)).to_string())
            }
            RawBsonRef::ObjectId(id) => {
                let seconds = id.timestamp().timestamp_millis() / 1000;
                let made = self.is_recent(seconds) && !self.is_given(&id.to_hex());
                made.then(|| r#"{"$oid": "<new>"}"#.to_owned())
            }
            RawBsonRef::DateTime(date) => {
                let given = || {
                    date.try_to_rfc3339_string()
                        .is_ok_and(|text| self.is_given(&text))
                };
                let made = self.is_recent(date.timestamp_millis() / 1000) && !given();
                made.then(|| r#"{"$date": "<now>"}"#.to_owned())
            }
            RawBsonRef::Timestamp(time) => {
                let made =
                    self.is_recent(time.time.into()) && !self.is_given(&time.time.to_string());
                made.then(|| r#"{"$timestamp": "<now>"}"#.to_owned())
            }
            RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
                let uuid = bson::Uuid::from_bytes(binary.bytes.try_into().ok()?);
                let json = Bson::Binary(binary.to_binary()).into_relaxed_extjson();
                let base64 = json["$binary"]["base64"].as_str().unwrap_or_default();
                let given = self.is_given(&uuid.to_string()) || self.is_given(base64);
                (!given).then(|| r#"{"$uuid": "<new>"}"#.to_owned())
            }
            _ => None,
        }
    }

    fn is_recent(&self, seconds: i64) -> bool {
        u64::try_from(seconds).is_ok_and(|at| at.abs_diff(self.now_seconds) < RECENT_SECONDS)
    }

    fn is_given(&self, text: &str) -> bool {
        self.given.contains(&text.to_lowercase())
    }

    fn own(&self, text: &str) -> String {
        text.replace(&self.db, DB_PLACEHOLDER)
    }
}

/// Copies a write error without its text, which goes to `messages`.
fn without_message(error: &RawDocument, messages: &mut Vec<String>) -> RawDocumentBuf {
    let mut copy = RawDocumentBuf::new();
    for (key, value) in error.iter().flatten() {
        match (key.as_str(), value) {
            ("errmsg", RawBsonRef::String(text)) => messages.push(text.to_owned()),
            (_, value) => copy.append(key, value),
        }
    }
    copy
}

/// Copies only what `paths` name, in the document's order; arrays are looked through.
fn keep(document: &RawDocument, paths: &[&str]) -> Result<RawDocumentBuf> {
    let mut copy = RawDocumentBuf::new();
    for element in document {
        let (key, value) = element?;
        if paths.contains(&key.as_str()) {
            copy.append(key, value);
            continue;
        }
        let below: Vec<&str> = paths
            .iter()
            .filter_map(|path| path.strip_prefix(key.as_str())?.strip_prefix('.'))
            .collect();
        if below.is_empty() {
            continue;
        }
        match value {
            RawBsonRef::Document(inner) => copy.append(key, keep(inner, &below)?),
            RawBsonRef::Array(items) => {
                let mut kept = RawArrayBuf::new();
                for item in items {
                    match item? {
                        RawBsonRef::Document(inner) => kept.push(keep(inner, &below)?),
                        other => kept.push(other),
                    }
                }
                copy.append(key, kept);
            }
            _ => {}
        }
    }
    Ok(copy)
}

/// Copies an explanation without [`EXPLAIN_NOISE`].
fn drop_noise(document: &RawDocument) -> Result<RawDocumentBuf> {
    let mut copy = RawDocumentBuf::new();
    for element in document {
        let (key, value) = element?;
        if !EXPLAIN_NOISE.contains(&key.as_str()) {
            copy.append(key, drop_noise_in(value)?);
        }
    }
    Ok(copy)
}

fn drop_noise_in(value: RawBsonRef<'_>) -> Result<RawBson> {
    Ok(match value {
        RawBsonRef::Document(document) => RawBson::Document(drop_noise(document)?),
        RawBsonRef::Array(items) => {
            let mut copy = RawArrayBuf::new();
            for item in items {
                copy.push(drop_noise_in(item?)?);
            }
            RawBson::Array(copy)
        }
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;
    use bson::{Binary, DateTime, Uuid, rawdoc};

    #[track_caller]
    fn check(reply: &RawDocument, expected: &[&str]) {
        let given = r#"{"$uuid": "00000000-0000-0000-0000-000000000001"}"#;
        let normalizer = Normalizer::new(given, "case_x");
        let reading = Reading {
            explain: false,
            only: &[],
        };
        assert_eq!(normalizer.reply(reply, reading).unwrap(), expected);
    }

    #[test]
    fn noise_goes() {
        check(
            &rawdoc! {"n": 1, "electionId": ObjectId::new(), "ok": 1.0},
            &[r#"{"n": 1}"#],
        );
    }

    #[test]
    fn errors_are_code_and_name() {
        check(
            &rawdoc! {"ok": 0.0, "errmsg": "in case_x.c", "code": 26, "codeName": "NamespaceNotFound"},
            &["error: 26 NamespaceNotFound", "# message: in <db>.c"],
        );
        check(
            &rawdoc! {"ok": 0.0, "code": 11000, "codeName": "DuplicateKey", "keyPattern": {"a": 1}},
            &[r#"error: 11000 DuplicateKey {"keyPattern": {"a": 1}}"#],
        );
    }

    #[test]
    fn write_errors_lose_their_text() {
        check(
            &rawdoc! {"n": 0, "writeErrors": [{"index": 0, "code": 2, "errmsg": "a\nb"}], "ok": 1.0},
            &[
                r#"{"n": 0, "writeErrors": [{"index": 0, "code": 2}]}"#,
                "# message: a b",
            ],
        );
    }

    #[test]
    fn made_up_values_become_placeholders() {
        let old = ObjectId::from_bytes([1; 12]);
        check(
            &rawdoc! {"a": ObjectId::new(), "b": old, "c": DateTime::now(), "ns": "case_x.c", "ok": 1},
            &[concat!(
                r#"{"a": {"$oid": "<new>"}, "b": {"$oid": "010101010101010101010101"}, "#,
                r#""c": {"$date": "<now>"}, "ns": "<db>.c"}"#
            )],
        );
        let given = Uuid::parse_str("00000000-0000-0000-0000-000000000001").unwrap();
        check(
            &rawdoc! {"a": Binary::from(Uuid::new()), "b": Binary::from(given), "ok": 1},
            &[concat!(
                r#"{"a": {"$uuid": "<new>"}, "#,
                r#""b": {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAQ==", "subType": "04"}}}"#
            )],
        );
    }

    #[test]
    fn only_keeps_paths() {
        let kept = keep(
            &rawdoc! {"a": {"b": 1, "c": 2}, "d": [{"b": 1, "x": 2}]},
            &["a.b", "d.x"],
        );
        assert_eq!(kept.unwrap(), rawdoc! {"a": {"b": 1}, "d": [{"x": 2}]});
    }

    #[test]
    fn tables_are_sorted() {
        assert!(REPLY_NOISE.is_sorted());
        assert!(EXPLAIN_NOISE.is_sorted());
    }
}
