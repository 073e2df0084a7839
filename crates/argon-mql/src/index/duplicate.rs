//! What a duplicate key error tells.

use bstr::BStr;
use bytes::Bytes;

use super::IndexSpec;
use crate::collation::Collation;
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Error, ErrorCode};

/// A key that another document has already in a unique index.
#[derive(Clone, Debug)]
pub struct DuplicateKey {
    /// `keyPattern`.
    pub pattern: Bytes,
    /// `keyValue`: the field paths with the document's values.
    pub value: Bytes,
    message: String,
    collation: Option<Bytes>,
}

impl IndexSpec {
    /// Describes the duplicate key `key` (one of [`keys`](IndexSpec::keys)) of `doc`, in the collection `namespace`
    /// (`database.collection`).
    pub fn duplicate(&self, namespace: &str, doc: Doc<'_>, key: &[u8]) -> DuplicateKey {
        let mut value = DocBuf::new();
        self.visit_key(doc, key, |index, part| {
            let path = self.fields[index].path.text();
            append_part(&mut value, path, part, self.collation.as_ref());
        });
        let value = value.finish();
        let collation = self.collation.as_ref().map(|c| c.document().clone());
        let collation_text = collation
            .as_ref()
            .map(|c| format!(" collation: {}", Doc::new(c)))
            .unwrap_or_default();
        let mut shown = DocBuf::new();
        for element in Doc::new(&value).iter() {
            match element.value() {
                ValueRef::String(text) if self.collation.is_some() => {
                    let text = format!("0x{text}");
                    shown.append(element.key(), ValueRef::String(text.as_bytes().into()));
                }
                other => shown.append(element.key(), other),
            }
        }
        DuplicateKey {
            pattern: self.key.clone(),
            message: format!(
                "E11000 duplicate key error collection: {namespace} index: {}{collation_text} dup key: {}",
                self.name,
                Doc::new(&shown.finish())
            ),
            value,
            collation,
        }
    }
}

/// Appends a part of a key as the index has it: of a collated string its sort key, in hexadecimal, but in documents and
/// arrays as it is.
fn append_part(out: &mut DocBuf, path: &[u8], part: ValueRef<'_>, collation: Option<&Collation>) {
    match (collation, part) {
        (Some(collation), ValueRef::String(text)) => {
            let key = sort_key(text, collation);
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            out.append(path, ValueRef::String(hex.as_bytes().into()));
        }
        (Some(collation), part) => append_inner(out, path, part, collation),
        (None, part) => out.append(path, part),
    }
}

fn sort_key(text: &BStr, collation: &Collation) -> Vec<u8> {
    let mut key = Vec::new();
    collation.append_key(&mut key, text);
    key
}

fn append_inner(out: &mut DocBuf, path: &[u8], part: ValueRef<'_>, collation: &Collation) {
    let (open, inner) = match part {
        ValueRef::String(text) => {
            let key = sort_key(text, collation);
            return out.append(path, ValueRef::String(key.as_slice().into()));
        }
        ValueRef::Document(doc) => (out.open_document(path), doc),
        ValueRef::Array(array) => (out.open_array(path), array),
        other => return out.append(path, other),
    };
    for element in inner.iter() {
        append_inner(out, element.key(), element.value(), collation);
    }
    out.close(open);
}

impl DuplicateKey {
    /// The error of the write that brought the duplicate, with `keyPattern` and `keyValue` as details.
    pub fn into_error(self) -> Error {
        let mut details = DocBuf::new();
        details.append("keyPattern", ValueRef::Document(Doc::new(&self.pattern)));
        details.append("keyValue", ValueRef::Document(Doc::new(&self.value)));
        if let Some(collation) = &self.collation {
            let is_string = |value| matches!(value, ValueRef::String(_));
            if Doc::new(&self.value).values().any(is_string) {
                let values = Doc::new(&self.value).values();
                let hex = DocBuf::array(values.map(|value| ValueRef::Bool(is_string(value))));
                details.append("hexEncoded", ValueRef::Array(Doc::new(&hex)));
            }
            details.append("collation", ValueRef::Document(Doc::new(collation)));
        }
        Error::new(ErrorCode::DuplicateKey, self.message).with_details(details.finish())
    }
}
