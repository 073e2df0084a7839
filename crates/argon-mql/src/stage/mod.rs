//! Aggregation pipelines: stages that take documents in and give documents out, one at a time, on demand.
//!
//! ```text
//! [{$match: …}, {$group: …}] ── Pipeline::parse ──> Pipeline ── open(source) ──> Source ── next(cx) ──> document
//! ```
//!
//! A pipeline is compiled once and shared; opening it on a source of documents gives another source, which owns all it
//! needs and so can wait in a cursor between batches. What an evaluation needs from outside comes in the [`Context`]
//! with each call: time, variables and interruption in its [`Env`](crate::Env), other collections through its [`Reader`]. What a
//! pipeline wants done comes out as a value: [`Pipeline::sink`] (`$out`, `$merge`), and [`Pipeline::leading`], the part
//! at its front that an index can serve.
//!
//! A stage is a file and a row in [`STAGES`].

mod add_fields;
mod bucket;
mod bucket_auto;
mod budget;
mod changes;
mod count;
mod densify;
mod documents;
mod facet;
mod field_path;
mod fill;
mod graph_lookup;
mod group;
mod group_id;
mod limit;
mod lookup;
mod match_;
mod options;
mod pipeline;
mod places;
mod project;
mod read_fields;
mod redact;
mod refused;
mod reorder;
mod replace_root;
mod sample;
mod set_window_fields;
mod sink;
mod skip;
mod sort;
mod sort_by_count;
mod source;
mod system;
mod time_unit;
mod union_with;
mod unset;
mod unwind;

use std::fmt::Debug;
use std::sync::Arc;

use crate::catalogue::Entry;
use crate::filter::Filter;
use crate::sort::Sort;
use crate::value::ValueRef;
use crate::{Error, ErrorCode, ParseContext, Result};

pub use pipeline::{Leading, Pipeline};
pub use set_window_fields::entries as window_functions;
pub use sink::{Merge, Sink, WhenMatched, WhenNotMatched};
pub use source::{Context, Documents, Reader, Source};
pub use system::SystemSource;

pub(crate) use changes::Paths;
pub(crate) use field_path::FieldPath;

use changes::Changes;
use read_fields::FieldSet;
use reorder::Copies;

/// A compiled stage.
pub(crate) trait Stage: Debug + Send + Sync {
    /// Puts the stage behind `input`.
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source>;

    /// The filter, if it is a `$match`.
    fn as_match(&self) -> Option<&Arc<Filter>> {
        None
    }

    /// The order, if it is a `$sort`.
    fn as_sort(&self) -> Option<&Sort> {
        None
    }

    /// How many documents it lets through, if it is a `$limit`.
    fn as_limit(&self) -> Option<u64> {
        None
    }

    /// How many documents it passes over, if it is a `$skip`.
    fn as_skip(&self) -> Option<u64> {
        None
    }

    /// What to do with the documents, if it is `$out` or `$merge`.
    fn as_sink(&self) -> Option<&Sink> {
        None
    }

    /// Whether it makes documents instead of taking any.
    fn generates(&self) -> bool {
        false
    }

    /// The source that the server has to supply, if it is one.
    fn as_system(&self) -> Option<&SystemSource> {
        None
    }

    /// Tells a `$sort` that no more than `count` documents of its output will be asked for.
    fn want_at_most(&mut self, _count: u64) {}

    /// Tells a stage that only stages stand before it that mongod pushes down to the scan together with it.
    fn is_pushed_down(&mut self) {}

    /// Whether mongod can push down the stages after it, if it is pushed down itself.
    fn stays_pushed_down(&self) -> bool {
        false
    }

    /// What it changes of the documents that it gives on: a filter behind it that reads nothing of that may go first.
    fn changes(&self) -> Changes {
        Changes::All
    }

    /// What of a filter behind it may stand before it as well.
    fn takes_copies(&self) -> Copies {
        Copies::None
    }

    /// Tells it that there is a copy of the filter behind it before it now.
    fn has_copy(&mut self) {}

    /// Whether it gives one document for each that it takes, in their order: a `$limit` behind it may go first.
    fn gives_one_for_one(&self) -> bool {
        false
    }

    /// Whether a `$sort` behind it by the field at `path` may go first.
    fn may_follow_sort(&self, _path: &[u8]) -> bool {
        false
    }

    /// The top-level fields that what it gives depends on, if of that only the fields `after` are read (`None`: all);
    /// `None` if it depends on the whole documents.
    fn reads(&self, _after: Option<&FieldSet>) -> Option<FieldSet> {
        None
    }

    /// Tells it that nothing but the top-level fields `fields` of what it gives is read.
    fn is_read_for(&mut self, _fields: &FieldSet) {}

    /// Tells it that `filter`, which reads the top-level fields `fields`, follows: what does not pass need not be given.
    fn is_filtered(&mut self, _filter: &Arc<Filter>, _fields: FieldSet) {}

    /// Calls `visit` with the namespace of each other collection of the same database that it reads.
    fn each_collection(&self, _visit: &mut dyn FnMut(Option<&str>, &str)) {}

    /// Why it may not stand in a `$facet`, for stages of which that depends on their arguments.
    fn is_allowed_in_facet(&self) -> bool {
        true
    }
}

/// Where in a pipeline a stage may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Anywhere,
    First,
    Last,
}

/// One stage's registration.
struct StageOp {
    name: &'static str,
    parse: Parse,
    position: Position,
    in_facet: bool,
    /// The error it is refused with, if it is only known by name.
    refused: Option<ErrorCode>,
}

