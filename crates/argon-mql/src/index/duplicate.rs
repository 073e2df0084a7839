//! What a duplicate key error tells.

use bytes::Bytes;

use super::IndexSpec;
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
            value.append(self.fields[index].path.text(), hexed(self, part).as_ref());
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

/// A collated string as the hexadecimal of its sort key, since the key is what the index has.
fn hexed(spec: &IndexSpec, part: ValueRef<'_>) -> crate::Value {
    match (&spec.collation, part) {
        (Some(collation), ValueRef::String(text)) => {
            let mut key = Vec::new();
            collation.append_key(&mut key, text);
            crate::Value::string(
                key.iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>(),
            )
        }
        _ => crate::Value::copy_of(part),
    }
}

impl DuplicateKey {
    /// The error of the write that brought the duplicate, with `keyPattern` and `keyValue` as details.
    pub fn into_error(self) -> Error {
        let mut details = DocBuf::new();
        details.append("keyPattern", ValueRef::Document(Doc::new(&self.pattern)));
        details.append("keyValue", ValueRef::Document(Doc::new(&self.value)));
        if let Some(collation) = &self.collation {
            let hex = Doc::new(&self.value)
                .values()
                .map(|value| ValueRef::Bool(matches!(value, ValueRef::String(_))));
            let hex = DocBuf::array(hex);
            details.append("hexEncoded", ValueRef::Array(Doc::new(&hex)));
            details.append("collation", ValueRef::Document(Doc::new(collation)));
        }
        Error::new(ErrorCode::DuplicateKey, self.message).with_details(details.finish())
    }
}
