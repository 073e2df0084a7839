//! Places of fields that were taken away.
//!
//! A field that one stage of a pipeline removes, or computes to nothing, and that a later stage sets again stands where it
//! stood before. So between two stages a document may hold, besides its elements, *places*: an element of a type of our
//! own, with a name and no value. Who reads a document does not see them; who copies one keeps them; who sets a field
//! looks for one. None leaves the pipeline: [`without_places`].
//!
//! Source: mongod 6.0.5, `tests/cases/stage/place.case`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::build::DocBuf;
use super::doc::Doc;
use super::reference::ValueRef;

/// The type byte of a place. No BSON type: what comes from outside is refused with it.
pub(super) const PLACE: u8 = 0x60;

/// Which fields' places are kept: those of the fields that a later stage sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// By name, whatever the path: the last stage that sets a field called so.
    pub(crate) set_by: Arc<HashMap<Vec<u8>, usize>>,
    /// The stage whose results are asked about.
    pub(crate) stage: usize,
    /// What the pipeline around this one does with the results.
    pub(crate) outer: Option<Arc<Places>>,
}

impl Places {
    /// Whether a field called `name` is set later.
    pub(crate) fn keep(&self, name: &[u8]) -> bool {
        let mut places = Some(self);
        while let Some(here) = places {
            if here.set_by.get(name).is_some_and(|&by| by > here.stage) {
                return true;
            }
            places = here.outer.as_deref();
        }
        false
    }
}

/// `doc` without places.
pub(crate) fn without_places(doc: Bytes) -> Bytes {
    if !has_places(Doc::new(&doc)) {
        return doc;
    }
    let mut out = DocBuf::with_capacity(doc.len());
    copy(&mut out, Doc::new(&doc));
    out.finish()
}

// A document's depth, which was checked where it came in, bounds these recursions, and a pipeline's expressions add no
// more than their own.
fn has_places(doc: Doc<'_>) -> bool {
    doc.iter_with_places().any(|element| match element.value() {
        ValueRef::Missing => true,
        ValueRef::Document(inner) | ValueRef::Array(inner) => has_places(inner),
        _ => false,
    })
}

fn copy(out: &mut DocBuf, doc: Doc<'_>) {
    for element in doc.iter() {
        match element.value() {
            ValueRef::Document(inner) if has_places(inner) => {
                let open = out.open_document(element.key());
                copy(out, inner);
                out.close(open);
            }
            ValueRef::Array(inner) if has_places(inner) => {
                let open = out.open_array(element.key());
                copy(out, inner);
                out.close(open);
            }
            _ => out.append_element(&element),
        }
    }
}
