//! Failures of the deployment in the words of a mongos.
//!
//! A client takes Argon for a mongos. Told that "the server" is no primary or shuts down, it would leave Argon, whose other
//! databases are well. So a failure that is about a member of the deployment says that a host behind cannot be reached,
//! as a mongos has it, which drivers retry on. Labels stay: the member puts them on for whoever asked it.

use argon_mql::value::Element;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_upstream::{Reply, Request, Upstream, is_state_change};
use argon_wire::{BytesMut, Header, MsgFlags, MsgWriter};

use crate::error::Error;

/// The answer's message, its failures those of a mongos.
pub(super) fn translate(reply: Reply) -> BytesMut {
    if !reply.has_error() {
        return reply.into_frame();
    }
    let doc = Doc::new(reply.body());
    let concern = doc.get("writeConcernError");
    let concern = concern.and_then(|concern| concern.as_document());
    if !has_state_change(doc) && !concern.is_some_and(has_state_change) {
        return reply.into_frame();
    }
    let mut body = DocBuf::with_capacity(reply.body().len() + 16);
    for element in doc.iter() {
        match &**element.key() {
            // It counts that member's states and not ours.
            b"topologyVersion" => {}
            b"writeConcernError" if concern.is_some_and(has_state_change) => {
                let open = body.open_document("writeConcernError");
                for element in concern.iter().flat_map(|concern| concern.iter()) {
                    append(&mut body, &element);
                }
                body.close(open);
            }
            _ if has_state_change(doc) => append(&mut body, &element),
            _ => body.append_element(&element),
        }
    }
    let body = body.finish();
    let number = |at: usize| {
        let bytes = reply.frame().get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| i32::from_le_bytes(*bytes))
    };
    let header = Header {
        request_id: number(4),
        response_to: number(8),
    };
    let mut frame = BytesMut::with_capacity(body.len() + 32);
    let mut writer = MsgWriter::new(&mut frame, header, MsgFlags(number(16).cast_unsigned()));
    writer.body(&body);
    match writer.finish() {
        Ok(()) => frame,
        // A failure of 48 MB; it is not worth more thought.
        Err(_) => reply.into_frame(),
    }
}

fn has_state_change(failure: Doc<'_>) -> bool {
    match failure.get("code") {
        Some(ValueRef::Int32(code)) => is_state_change(code.into()),
        _ => false,
    }
}

/// Appends a field of a failure that is a member's change of state.
fn append(out: &mut DocBuf, element: &Element<'_>) {
    match &**element.key() {
        b"code" => out.append("code", ValueRef::Int32(ErrorCode::HostUnreachable.number())),
        b"codeName" => {
            let name = ErrorCode::HostUnreachable.name();
            out.append("codeName", ValueRef::String(name.as_str().into()));
        }
        _ => out.append_element(element),
    }
}

impl Error {
    /// What keeps the answer to `request` from coming, with the labels on which drivers act.
    ///
    /// Source: specifications "Transactions" ("Error Reporting and Retrying") and "Retryable Writes".
    pub(super) fn of_upstream(
        error: argon_upstream::Error,
        request: &Request,
        upstream: &Upstream,
    ) -> Error {
        let may_have_run = matches!(
            error,
            argon_upstream::Error::Lost { .. } | argon_upstream::Error::Slow { .. }
        );
        let mut error = Error::from(error);
        if request.in_transaction() && !request.ends_transaction() {
            error.labels.push("TransientTransactionError");
        } else if request.is_retryable_write()
            && (may_have_run || request.ends_transaction())
            && upstream.is_replicated()
        {
            error.labels.push("RetryableWriteError");
        }
        error
    }
}
