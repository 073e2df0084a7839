//! `explain`: how a command would be carried out, and what it looks at.
//!
//! The shape is mongod's, with its classic stages, because that is what tools draw.
//! Source: MongoDB manual, "Explain Results".

use std::sync::Arc;
use std::time::Instant;

use argon_engine::exec::{
    Examined, Find, distinct_plan, distinct_records, examine, examine_records, plan,
};
use argon_engine::state::{Collection, State};
use argon_mql::filter::Filter;
use argon_mql::path::Path;
use argon_mql::plan::{Explain, Hint, Plan, PlanIndex, Purpose};
use argon_mql::stage::Pipeline;
use argon_mql::{Doc, DocBuf, Env, ErrorCode, ParseContext, ValueRef};
use bytes::Bytes;

use super::query::{self, Common};
use super::{Access, Command, Cx, explain_stages, text};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Argument, is_generic, unknown_field, wrong_type};

pub(super) const COMMAND: Command = Command {
    name: "explain",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Tells how a command would be carried out.",
    run: |cx| Box::pin(run(cx)),
};

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verbosity {
    Plan,
    Stats,
    AllPlans,
}

/// The part of a command that is planned.
struct Planned<'a> {
    filter: Doc<'a>,
    sort: Option<Doc<'a>>,
    projection: Option<Doc<'a>>,
    skip: u64,
    limit: u64,
    hint: ValueRef<'a>,
    let_: Option<Doc<'a>>,
    collation: Option<Doc<'a>>,
    /// The stage around the query: `UPDATE`, `DELETE`, `COUNT`.
    outer: Option<&'static str>,
    /// The field whose values are wanted.
    key: Option<Path>,
    return_key: bool,
    /// The projection of what is given back of a document that is changed.
    fields: Option<Doc<'a>>,
    /// The stages of a pipeline behind the query, as they were written.
    behind: Vec<Doc<'a>>,
    is_pipeline: bool,
    allow_disk_use: bool,
}

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    let command = match cx.request.subject() {
        ValueRef::Document(command) => command,
        value => return Err(wrong_type("explain.explain", &value, "object")),
    };
    let mut verbosity = Verbosity::AllPlans;
    for element in cx.request.arguments().skip(1) {
        let argument = Argument {
            command: "explain",
            element,
        };
        match &**element.key() {
            b"verbosity" => {
                verbosity = match argument.string()? {
                    "queryPlanner" => Verbosity::Plan,
                    "executionStats" => Verbosity::Stats,
                    "allPlansExecution" => Verbosity::AllPlans,
                    other => {
                        return Err(Error::bad_value(format!(
                            "Enumeration value '{other}' for field 'explain.verbosity' is not a valid value."
                        )));
                    }
                }
            }
            key if is_generic(key) => {}
            _ => return Err(unknown_field("explain", element.key())),
        }
    }
    let reply = explain(cx, command, verbosity).await?;
    Ok(Reply::from(reply))
}

/// Explains an `aggregate` that asks for it itself.
pub(super) async fn aggregate(cx: &Cx<'_>) -> Result<Reply> {
    Ok(Reply::from(
        explain(cx, cx.request.doc(), Verbosity::Plan).await?,
    ))
}

async fn explain(cx: &Cx<'_>, command: Doc<'_>, verbosity: Verbosity) -> Result<DocBuf> {
    let first = command.iter().next();
    let name = first
        .map(|first| first.key().to_string())
        .unwrap_or_default();
    let collection = match first.map(|first| first.value()) {
        Some(ValueRef::String(collection)) => collection.to_string(),
        _ => "$cmd.aggregate".to_owned(),
    };
    let planned = planned(&name, command)?;
    let state = query::state(cx).await?;
    let target = state.collection(&collection).cloned();
    let common = Common {
        let_: planned.let_,
        collation: planned.collation,
    };
    let (variables, parse) = query::variables(cx, &common, target.as_ref())?;
    let namespace = format!("{}.{collection}", cx.request.database);
    let check = || cx.operation.check();
    let env = cx.env(variables, &check);
    let mut reply = DocBuf::with_capacity(1024);
    let write = || {
        write(
            cx,
            &state,
            &mut reply,
            &namespace,
            &collection,
            target.as_ref(),
            &planned,
            &parse,
            verbosity,
            &env,
        )
    };
    tokio::task::block_in_place(write)?;
    let echoed = reply.open_document("command");
    reply.append_all(command);
    if command.get("$db").is_none() {
        reply.append("$db", text(&cx.request.database));
    }
    reply.close(echoed);
    let server = reply.open_document("serverInfo");
    reply.append("host", text("argon"));
    reply.append("port", ValueRef::Int32(cx.shared.address.port().into()));
    reply.append("version", text(super::VERSION));
    reply.append("gitVersion", text(super::GIT_VERSION));
    reply.close(server);
    let parameters = reply.open_document("serverParameters");
    reply.close(parameters);
    Ok(reply)
}