/// What a stage's row parses its argument with; some names stand for several stages.
type Parse = fn(ValueRef<'_>, &StageContext<'_>, &mut Vec<Box<dyn Stage>>) -> Result<()>;

/// The surroundings of a stage's parse.
#[derive(Clone, Copy)]
pub(crate) struct StageContext<'a> {
    /// The name under which the stage was found, where several share a parse function.
    name: &'static str,
    cx: &'a ParseContext,
    /// Its place in the pipeline.
    index: usize,
    /// How many pipelines this one is nested in.
    depth: usize,
}

impl StageOp {
    const fn anywhere(name: &'static str, parse: Parse) -> StageOp {
        StageOp {
            name,
            parse,
            position: Position::Anywhere,
            in_facet: true,
            refused: None,
        }
    }

    const fn first(name: &'static str, parse: Parse) -> StageOp {
        StageOp {
            name,
            parse,
            position: Position::First,
            in_facet: false,
            refused: None,
        }
    }

    /// A stage that is known and refused: `parse` finds what else is wrong, and fails with `code` in the end.
    const fn refused(name: &'static str, code: ErrorCode, parse: Parse) -> StageOp {
        StageOp {
            refused: Some(code),
            ..StageOp::first(name, parse)
        }
    }

    const fn last(name: &'static str, parse: Parse) -> StageOp {
        StageOp {
            name,
            parse,
            position: Position::Last,
            in_facet: false,
            refused: None,
        }
    }
}

/// The stages, sorted by name.
static STAGES: &[StageOp] = &[
    StageOp::anywhere("$_internalInhibitOptimization", options::inhibit),
    StageOp::anywhere("$addFields", add_fields::parse),
    StageOp::anywhere("$bucket", bucket::parse),
    StageOp::anywhere("$bucketAuto", bucket_auto::parse),
    StageOp::refused(
        "$changeStream",
        refused::NOT_A_REPLICA_SET,
        refused::change_stream,
    ),
    StageOp::first("$collStats", system::coll_stats),
    StageOp::anywhere("$count", count::parse),
    StageOp::first("$currentOp", system::current_op),
    StageOp::anywhere("$densify", densify::parse),
    StageOp::first("$documents", documents::parse),
    StageOp {
        in_facet: false,
        ..StageOp::anywhere("$facet", facet::parse)
    },
    StageOp::anywhere("$fill", fill::parse),
    StageOp::refused("$geoNear", ErrorCode::IndexNotFound, refused::geo_near),
    StageOp::anywhere("$graphLookup", graph_lookup::parse),
    StageOp::anywhere("$group", group::parse),
    StageOp::first("$indexStats", system::index_stats),
    StageOp::anywhere("$limit", limit::parse),
    StageOp::refused(
        "$listCachedAndActiveUsers",
        ErrorCode::QueryFeatureNotAllowed,
        refused::list_cached_and_active_users,
    ),
    StageOp::refused(
        "$listCatalog",
        ErrorCode::CommandNotSupported,
        refused::list_catalog,
    ),
    StageOp::first("$listLocalSessions", system::list_local_sessions),
    StageOp::first("$listSessions", system::list_sessions),
    StageOp::anywhere("$lookup", lookup::parse),
    StageOp::anywhere("$match", match_::parse),
    StageOp::last("$merge", sink::merge),
    StageOp::refused(
        "$mergeCursors",
        refused::NOT_FOR_USERS,
        refused::not_for_users,
    ),
    StageOp::refused(
        "$operationMetrics",
        ErrorCode::CommandNotSupported,
        refused::operation_metrics,
    ),
    StageOp::last("$out", sink::out),
    StageOp::first("$planCacheStats", system::plan_cache_stats),
    StageOp::anywhere("$project", project::parse),
    StageOp::refused("$queue", refused::NOT_FOR_USERS, refused::not_for_users),
    StageOp::anywhere("$redact", redact::parse),
    StageOp::anywhere("$replaceRoot", replace_root::replace_root),
    StageOp::anywhere("$replaceWith", replace_root::replace_with),
    StageOp::anywhere("$sample", sample::parse),
    StageOp::anywhere("$set", add_fields::parse),
    StageOp::refused(
        "$setVariableFromSubPipeline",
        refused::NOT_FOR_USERS,
        refused::not_for_users,
    ),
    StageOp::anywhere("$setWindowFields", set_window_fields::parse),
    StageOp::refused(
        "$shardedDataDistribution",
        refused::NO_SHARDS,
        refused::sharded_data_distribution,
    ),
    StageOp::anywhere("$skip", skip::parse),
    StageOp::anywhere("$sort", sort::parse),
    StageOp::anywhere("$sortByCount", sort_by_count::parse),
    StageOp::anywhere("$unionWith", union_with::parse),
    StageOp::anywhere("$unset", unset::parse),
    StageOp::anywhere("$unwind", unwind::parse),
];

/// The stages, sorted.
pub fn entries() -> impl Iterator<Item = Entry> {
    STAGES.iter().map(|op| Entry {
        name: op.name,
        refused: op.refused,
    })
}

/// Whether there is a stage called `name`.
pub(crate) fn is_known(name: &[u8]) -> bool {
    find(name).is_ok()
}

fn find(name: &[u8]) -> Result<&'static StageOp> {
    match STAGES.binary_search_by(|op| op.name.as_bytes().cmp(name)) {
        Ok(at) => Ok(&STAGES[at]),
        Err(_) => Err(Error::location(
            40324,
            format!(
                "Unrecognized pipeline stage name: '{}'",
                String::from_utf8_lossy(name)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(STAGES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
