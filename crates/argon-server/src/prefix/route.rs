//! From a database's name to its branch's names, and messages through the rewriting.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use argon_engine::BranchId;
use argon_engine::name::RESERVED;
use argon_mql::ErrorCode;
use argon_prefix::{Names, Rewritten, Shape};
use argon_upstream::{Reply, Request, Upstream};
use bson::rawdoc;
use parking_lot::Mutex;

use super::job::JOBS;
use super::{documents, names_of};
use crate::error::{Error, Result};
use crate::server::Shared;
use crate::upstream::{check_request, home, is_own_command, is_projects};

/// Most names that are kept; past it they are looked up anew.
const KEPT_MAX: usize = 4096;

/// What is known of branches in the upstream.
#[derive(Default)]
pub(crate) struct Routes {
    known: Mutex<Known>,
    /// Branches without a job. A branch that was ready once stays it until it is dropped.
    ready: Mutex<HashSet<BranchId>>,
}

/// Names by database, for one state of the catalogue.
#[derive(Default)]
struct Known {
    generation: u64,
    names: HashMap<String, Arc<Names>>,
}

impl Routes {
    pub(super) fn set_ready(&self, branch: BranchId, ready: bool) {
        let mut known = self.ready.lock();
        if ready {
            known.insert(branch);
        } else {
            known.remove(&branch);
            drop(known);
            self.known.lock().names.clear();
        }
    }
}

/// The names of the branch that the database called `database` means, if it is one in the upstream.
///
/// # Errors
/// If the branch is not there, or not ready.
pub(crate) async fn names(shared: &Shared, database: &str) -> Result<Option<Arc<Names>>> {
    let generation = shared.engine.catalog_generation();
    let routes = &shared.prefix_routes;
    {
        let known = routes.known.lock();
        if known.generation == generation
            && let Some(names) = known.names.get(database)
        {
            return Ok(Some(Arc::clone(names)));
        }
    }
    let found = match shared.engine.upstream_branch(database) {
        Err(argon_engine::Error::BranchNotFound { .. }) => {
            // Another server on the same store may have made it a moment ago.
            shared.engine.refresh().await?;
            shared.engine.upstream_branch(database)?
        }
        found => found?,
    };
    let Some(found) = found else {
        return Ok(None);
    };
    let id = found.branch.id();
    let upstream = shared.upstream()?;
    let is_main = found.branch.parent().is_none();
    if !is_main && !routes.ready.lock().contains(&id) {
        check_ready(shared, upstream, database, id).await?;
        routes.set_ready(id, true);
    }
    let names = Arc::new(names_of(database, &found));
    let mut known = routes.known.lock();
    if known.generation != generation || known.names.len() >= KEPT_MAX {
        known.names.clear();
        known.generation = generation;
    }
    known.names.insert(database.to_owned(), Arc::clone(&names));
    Ok(Some(names))
}

/// Fails if a job is known of the branch: it is being copied, or dropped.
async fn check_ready(
    shared: &Shared,
    upstream: &Upstream,
    database: &str,
    id: BranchId,
) -> Result<()> {
    let busy = |what: &str| {
        Error::new(
            ErrorCode::ConflictingOperationInProgress,
            format!("branch '{database}' is not ready: it is {what}"),
        )
    };
    if let Some(job) = shared.prefix_jobs.find(id) {
        return Err(busy(job.kind.doing()));
    }
    let find = rawdoc! { "find": JOBS, "filter": { "_id": id.to_string() }, "limit": 1 };
    let jobs = documents(upstream, shared.upstream_database(), find).await?;
    match jobs.first() {
        None => Ok(()),
        Some(job) => {
            let kind = argon_mql::Doc::new(job).get("kind");
            let kind = kind.and_then(|kind| kind.as_str());
            Err(busy(super::job::Kind::parse(kind).doing()))
        }
    }
}

/// Whose a client's request is.
pub(crate) enum Claimed {
    /// No branch's in the upstream.
    Not(Request),
    /// It goes to the upstream, and so that the client sees its own names, its answer through the rewriting.
    Theirs(Request, Option<Rewriting>),
    /// It is on such a branch, and for the table of commands.
    Own(Request),
}

/// How answers to a request are put into the client's words.
pub(crate) struct Rewriting {
    names: Arc<Names>,
    shape: Shape,
}

impl Rewriting {
    /// Puts an answer of the upstream into the client's words.
    pub(crate) fn reply(&self, reply: &mut Reply) {
        if let Some(body) = argon_prefix::reply(&self.names, self.shape, reply.body()) {
            reply.replace_body(&body);
        }
    }
}

/// Puts a request on a branch in the upstream into the upstream's words.
///
/// # Errors
/// If the branch is not there or not ready, or if the request names what is not the branch's.
pub(crate) async fn claim(shared: &Shared, request: Request) -> Result<Claimed, (Request, Error)> {
    let database = home(&request);
    if RESERVED.contains(&database)
        || !is_projects(shared, database)
        || is_own_command(request.command())
    {
        return Ok(Claimed::Not(request));
    }
    match names(shared, database).await {
        Ok(None) => Ok(Claimed::Not(request)),
        Ok(Some(_)) if is_own_cursor(shared, &request) => Ok(Claimed::Own(request)),
        Ok(Some(names)) => match rewritten(shared, &names, &request).await {
            Ok(Rewritten::Forward { body, shape }) => {
                let rewriting = (!names.is_identity()).then_some(Rewriting { names, shape });
                match body.map(|body| request.with_body(&body)) {
                    None => Ok(Claimed::Theirs(request, rewriting)),
                    Some(Some(request)) => Ok(Claimed::Theirs(request, rewriting)),
                    // The parser of the table's commands says what is wrong with it.
                    Some(None) => Ok(Claimed::Own(request)),
                }
            }
            Ok(Rewritten::Composed(_)) => Ok(Claimed::Own(request)),
            Ok(Rewritten::Unknown) => Ok(Claimed::Not(request)),
            Err(error) => Err((request, error)),
        },
        Err(error) => Err((request, error)),
    }
}

/// Whether it is about cursors that were made here: those of `listCollections`.
fn is_own_cursor(shared: &Shared, request: &Request) -> bool {
    let killed = request.killed_cursors();
    let named = request.cursor().or_else(|| killed.first().copied());
    named.is_some_and(|cursor| shared.cursors.has(cursor))
}

async fn rewritten(shared: &Shared, names: &Names, request: &Request) -> Result<Rewritten> {
    check_request(shared, Some(names), home(request), request).await?;
    if !names.is_transparent() {
        // A walk through what is nested deeper than MongoDB allows would take more stack than there is.
        argon_mql::value::validate(request.body())?;
    }
    Ok(argon_prefix::command(names, request.body())?)
}
