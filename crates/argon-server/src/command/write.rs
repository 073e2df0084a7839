//! What the commands that write documents have in common: statements, their failures, and retries.

use std::borrow::Cow;
use std::sync::Arc;

use argon_engine::state::SPAN;
use argon_engine::{Branch, Retry, Writer};
use argon_mql::value::Element;
use argon_mql::{Doc, DocBuf, ErrorCode, ParseContext, Value, ValueRef};
use argon_wire::MAX_WRITE_BATCH;
use bson::oid::ObjectId;
use bytes::Bytes;

use super::{Cx, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, Request, is_generic, missing_field, unknown_field};

/// What one statement did.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// Documents inserted, matched or deleted; one for an upsert.
    pub(super) n: u64,
    /// Documents that an update changed.
    pub(super) modified: u64,
    /// The `_id` of the document that an upsert made.
    pub(super) upserted: Option<Value>,
}

impl Done {
    /// What the log remembers of it for a retry.
    fn to_outcome(&self, span: i32) -> Bytes {
        let mut doc = DocBuf::with_capacity(32);
        doc.append("n", ValueRef::Int64(self.n.cast_signed()));
        if self.modified > 0 {
            doc.append("nModified", ValueRef::Int64(self.modified.cast_signed()));
        }
        if let Some(id) = &self.upserted {
            doc.append("upserted", id.as_ref());
        }
        if span > 1 {
            doc.append(SPAN, ValueRef::Int32(span));
        }
        doc.finish()
    }

    fn from_outcome(outcome: &Bytes) -> Done {
        let doc = Doc::new(outcome);
        let number = |key: &str| match doc.get(key) {
            Some(ValueRef::Int64(number)) => number.cast_unsigned(),
            _ => 0,
        };
        Done {
            n: number("n"),
            modified: number("nModified"),
            upserted: doc.get("upserted").map(|id| Value::share(id, outcome)),
        }
    }
}

/// The answer of a write command under construction: what its statements did, and which failed.
#[derive(Default)]
struct Outcome {
    n: u64,
    modified: u64,
    /// The statements' places and the new documents' `_id`s.
    upserted: Vec<(usize, Value)>,
    /// The failed statements' places and what happened.
    errors: Vec<(usize, Error)>,
    /// The numbers of the statements that were made by an earlier attempt.
    retried: Vec<i32>,
}

impl Outcome {
    fn add(&mut self, index: usize, done: Done) {
        self.n += done.n;
        self.modified += done.modified;
        self.upserted.extend(done.upserted.map(|id| (index, id)));
    }