/// Takes the query out of a command.
fn planned<'a>(name: &str, command: Doc<'a>) -> Result<Planned<'a>> {
    let document = |key: &str| command.get(key).and_then(|value| value.as_document());
    let number = |key: &str| match command.get(key) {
        Some(ValueRef::Int32(number)) => u64::from(number.unsigned_abs()),
        Some(ValueRef::Int64(number)) => number.unsigned_abs(),
        _ => 0,
    };
    let mut planned = Planned {
        filter: Doc::EMPTY,
        sort: None,
        projection: None,
        skip: 0,
        limit: 0,
        hint: command.get("hint").unwrap_or(ValueRef::Missing),
        let_: document("let"),
        collation: document("collation"),
        outer: None,
        key: None,
        return_key: false,
        fields: None,
        behind: Vec::new(),
        is_pipeline: false,
        allow_disk_use: !matches!(command.get("allowDiskUse"), Some(ValueRef::Bool(false))),
    };
    let nonempty = |doc: Option<Doc<'a>>| doc.filter(|doc| !doc.is_empty());
    match name {
        "find" => {
            planned.filter = document("filter").unwrap_or(Doc::EMPTY);
            planned.sort = nonempty(document("sort"));
            planned.projection = nonempty(document("projection"));
            planned.skip = number("skip");
            planned.limit = number("limit");
            planned.return_key = matches!(command.get("returnKey"), Some(ValueRef::Bool(true)));
        }
        "count" => {
            planned.filter = document("query").unwrap_or(Doc::EMPTY);
            planned.outer = Some("COUNT");
        }
        "distinct" => {
            planned.filter = document("query").unwrap_or(Doc::EMPTY);
            planned.key = command
                .get("key")
                .and_then(|key| key.as_str())
                .map(Path::new);
        }
        "findAndModify" | "findandmodify" => {
            planned.filter = document("query").unwrap_or(Doc::EMPTY);
            planned.sort = nonempty(document("sort"));
            let removes = matches!(command.get("remove"), Some(ValueRef::Bool(true)));
            planned.outer = Some(if removes { "DELETE" } else { "UPDATE" });
            planned.limit = u64::from(planned.sort.is_some());
            planned.fields = nonempty(document("fields"));
        }
        "update" | "delete" => {
            let (list, outer) = if name == "update" {
                ("updates", "UPDATE")
            } else {
                ("deletes", "DELETE")
            };
            let statements = command.get(list).and_then(|value| value.as_array());
            let mut statements = statements.into_iter().flat_map(|array| array.values());
            let (Some(ValueRef::Document(statement)), None) =
                (statements.next(), statements.next())
            else {
                return Err(Error::new(
                    ErrorCode::InvalidLength,
                    "explained write batches must be of size 1",
                ));
            };
            planned.filter = statement
                .get("q")
                .and_then(|q| q.as_document())
                .unwrap_or(Doc::EMPTY);
            planned.hint = statement.get("hint").unwrap_or(ValueRef::Missing);
            planned.outer = Some(outer);
        }
        "aggregate" => {
            planned.is_pipeline = true;
            let stages = command.get("pipeline").and_then(|value| value.as_array());
            front(&mut planned, stages.unwrap_or(Doc::EMPTY));
        }
        _ => {
            return Err(Error::new(
                ErrorCode::IllegalOperation,
                format!("Cannot explain cmd: {name}"),
            ));
        }
    }
    Ok(planned)
}

