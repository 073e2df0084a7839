//! A collection's options: what it was created with, parsed once.

use std::sync::Arc;

use argon_mql::collation::Collation;
use argon_mql::filter::{Filter, failure};
use argon_mql::{Doc, DocBuf, Env, Error, ErrorCode, ParseContext, Result, ValueRef};
use bytes::Bytes;

/// A collection's options.
#[derive(Clone, Debug)]
pub struct Options {
    /// BSON document as it stands in the log: what `listCollections` shows, and the UUID.
    pub document: Bytes,
    /// What it shows, if it is a view.
    pub view: Option<View>,
    /// Its bounds, if it is capped.
    pub capped: Option<Capped>,
    /// Whether it is clustered: its natural order is that of `_id`.
    pub clustered: bool,
    /// What its documents have to be.
    pub validator: Option<Validator>,
    /// How strings are compared where a command does not say; none is by bytes.
    pub collation: Option<Arc<Collation>>,
}

/// A view: a pipeline over another collection or view.
#[derive(Clone, Debug)]
pub struct View {
    /// The collection or view it is made of.
    pub on: String,
    /// The stages.
    pub stages: Vec<Bytes>,
}

/// The bounds of a capped collection.
#[derive(Clone, Copy, Debug)]
pub struct Capped {
    /// Most bytes of documents.
    pub bytes: u64,
    /// Most documents.
    pub documents: Option<u64>,
}

/// What documents have to be, and what happens if they are not.
#[derive(Clone, Debug)]
pub struct Validator {
    filter: Filter,
    source: Bytes,
    /// Whether documents that fail already may be changed to others that fail.
    pub moderate: bool,
    /// Whether a failure is only logged.
    pub warn: bool,
}

impl Options {
    /// Parses the options in `document`.
    ///
    /// # Errors
    /// What MongoDB answers for a validator or collation that cannot be parsed.
    pub fn parse(document: Bytes) -> Result<Options> {
        let doc = Doc::new(&document);
        let view = match doc.get("viewOn") {
            Some(ValueRef::String(on)) => {
                let stages = doc.get("pipeline").and_then(|stages| stages.as_array());
                let stages = stages.into_iter().flat_map(|stages| stages.values());
                Some(View {
                    on: on.to_string(),
                    stages: stages
                        .filter_map(|stage| stage.as_document())
                        .map(|stage| document.slice_ref(stage.as_bytes()))
                        .collect(),
                })
            }
            _ => None,
        };
        let number = |key: &str| match doc.get(key) {
            Some(ValueRef::Int32(number)) => u64::try_from(number).ok(),
            Some(ValueRef::Int64(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        let capped = match doc.get("capped") {
            Some(ValueRef::Bool(true)) => Some(Capped {
                bytes: number("size").unwrap_or(u64::MAX),
                documents: number("max").filter(|max| *max > 0),
            }),
            _ => None,
        };
        let collation = match doc.get("collation") {
            Some(ValueRef::Document(collation)) => Collation::parse(collation)?.map(Arc::new),
            _ => None,
        };
        let text = |key: &str| {
            doc.get(key)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
        };
        let validator = match doc.get("validator") {
            Some(ValueRef::Document(source))
                if !source.is_empty() && text("validationLevel") != "off" =>
            {
                let cx = ParseContext::new().with_collation(collation.clone());
                Some(Validator {
                    filter: Filter::parse(source, &cx)?,
                    source: document.slice_ref(source.as_bytes()),
                    moderate: text("validationLevel") == "moderate",
                    warn: text("validationAction") == "warn",
                })
            }
            _ => None,
        };
        let clustered = doc.get("clusteredIndex").is_some();
        Ok(Options {
            view,
            clustered,
            capped,
            validator,
            collation,
            document,
        })
    }

    /// The UUID that stays with the collection through renames.
    pub fn uuid(&self) -> [u8; 16] {
        match Doc::new(&self.document).get("uuid") {
            Some(ValueRef::Binary { bytes, .. }) => bytes.try_into().unwrap_or_default(),
            _ => [0; 16],
        }
    }
}

impl Validator {
    /// Whether `document` is what it has to be.
    ///
    /// # Errors
    /// What the validator's expressions fail with.
    pub fn passes(&self, document: &Bytes, env: &Env<'_>) -> Result<bool> {
        self.filter.matches(document, env)
    }

    /// The error for `document`, which is not what it has to be: with `errInfo`.
    pub fn failure(&self, document: &Bytes, env: &Env<'_>) -> Error {
        let mut details = DocBuf::new();
        let info = details.open_document("errInfo");
        let id = Doc::new(document).get("_id").unwrap_or(ValueRef::Missing);
        details.append("failingDocumentId", id);
        if let Ok(reasons) = failure(Doc::new(&self.source), &ParseContext::new(), document, env) {
            details.append("details", ValueRef::Document(Doc::new(&reasons)));
        }
        details.close(info);
        Error::new(
            ErrorCode::DocumentValidationFailure,
            "Document failed validation",
        )
        .with_details(details.finish())
    }
}
