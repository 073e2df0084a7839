//! `listCollections`: the upstream's list with the client's names, and only the branch's own.

use argon_mql::{Doc, DocBuf, ValueRef};
use bson::{RawDocumentBuf, rawdoc};
use bstr::BStr;
use bytes::Bytes;

use crate::names::{BUCKETS, Names};
use crate::stream::between;
use crate::table::Spot;
use crate::walk::Walk;

/// Where MongoDB keeps the definitions of a database's views.
const VIEWS: &str = "system.views";

/// The filter with which the upstream is asked for the collections of the branch.
///
/// The client's own filter speaks of the client's names: it is run over what [`listed`] gives.
#[must_use]
pub fn filter(names: &Names) -> RawDocumentBuf {
    if names.prefix().is_empty() {
        return RawDocumentBuf::new();
    }
    rawdoc! { "$or": [{ "name": between(names.prefix()) }, { "name": VIEWS }] }
}

/// A collection as the upstream lists it, with the client's names; `None` if it is not the branch's.
#[must_use]
pub fn listed(names: &Names, item: &[u8]) -> Option<Bytes> {
    let doc = Doc::new(item);
    let Some(ValueRef::String(upstream)) = doc.get("name") else {
        return None;
    };
    let name = if **upstream == *VIEWS.as_bytes() {
        // Of the upstream as a whole, and shown under its own name.
        upstream
    } else {
        names.to_client(upstream)?
    };
    if names.is_identity() {
        return Some(Bytes::copy_from_slice(item));
    }
    let walk = Walk::out(names);
    let mut out = DocBuf::with_capacity(item.len());
    for element in doc.iter() {
        match (&**element.key(), element.value()) {
            (b"name", _) => out.append("name", ValueRef::String(BStr::new(name))),
            (b"options", ValueRef::Document(options)) => {
                let open = out.open_document("options");
                for option in options.iter() {
                    let spot = match &**option.key() {
                        b"viewOn" => Spot::Collection,
                        b"pipeline" => Spot::ViewPipeline,
                        _ => Spot::Nothing,
                    };
                    if walk.spot(spot, &option, &mut out).is_err() {
                        debug_assert!(false, "on the way out nothing is refused");
                    }
                }
                out.close(open);
            }
            _ => out.append_element(&element),
        }
    }
    Some(out.finish())
}

/// Whether a listed collection of the upstream is the upstream's own: not to be copied, dropped or counted.
#[must_use]
pub fn is_internal(name: &[u8]) -> bool {
    // What `$out` writes to before it renames.
    name.starts_with(b"system.") || name.starts_with(b"tmp.agg_out.")
}

/// Whether `name` holds a time-series collection's buckets.
#[must_use]
pub fn is_buckets(name: &[u8]) -> bool {
    name.starts_with(BUCKETS)
}