    fn into_reply(self, updates: bool) -> Reply {
        let mut reply = Reply::ok();
        let doc = reply.doc();
        doc.append("n", count(self.n));
        if !self.retried.is_empty() {
            let array = doc.open_array("retriedStmtIds");
            for (at, id) in self.retried.iter().enumerate() {
                doc.push(at, ValueRef::Int32(*id));
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
        if updates {
            doc.append("nModified", count(self.modified));
        }
        reply
    }
}

fn count(number: u64) -> ValueRef<'static> {
    ValueRef::Int32(i32::try_from(number).unwrap_or(i32::MAX))
}

/// The arguments that `insert`, `update` and `delete` have in common.
pub(super) struct Arguments {
    /// The documents, or what to do, one by one.
    pub(super) statements: Vec<Bytes>,
    /// Whether the first failure ends the command.
    ordered: bool,
    /// Whether documents are stored whatever the collection's validator says of them.
    bypass: bool,
    /// Whether the statements are updates, whose answer has `nModified`.
    updates: bool,
}

impl Arguments {
    /// Reads those of `command`, which calls its statements `statements`; `take` takes what is an argument of it alone,
    /// and says whether it was.
    pub(super) fn read<'a>(
        request: &'a Request,
        command: &'static str,
        statements: &'static str,
        mut take: impl FnMut(&Argument<'a>) -> Result<bool>,
    ) -> Result<Arguments> {
        let mut ordered = true;
        let mut bypass = false;
        for element in request.arguments().skip(1) {
            let argument = Argument { command, element };
            match &**element.key() {
                b"ordered" => ordered = argument.bool()?,
                b"bypassDocumentValidation" => bypass = argument.bool()?,
                key if *key == *statements.as_bytes() => {}
                _ if take(&argument)? => {}
                key if is_generic(key) => {}
                _ => return Err(unknown_field(command, element.key())),
            }
        }
        Ok(Arguments {
            statements: self::statements(request, command, statements)?,
            ordered,
            bypass,
            updates: command == "update",
        })
    }
}

/// Runs a write command: has `decide` decide its statements one by one, except those that an earlier attempt of a
/// retryable write has made, and answers.
///
/// A command is one record: it becomes durable and visible as a whole, the statements that failed excepted.
pub(super) async fn run(
    cx: &Cx<'_>,
    arguments: &Arguments,
    mut decide: impl FnMut(&mut Writer, usize) -> Result<Done> + Send,
) -> Result<Reply> {
    let count = arguments.statements.len();
    if !(1..=MAX_WRITE_BATCH).contains(&count) {
        return Err(Error::new(
            ErrorCode::InvalidLength,
            format!(
                "Write batch sizes must be between 1 and {MAX_WRITE_BATCH}. Got {count} operations.",
            ),
        ));
    }
    let branch = branch(cx).await?;
    let outcome = write(cx, &branch, |writer| {
        writer.bypass_validation = arguments.bypass;
        let mut outcome = Outcome::default();
        let mut run = Run::default();
        for index in 0..count {
            let retry = cx.request.retry(index);
            if let Some(retry) = &retry
                && let Some(earlier) = writer.earlier_outcome(retry)?
            {
                outcome.retried.push(retry.stmt_id);
                outcome.add(index, Done::from_outcome(&earlier));
                continue;
            }
            let before = writer.changes();
            match decide(writer, index) {
                Ok(done) => {
                    if let Some(retry) = retry.filter(|_| writer.changes() > before) {
                        run.add(writer, retry, &done);
                    }
                    outcome.add(index, done);
                }
                Err(error) if error.is_interruption() => return Err(error),
                Err(error) => {
                    outcome.errors.push((index, error));
                    if arguments.ordered {
                        break;
                    }
                }
            }
        }
        run.end(writer);
        Ok(outcome)
    })
    .await?;
    Ok(outcome.into_reply(arguments.updates))
}

/// Statements in a row with the same simple outcome, remembered as one.
#[derive(Default)]
struct Run {
    first: Option<(Retry, Done)>,
    span: i32,
}

impl Run {
    fn add(&mut self, writer: &mut Writer, retry: Retry, done: &Done) {
        if let Some((first, known)) = &self.first
            && first.stmt_id.saturating_add(self.span) == retry.stmt_id
            && (known.n, known.modified) == (done.n, done.modified)
            && known.upserted.is_none()
            && done.upserted.is_none()
        {
            self.span += 1;
            return;
        }
        self.end(writer);
        self.first = Some((retry, done.clone()));
        self.span = 1;
    }

    fn end(&mut self, writer: &mut Writer) {
        if let Some((retry, done)) = self.first.take() {
            writer.remember(&retry, done.to_outcome(self.span));
        }
    }
}

/// The branch that the command writes to; it comes into being with the first write.
pub(super) async fn branch(cx: &Cx<'_>) -> Result<Arc<Branch>> {
    Ok(cx
        .shared
        .engine
        .database_for_write(&cx.request.database)
        .await?)
}

/// Has `decide` decide on the branch's head; durable and visible when it returns.
pub(super) async fn write<T>(
    cx: &Cx<'_>,
    branch: &Branch,
    mut decide: impl FnMut(&mut Writer) -> Result<T> + Send,
) -> Result<T> {
    let decide = |writer: &mut Writer| {
        // It may be called again and again where another process is faster each time.
        cx.operation.check()?;
        decide(writer)
    };
    cx.shared.engine.write(branch, &cx.origin(), decide).await
}

/// The statements of a write command: the document sequence called `name`, or the array in the command.
fn statements(request: &Request, command: &'static str, name: &str) -> Result<Vec<Bytes>> {
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

/// A statement's field that is a document.
pub(super) fn document<'a>(path: &str, element: &Element<'a>) -> Result<Doc<'a>> {
    let value = element.value();
    value
        .as_document()
        .ok_or_else(|| crate::request::wrong_type(path, &value, "object"))
}

/// The context in which a statement is compiled: the command's, but for a collation of the statement's own.
pub(super) fn own_collation<'a>(
    parse: &'a ParseContext,
    collation: Option<Doc<'_>>,
) -> Result<Cow<'a, ParseContext>> {
    Ok(match collation {
        None => Cow::Borrowed(parse),
        Some(_) => Cow::Owned(parse.with_collation(super::query::collation(collation, None)?)),
    })
}
