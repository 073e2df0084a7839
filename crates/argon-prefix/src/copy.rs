//! Copying a branch: which commands make the same collections under another prefix.

use argon_mql::{Doc, DocBuf, ValueRef};
use bson::raw::cstr;
use bson::{RawBson, RawDocumentBuf, rawdoc};
use bstr::{BStr, ByteSlice};
use bytes::Bytes;

use crate::listing::{is_internal, listed};
use crate::names::{NAMESPACE_BYTES_MAX, Names};
use crate::refused::Refused;
use crate::walk::{Rewritten, command};

/// One collection or view to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name on both branches.
    pub name: String,
    /// Its upstream name on the branch that is copied.
    pub from: String,
    /// Its upstream name on the new branch.
    pub to: String,
    /// Whether it is a view, which has no documents.
    pub is_view: bool,
    /// Whether it is capped: it cannot be read at a point in time.
    pub is_capped: bool,
    /// Whether it has a collation, which its indexes have unless they say otherwise.
    pub has_collation: bool,
    /// The command that makes it, without its database.
    pub create: Bytes,
}

/// Refuses a new branch if a collection of the upstream database has its prefix already.
///
/// # Errors
/// [`Refused`].
pub fn check_free(target: &Names, listing: &[Bytes]) -> Result<(), Refused> {
    let upstream_names = listing.iter().filter_map(|item| name_of(item));
    match target.collides(upstream_names) {
        None => Ok(()),
        Some(taken) => Err(Refused::namespace(format!(
            "'{}' of '{}' begins with '{}', as the collections of the new branch would: give the branch another name",
            BStr::new(taken),
            target.upstream(),
            target.prefix()
        ))),
    }
}

/// What to copy from the branch of `source` to that of `target`, given the upstream's `listCollections` in full.
///
/// # Errors
/// [`Refused`] if a collection's name gets too long, or if one cannot be copied.
pub fn plan(source: &Names, target: &Names, listing: &[Bytes]) -> Result<Vec<Item>, Refused> {
    let mut items = Vec::new();
    for item in listing {
        let Some(from) = name_of(item) else { continue };
        if is_internal(from) {
            continue;
        }
        let Some(shown) = listed(source, item) else {
            continue;
        };
        items.push(copied(target, from, Doc::new(&shown))?);
    }
    Ok(items)
}

fn copied(target: &Names, from: &[u8], shown: Doc<'_>) -> Result<Item, Refused> {
    let name = name_of(shown.as_bytes()).unwrap_or_default();
    let kind = shown
        .get("type")
        .and_then(|kind| kind.as_str())
        .unwrap_or("");
    if kind == "timeseries" {
        return Err(Refused::unsupported(format_args!(
            "copying the time-series collection '{}'",
            BStr::new(name)
        )));
    }
    let to = target.to_upstream(name)?;
    let bytes = target.upstream().len() + 1 + to.len();
    if bytes > NAMESPACE_BYTES_MAX {
        return Err(Refused::namespace(format!(
            "'{}.{}' would have {bytes} bytes; MongoDB allows {NAMESPACE_BYTES_MAX}",
            target.upstream(),
            BStr::new(&*to)
        )));
    }
    let options = shown
        .get("options")
        .and_then(|options| options.as_document());
    let options = options.unwrap_or(Doc::EMPTY);
    let mut create = DocBuf::new();
    create.append("create", ValueRef::String(BStr::new(name)));
    create.append_all(options);
    // An index by `_id` of an old version is made anew as it was; a clustered collection has none.
    if let Some(ValueRef::Document(index)) = shown.get("idIndex")
        && !index.is_empty()
    {
        create.append("idIndex", ValueRef::Document(index));
    }
    let create = create.finish();
    let create = match command(target, &create)? {
        Rewritten::Forward { body, .. } => body.unwrap_or(create),
        Rewritten::Composed(_) | Rewritten::Unknown => create,
    };
    Ok(Item {
        name: name.to_str_lossy().into_owned(),
        from: from.to_str_lossy().into_owned(),
        to: to.to_str_lossy().into_owned(),
        is_view: kind == "view",
        has_collation: options.get("collation").is_some(),
        is_capped: matches!(options.get("capped"), Some(ValueRef::Bool(true))),
        create,
    })
}

/// The command, without its database, that copies an item's documents on the server: read at `at`, or as they come.
///
/// `$merge` and not `$out`: it keeps the collection that was made with its options, and its writes never stand under
/// another name, where a watcher of main would see them.
#[must_use]
pub fn documents(item: &Item, at: Option<bson::Timestamp>) -> RawDocumentBuf {
    let mut command = rawdoc! {
        "aggregate": item.from.as_str(),
        "pipeline": [{ "$merge": {
            "into": item.to.as_str(),
            // Into an empty collection: the documents go in batches, without being looked up one by one.
            "whenMatched": "fail",
            "whenNotMatched": "insert",
        } }],
        "cursor": {},
        // They were accepted once; a validator may be younger than they are.
        "bypassDocumentValidation": true,
        "writeConcern": { "w": "majority" },
    };
    if let Some(at) = at {
        command.append(
            cstr!("readConcern"),
            rawdoc! { "level": "snapshot", "atClusterTime": at },
        );
    }
    command
}

/// The command that makes an item's indexes, without its database, given the specifications that `listIndexes` gives for the original;
/// `None` if it has but the one that came with the collection.
#[must_use]
pub fn indexes<'i>(
    item: &Item,
    specifications: impl IntoIterator<Item = &'i [u8]>,
) -> Option<RawDocumentBuf> {
    let mut list = bson::RawArrayBuf::new();
    for specification in specifications {
        let doc = Doc::new(specification);
        let is_own = doc.get("name").and_then(|name| name.as_str()) == Some("_id_")
            || doc.get("clustered").is_some();
        if is_own {
            continue;
        }
        let mut index = DocBuf::with_capacity(specification.len());
        for element in doc.iter().filter(|element| element.key() != "ns") {
            index.append_element(&element);
        }
        // Without one of its own an index would take the collection's.
        if item.has_collation && doc.get("collation").is_none() {
            let collation = index.open_document("collation");
            index.append("locale", ValueRef::String(BStr::new("simple")));
            index.close(collation);
        }
        let index = RawDocumentBuf::from_bytes(index.finish().to_vec()).ok()?;
        list.push(RawBson::Document(index));
    }
    (!list.is_empty()).then(|| {
        rawdoc! {
            "createIndexes": item.to.as_str(),
            "indexes": list,
            "writeConcern": { "w": "majority" },
        }
    })
}

fn name_of(item: &[u8]) -> Option<&[u8]> {
    match Doc::new(item).get("name") {
        Some(ValueRef::String(name)) => Some(name),
        _ => None,
    }
}
