//! Stages put into a pipeline behind those whose documents name namespaces.
//!
//! What `$changeStream` and `$collStats` give carries the upstream's names, and the stages behind them (a client's
//! `{$match: {"ns.coll": "users"}}`) must see the client's. So the upstream itself renames, in a stage put between. A
//! later `getMore` then needs nothing but its cursor's name rewritten, on whichever proxy it arrives.

use argon_mql::{Doc, ValueRef};
use bson::raw::cstr;
use bson::{RawBson, RawDocumentBuf, rawdoc};

use crate::names::Names;

/// The stages to put behind `stage`.
pub(crate) fn after(names: &Names, stage: Doc<'_>, whole_database: bool) -> Vec<RawDocumentBuf> {
    let Some(element) = stage.iter().next() else {
        return Vec::new();
    };
    match &**element.key() {
        b"$changeStream" => {
            let operand = element.value().as_document().unwrap_or(Doc::EMPTY);
            let mut stages = Vec::new();
            if whole_database && let Some(own) = own_events(names) {
                stages.push(rawdoc! { "$match": own });
            }
            if !names.is_identity() {
                stages.push(rename_events(names, shows_expanded(operand)));
            }
            stages
        }
        b"$collStats" if !names.is_identity() => vec![rename_statistics(names)],
        _ => Vec::new(),
    }
}

fn shows_expanded(operand: Doc<'_>) -> bool {
    matches!(
        operand.get("showExpandedEvents"),
        Some(ValueRef::Bool(true))
    )
}

/// A filter of the events that are this branch's; `None` if all are.
///
/// What concerns the whole database concerns each branch in it: its end is theirs.
fn own_events(names: &Names) -> Option<RawDocumentBuf> {
    let mut conditions = bson::RawArrayBuf::new();
    for reserved in names.reserved() {
        for field in [cstr!("ns.coll"), cstr!("to.coll")] {
            let mut other = RawDocumentBuf::new();
            other.append(field, rawdoc! { "$not": between(reserved) });
            conditions.push(other);
        }
    }
    if !names.prefix().is_empty() {
        let own = between(names.prefix());
        conditions.push(rawdoc! { "$or": [
            { "ns.coll": own.clone() },
            { "to.coll": own },
            { "operationType": { "$in": ["dropDatabase", "invalidate"] } },
        ] });
    }
    (!conditions.is_empty()).then(|| rawdoc! { "$and": conditions })
}

/// A condition on strings that begin with `prefix`, which ends with `_`: the character behind it is a backtick.
pub(crate) fn between(prefix: &str) -> RawDocumentBuf {
    let end = format!("{}`", prefix.strip_suffix('_').unwrap_or(prefix));
    rawdoc! { "$gte": prefix, "$lt": end }
}

/// `{$set: {ns, to, …}}` with the client's names, which keeps the fields' places.
fn rename_events(names: &Names, expanded: bool) -> RawDocumentBuf {
    let mut set = rawdoc! {
        "ns": renamed_place(names, "$ns"),
        "to": renamed_place(names, "$to"),
    };
    if expanded {
        // Of a view's definition the pipeline is left out: expressions cannot rename inside it.
        let description = "$operationDescription";
        let inside = rawdoc! { "$mergeObjects": [
            { "$unsetField": { "field": "pipeline", "input": description } },
            { "$cond": [missing("$operationDescription.to"), {},
                { "to": renamed_place(names, "$operationDescription.to") }] },
            { "$cond": [missing("$operationDescription.viewOn"), {},
                { "viewOn": without_prefix(names, "$operationDescription.viewOn") }] },
        ] };
        set.append(
            cstr!("operationDescription"),
            rawdoc! { "$cond": [missing(description), "$$REMOVE", inside] },
        );
    }
    rawdoc! { "$set": set }
}

/// `{db, coll}` at `path` with the client's names; nothing if there is nothing.
fn renamed_place(names: &Names, path: &str) -> RawDocumentBuf {
    let collection = format!("{path}.coll");
    rawdoc! { "$cond": [missing(path), "$$REMOVE", { "$mergeObjects": [
        path,
        { "db": names.client() },
        { "$cond": [
            missing(&collection), {},
            { "coll": without_prefix(names, &collection) },
        ] },
    ] }] }
}

/// The string at `path` without the branch's prefix, if it begins with it.
fn without_prefix(names: &Names, path: &str) -> RawBson {
    let prefix = names.prefix();
    if prefix.is_empty() {
        return RawBson::String(path.to_owned());
    }
    let length = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
    rawdoc! { "$cond": [
        { "$eq": [{ "$indexOfBytes": [path, prefix] }, 0] },
        { "$substrBytes": [path, length, -1] },
        path,
    ] }
    .into()
}

fn missing(path: &str) -> RawDocumentBuf {
    rawdoc! { "$eq": [{ "$type": path }, "missing"] }
}

/// `{$set: {ns}}` for what `$collStats` says.
fn rename_statistics(names: &Names) -> RawDocumentBuf {
    let before = format!("{}.{}", names.upstream(), names.prefix());
    let length = i64::try_from(before.len()).unwrap_or(i64::MAX);
    rawdoc! { "$set": { "ns": { "$concat": [
        format!("{}.", names.client()),
        { "$substrBytes": ["$ns", length, -1] },
    ] } } }
}