/// Takes the stages off the front of a pipeline that the query answers.
fn front<'a>(planned: &mut Planned<'a>, stages: Doc<'a>) {
    for stage in stages.values() {
        let ValueRef::Document(stage) = stage else {
            continue;
        };
        let Some(element) = stage.iter().next() else {
            continue;
        };
        let at_front = planned.behind.is_empty();
        match (&**element.key(), element.value()) {
            (b"$match", ValueRef::Document(filter))
                if at_front
                    && planned.filter.is_empty()
                    && planned.sort.is_none()
                    && planned.limit == 0 =>
            {
                planned.filter = filter;
            }
            (b"$sort", ValueRef::Document(sort))
                if at_front && planned.sort.is_none() && planned.limit == 0 =>
            {
                planned.sort = Some(sort);
            }
            (b"$limit", ValueRef::Int32(limit)) if at_front && planned.limit == 0 => {
                planned.limit = u64::from(limit.unsigned_abs());
            }
            _ => planned.behind.push(stage),
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "what a command has found out by then"
)]
fn write(
    cx: &Cx<'_>,
    state: &Arc<State>,
    reply: &mut DocBuf,
    namespace: &str,
    collection: &str,
    target: Option<&Arc<Collection>>,
    planned: &Planned<'_>,
    parse: &ParseContext,
    verbosity: Verbosity,
    env: &Env<'_>,
) -> Result<()> {
    let start = Instant::now();
    let filter = Filter::parse(planned.filter, parse)?;
    let order = query::order(planned.sort.unwrap_or(Doc::EMPTY), parse)?;
    let hint: Option<Hint> = query::hint(planned.hint)?;
    let mut is_system = false;
    if planned.is_pipeline {
        let stages = planned
            .behind
            .iter()
            .map(|stage| ValueRef::Document(*stage));
        let pipeline = Pipeline::parse(Doc::new(&DocBuf::array(stages)), parse)?;
        is_system = pipeline.system_source().is_some();
    }
    let indexes: Vec<PlanIndex<'_>> = target
        .iter()
        .flat_map(|target| target.indexes())
        .map(|index| PlanIndex {
            spec: &index.spec,
            multikey: &index.multikey,
        })
        .collect();
    let chosen = match (target, &planned.key) {
        (Some(target), Some(key)) => distinct_plan(target, &filter, key)?,
        (Some(target), None) => plan(target, &filter, &order, hint.as_ref())?,
        (None, _) => Plan::Empty,
    };
    let purpose = match (planned.outer, &planned.key) {
        (_, Some(key)) => Purpose::Distinct(key),
        (Some("COUNT"), _) => Purpose::Count,
        (Some(_), _) => Purpose::Change,
        (None, _) => Purpose::Documents,
    };
    let explained = Explain {
        clustered: target.is_some_and(|target| target.options.clustered),
        plan: &chosen,
        indexes: &indexes,
        filter: &filter,
        source: planned.filter,
        sort: planned.sort,
        projection: planned.projection,
        skip: planned.skip,
        limit: planned.limit,
        purpose,
        return_key: planned.return_key,
    };
    reply.append("explainVersion", text("1"));
    let stages = (!planned.behind.is_empty()).then(|| {
        let stages = reply.open_array("stages");
        let first = reply.push_document(0);
        let cursor = reply.open_document("$cursor");
        (stages, first, cursor)
    });
    let planner = reply.open_document("queryPlanner");
    reply.append("namespace", text(namespace));
    reply.append("indexFilterSet", ValueRef::Bool(false));
    reply.append(
        "parsedQuery",
        ValueRef::Document(Doc::new(&explained.parsed_query())),
    );
    if planned.is_pipeline {
        reply.append("optimizedPipeline", ValueRef::Bool(true));
    }
    for flag in [
        "maxIndexedOrSolutionsReached",
        "maxIndexedAndSolutionsReached",
        "maxScansToExplodeReached",
    ] {
        reply.append(flag, ValueRef::Bool(false));
    }
    let winning = explained.winning_plan();
    let looks_at_documents = winning.looks_at_documents;
    // All documents are counted already.
    let known_count = planned.outer == Some("COUNT") && filter.is_empty() && hint.is_none();
    let winning = wrapped(planned, known_count, Doc::new(&winning.stages));
    reply.append("winningPlan", ValueRef::Document(Doc::new(&winning)));
    let rejected = reply.open_array("rejectedPlans");
    reply.close(rejected);
    reply.close(planner);

    if verbosity >= Verbosity::Stats {
        let enough = (planned.limit > 0 && chosen.covers_sort() | planned.sort.is_none())
            .then(|| planned.limit + planned.skip);
        let mut examined = match (target, &planned.key) {
            (Some(_), _) if known_count => Examined::default(),
            (Some(target), Some(key)) => {
                let records = distinct_records(target, filter.clone(), &chosen, key);
                examine_records(records, enough, env)?
            }
            (Some(target), None) => examine(target, &filter, &chosen, enough, env)?,
            (None, _) => Examined::default(),
        };
        if !looks_at_documents {
            examined.documents = 0;
        }
        let returned = examined.found.saturating_sub(planned.skip);
        let returned = if planned.limit == 0 {
            returned
        } else {
            returned.min(planned.limit)
        };
        let shown = if planned.outer.is_some() { 0 } else { returned };
        let stats = reply.open_document("executionStats");
        reply.append("executionSuccess", ValueRef::Bool(true));
        reply.append("nReturned", number(shown));
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        reply.append("executionTimeMillis", number(elapsed));
        reply.append("totalKeysExamined", number(examined.keys));
        reply.append("totalDocsExamined", number(examined.documents));
        let open = reply.open_document("executionStages");
        stage_stats(reply, Doc::new(&winning), examined, returned);
        reply.close(open);
        if verbosity == Verbosity::AllPlans {
            let all = reply.open_array("allPlansExecution");
            reply.close(all);
        }
        reply.close(stats);
    }
    if let Some((stages, first, cursor)) = stages {
        reply.close(cursor);
        let mut stats = Vec::new().into_iter();
        if verbosity >= Verbosity::Stats && !is_system {
            let query = Find {
                filter: Some(filter.clone()),
                order,
                skip: planned.skip,
                limit: planned.limit,
                hint,
                collation: parse.collation.clone(),
                ..Find::default()
            };
            let spill = cx.spill(planned.allow_disk_use);
            let behind = &planned.behind;
            stats = explain_stages::run(state, collection, &query, behind, parse, env, spill)?
                .into_iter();
        }
        if let Some(stats) = stats.next() {
            stats.append_to("$cursor", reply);
        }
        reply.close(first);
        for (at, stage) in planned.behind.iter().enumerate() {
            let open = reply.push_document(at + 1);
            reply.append_all(*stage);
            if let Some(stats) = stats.next() {
                let name = stage.iter().next().map(|stage| stage.key().to_string());
                stats.append_to(&name.unwrap_or_default(), reply);
            }
            reply.close(open);
        }
        reply.close(stages);
    }
    Ok(())
}

