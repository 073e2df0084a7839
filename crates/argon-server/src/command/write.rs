//! What the commands that write documents have in common: statements, their failures, and retries.

use argon_engine::{Branch, Retry, Writer};
use argon_mql::value::Element;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_wire::MAX_WRITE_BATCH;
use bson::oid::ObjectId;
use bytes::Bytes;
use std::sync::Arc;

use super::{Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Request, missing_field};

/// The outcome of a write command under construction: what its statements did, and which failed.
#[derive(Default)]
pub(super) struct Outcome {
    /// Documents inserted, matched or deleted.
    pub(super) n: u64,
    /// Documents that an update changed.
    pub(super) modified: Option<u64>,
    /// Upserts: the statement's place and the new document's `_id`.
    pub(super) upserted: Vec<(usize, argon_mql::Value)>,
    /// Failures: the statement's place and what happened.
    pub(super) errors: Vec<(usize, Error)>,
}

impl Outcome {
    /// The fields of the answer.
    fn into_document(self) -> Bytes {
        let mut doc = DocBuf::with_capacity(64);
        doc.append("n", count(self.n));
        if !self.upserted.is_empty() {
            let array = doc.open_array("upserted");
            for (at, (index, id)) in self.upserted.iter().enumerate() {
                let item = doc.push_document(at);
                doc.append("index", count(*index as u64));
                doc.append("_id", id.as_ref());
                doc.close(item);
            }
            doc.close(array);
        }
        if !self.errors.is_empty() {
            let array = doc.open_array("writeErrors");
            for (at, (index, error)) in self.errors.iter().enumerate() {
                let item = doc.push_document(at);
                doc.append("index", count(*index as u64));
                doc.append("code", ValueRef::Int32(error.code.number()));
                if let Some(details) = error.details() {
                    doc.append_all(details);
                }
                doc.append("errmsg", text(&error.message));
                doc.close(item);
            }
            doc.close(array);
        }
        if let Some(modified) = self.modified {
            doc.append("nModified", count(modified));
        }
        doc.finish()
    }
}

fn count(number: u64) -> ValueRef<'static> {
    ValueRef::Int32(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Runs a write command: finds the branch, answers a retry from the log, has `decide` decide the statements, and
/// remembers the outcome for retries.
///
/// A command is one record: it becomes durable and visible as a whole, the statements that failed excepted.
pub(super) async fn run(
    cx: &Cx<'_>,
    statements: usize,
    mut decide: impl FnMut(&mut Writer) -> Result<Outcome> + Send,
) -> Result<Reply> {
    check_batch(statements)?;
    let branch = branch(cx).await?;
    let retry = cx.request.retry();
    let answer = decided(cx, &branch, retry.as_ref(), |writer| {
        decide(writer).map(Outcome::into_document)
    })
    .await?;
    let mut reply = Reply::ok();
    reply.doc().append_all(Doc::new(&answer));
    if retry.is_some() && Doc::new(&answer).get("retriedStmtIds").is_none() {
        // Nothing to add: the answer is the first attempt's.
    }
    Ok(reply)
}

/// The branch that the command writes to; it comes into being with the first write.
pub(super) async fn branch(cx: &Cx<'_>) -> Result<Arc<Branch>> {
    Ok(cx
        .shared
        .engine
        .database_for_write(&cx.request.database)
        .await?)
}

/// Has `decide` decide on the branch's head, once however often the client retries; gives the answer's own fields.
pub(super) async fn decided(
    cx: &Cx<'_>,
    branch: &Branch,
    retry: Option<&Retry>,
    mut decide: impl FnMut(&mut Writer) -> Result<Bytes> + Send,
) -> Result<Bytes> {
    let decided = cx
        .shared
        .engine
        .write(branch, &cx.origin(), |writer| {
            if let Some(retry) = retry
                && let Some(earlier) = writer.earlier_outcome(retry)?
            {
                return Ok(Ok(earlier));
            }
            let answer = decide(writer);
            if let (Some(retry), Ok(answer)) = (retry, &answer)
                && !writer.is_unchanged()
            {
                writer.remember(retry, answer.clone());
            }
            Ok(answer)
        })
        .await?;
    decided
}

/// Refuses an empty batch and one that is too large.
fn check_batch(statements: usize) -> Result<()> {
    if (1..=MAX_WRITE_BATCH).contains(&statements) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidLength,
        format!(
            "Write batch sizes must be between 1 and {MAX_WRITE_BATCH}. Got {statements} operations."
        ),
    ))
}

/// The statements of a write command: the document sequence called `name`, or the array in the command.
pub(super) fn statements<'a>(
    request: &'a Request,
    command: &'static str,
    name: &str,
) -> Result<Vec<Bytes>> {
    if let Some(sequence) = request
        .sequences
        .iter()
        .find(|sequence| sequence.identifier == name)
    {
        if request.doc().get(name).is_some() {
            return Err(Error::location(
                40413,
                format!("BSON field '{command}.{name}' is a duplicate field"),
            ));
        }
        return Ok(sequence.documents.clone());
    }
    let path = format!("{command}.{name}");
    let array = match request.doc().get(name) {
        Some(ValueRef::Array(array)) => array,
        Some(value) => return Err(crate::request::wrong_type(&path, &value, "array")),
        None => return Err(missing_field(&path)),
    };
    array
        .iter()
        .map(|item| match item.value() {
            ValueRef::Document(doc) => Ok(request.body.slice_ref(doc.as_bytes())),
            value => {
                let path = format!("{path}.{}", item.key());
                Err(crate::request::wrong_type(&path, &value, "object"))
            }
        })
        .collect()
}

/// A new collection's options: its UUID and nothing else.
pub(super) fn implicit_options() -> Bytes {
    let mut options = DocBuf::new();
    options.append(
        "uuid",
        ValueRef::Binary {
            subtype: 4,
            bytes: uuid::Uuid::new_v4().as_bytes(),
        },
    );
    options.finish()
}

/// A new `_id`.
pub(super) fn new_id() -> [u8; 12] {
    ObjectId::new().bytes()
}

/// A boolean field of a statement.
pub(super) fn flag(path: &str, element: &Element<'_>) -> Result<bool> {
    match element.value() {
        ValueRef::Bool(value) => Ok(value),
        ValueRef::Int32(value) => Ok(value != 0),
        ValueRef::Int64(value) => Ok(value != 0),
        ValueRef::Double(value) => Ok(value != 0.0),
        value => Err(crate::request::wrong_type(path, &value, "bool")),
    }
}
