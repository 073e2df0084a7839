//! The documents that tell the different values of a field: all, or one per value where the keys of an index tell them
//! apart.

use std::sync::Arc;

use argon_mql::Result;
use argon_mql::filter::Filter;
use argon_mql::index::{IndexSpec, Kind, Multikey};
use argon_mql::path::Path;
use argon_mql::plan::{Hint, Plan};
use argon_mql::sort::Order;
use argon_mql::stage::{Documents, Source};

use super::find::{Find, FromRecords, find_in_view};
use super::records::{Records, plan};
use super::view::{Resolved, resolve};
use crate::state::{Collection, State};

/// Opens the documents that pass `query`'s filter, of which some with a value of `path` that another one has may be left
/// out.
///
/// # Errors
/// What the stages of a view fail with.
pub fn distinct(state: &State, name: &str, query: &Find, path: &Path) -> Result<Box<dyn Source>> {
    let Resolved { collection, stages } = resolve(state, name)?;
    if !stages.is_empty() {
        return find_in_view(collection.as_ref(), stages, query);
    }
    let Some(collection) = collection else {
        return Ok(Box::new(Documents::new(Vec::new())));
    };
    let filter = query.filter.clone().unwrap_or_else(Filter::all);
    let plan = distinct_plan(&collection, &filter, path)?;
    Ok(Box::new(FromRecords(distinct_records(
        &collection,
        filter,
        &plan,
        path,
    ))))
}

/// Plans for the different values of `path` in the documents that pass `filter`: without one, an index whose first field it
/// is tells them.
///
/// # Errors
/// As [`plan`].
pub fn distinct_plan(collection: &Collection, filter: &Filter, path: &Path) -> Result<Plan> {
    let mut hint = None;
    if filter.is_empty() {
        let usable = collection.indexes().iter().filter(|index| {
            let spec = &index.spec;
            let whole = !spec.sparse() && spec.partial_filter().is_none() && !spec.hidden();
            whole
                && spec.kind() == Kind::Ordered
                && spec.collation().is_none()
                && spec.fields()[0].path == *path
                && !index.multikey.field(0)
        });
        hint = usable
            .min_by_key(|index| index.spec.fields().len())
            .map(|index| Hint::Name(index.spec.name().to_owned()));
        if path.text() == "_id" && collection.options.collation.is_none() {
            hint = Some(Hint::Name(IndexSpec::id().name().to_owned()));
        }
    }
    plan(collection, filter, &Order::Any, hint.as_ref())
}

/// The records of such a plan.
pub fn distinct_records(
    collection: &Arc<Collection>,
    filter: Filter,
    plan: &Plan,
    path: &Path,
) -> Records {
    let mut records = Records::new(Arc::clone(collection), filter, plan);
    if let Plan::IndexScan(scan) = plan
        && scan.exact
        && let Some(name) = &scan.index
        && let Some(index) = collection.index(name)
        && index.multikey.is_empty()
        && let Some(fields) = scan.distinct_fields(&index.spec, &Multikey::default(), path)
    {
        records.give_distinct(fields);
    }
    records
}