/// The stages with those around the query: what is done with the documents that it finds.
fn wrapped(planned: &Planned<'_>, known_count: bool, stages: Doc<'_>) -> Bytes {
    let mut out = DocBuf::new();
    if known_count {
        out.append("stage", text("RECORD_STORE_FAST_COUNT"));
        return out.finish();
    }
    let Some(outer) = planned.outer else {
        out.append_all(stages);
        return out.finish();
    };
    out.append("stage", text(outer));
    out.append("inputStage", ValueRef::Document(stages));
    let Some(fields) = planned.fields else {
        return out.finish();
    };
    let changed = out.finish();
    let mut out = DocBuf::new();
    out.append("stage", text("PROJECTION_DEFAULT"));
    out.append("transformBy", ValueRef::Document(fields));
    out.append("inputStage", ValueRef::Document(Doc::new(&changed)));
    out.finish()
}

/// A stage of the plan with what it did.
fn stage_stats(out: &mut DocBuf, stage: Doc<'_>, examined: Examined, returned: u64) {
    let name = stage
        .get("stage")
        .and_then(|name| name.as_str())
        .unwrap_or_default();
    let given = match name {
        "UPDATE" | "DELETE" | "COUNT" | "RECORD_STORE_FAST_COUNT" => 0,
        "IXSCAN" | "COUNT_SCAN" | "DISTINCT_SCAN" => examined.keys,
        "CLUSTERED_IXSCAN" | "FETCH" | "COLLSCAN" | "IDHACK" => examined.found,
        _ => returned,
    };
    for element in stage.iter() {
        match (&**element.key(), element.value()) {
            (b"stage", _) => {
                out.append_element(&element);
                works(out, given, examined);
                let mut count = |name: &str, count| out.append(name, number(count));
                match name {
                    "UPDATE" => {
                        count("nMatched", examined.found);
                        count("nWouldModify", examined.found);
                        count("nWouldUpsert", 0);
                    }
                    "DELETE" => count("nWouldDelete", examined.found),
                    "COUNT" => {
                        count("nCounted", examined.found);
                        count("nSkipped", 0);
                    }
                    _ => {}
                }
            }
            (b"inputStage", ValueRef::Document(input)) => {
                let open = out.open_document("inputStage");
                stage_stats(out, input, examined, returned);
                out.close(open);
            }
            _ => out.append_element(&element),
        }
    }
    match name {
        "IXSCAN" | "COUNT_SCAN" | "DISTINCT_SCAN" => {
            out.append("keysExamined", number(examined.keys));
        }
        "CLUSTERED_IXSCAN" | "FETCH" | "COLLSCAN" => {
            out.append("docsExamined", number(examined.documents));
        }
        "SORT" => {
            out.append("totalDataSizeSorted", number(examined.found_bytes));
            // Documents of a state are in memory anyway, and what sorting adds to them seldom fills the stage's share.
            out.append("usedDisk", ValueRef::Bool(false));
            out.append("spills", number(0));
        }
        "IDHACK" => {
            out.append("keysExamined", number(examined.documents));
            out.append("docsExamined", number(examined.documents));
        }
        _ => {}
    }
}

fn works(out: &mut DocBuf, returned: u64, examined: Examined) {
    out.append("nReturned", number(returned));
    out.append("executionTimeMillisEstimate", number(0));
    out.append("works", number(examined.keys.max(examined.documents) + 1));
    out.append("advanced", number(returned));
    out.append(
        "needTime",
        number(examined.documents.saturating_sub(returned)),
    );
    for zero in ["needYield", "saveState", "restoreState"] {
        out.append(zero, number(0));
    }
    out.append("isEOF", number(1));
}

fn number(number: u64) -> ValueRef<'static> {
    super::coll_stats::number(number)
}
