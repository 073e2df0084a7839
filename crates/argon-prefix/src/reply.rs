//! Replies with the client's names in them.

use argon_mql::value::Element;
use argon_mql::{Doc, DocBuf, ValueRef};
use bstr::BStr;
use bytes::Bytes;

use crate::message::to_client;
use crate::names::Names;
use crate::table::{Shape, Spot};
use crate::walk::Walk;

/// The upstream's reply with the client's names; `None` if it is as it was.
///
/// A batch of documents is passed over by its length: what is in it is the client's own.
#[must_use]
pub fn reply(names: &Names, shape: Shape, body: &[u8]) -> Option<Bytes> {
    if names.is_identity() {
        return None;
    }
    let walk = Walk::out(names);
    let mut out = DocBuf::with_capacity(body.len() + 32);
    for element in Doc::new(body).iter() {
        field(names, &walk, shape, &element, &mut out);
    }
    let out = out.finish();
    (*out != *body).then_some(out)
}

fn field(names: &Names, walk: &Walk<'_>, shape: Shape, element: &Element<'_>, out: &mut DocBuf) {
    let key: &[u8] = element.key();
    match (shape, key, element.value()) {
        (_, b"errmsg", ValueRef::String(_)) => text(names, element, out),
        (_, b"writeErrors", ValueRef::Array(errors)) => {
            let open = out.open_array(key);
            for error in errors.iter() {
                match error.value() {
                    ValueRef::Document(doc) => described(names, error.key(), doc, out),
                    _ => out.append_element(&error),
                }
            }
            out.close(open);
        }
        (_, b"writeConcernError", ValueRef::Document(doc)) => {
            described(names, key, doc, out);
        }
        (Shape::Cursor, b"cursor", ValueRef::Document(cursor)) => {
            let open = out.open_document(key);
            for element in cursor.iter() {
                if element.key() == "ns" {
                    namespace(walk, &element, out);
                } else {
                    out.append_element(&element);
                }
            }
            out.close(open);
        }
        (Shape::Namespace, b"ns", ValueRef::String(_)) => namespace(walk, element, out),
        (Shape::Namespace, b"warnings" | b"errors", ValueRef::Array(lines)) => {
            let open = out.open_array(key);
            lines.iter().for_each(|line| text(names, &line, out));
            out.close(open);
        }
        (Shape::ReduceResult, b"result", value) => {
            let spot = match value {
                ValueRef::String(_) => Spot::Collection,
                _ => Spot::Place,
            };
            if walk.spot(spot, element, out).is_err() {
                debug_assert!(false, "on the way out nothing is refused");
            }
        }
        (Shape::Explain, _, _) => walk.explained(element, out),
        _ => out.append_element(element),
    }
}

fn namespace(walk: &Walk<'_>, element: &Element<'_>, out: &mut DocBuf) {
    if walk.spot(Spot::Namespace, element, out).is_err() {
        debug_assert!(false, "on the way out nothing is refused");
    }
}

/// Writes a document of an error: its `errmsg` may have names in it, its values are the client's.
fn described(names: &Names, key: &[u8], doc: Doc<'_>, out: &mut DocBuf) {
    let open = out.open_document(key);
    for element in doc.iter() {
        if element.key() == "errmsg" {
            text(names, &element, out);
        } else {
            out.append_element(&element);
        }
    }
    out.close(open);
}

fn text(names: &Names, element: &Element<'_>, out: &mut DocBuf) {
    match element.value() {
        ValueRef::String(line) => match to_client(names, line) {
            Some(line) => out.append(element.key(), ValueRef::String(BStr::new(&line))),
            None => out.append_element(element),
        },
        _ => out.append_element(element),
    }
}
