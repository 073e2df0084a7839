//! What takes long: making a branch, and dropping one.
//!
//! A job has a document in the upstream for as long as it lasts, with its process's name and a heart that beats by the
//! upstream's clock. The branch stands in the catalogue from the start, so its name and its prefix are taken; it is
//! ready when the document is gone. A process that finds a document whose heart has stopped takes the job over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon_engine::name::{MAIN, wire_name};
use argon_engine::{Branch, BranchEngine, BranchId};
use argon_mql::ErrorCode;
use argon_prefix::{Names, copy as plan, prefix_of};
use argon_upstream::Upstream;
use bson::{RawDocument, RawDocumentBuf, Timestamp, rawdoc};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::composed::drop_database;
use super::copy::{self, Copied};
use super::{documents, names_of, run};
use crate::command::Cx;
use crate::error::{Error, Result};
use crate::server::Shared;

/// The collection of jobs, in Argon's own database of the upstream.
pub(super) const JOBS: &str = "prefix_jobs";

/// How often a job's heart beats.
const BEAT: Duration = Duration::from_secs(2);

/// A heart that was still for this long has stopped, in milliseconds of the upstream's clock.
const STOPPED_MS: i64 = 10_000;

/// A job without a branch whose heart was still for this long has been forgotten, in milliseconds of the upstream's
/// clock: its process ended before the branch was in the catalogue, or after it was gone from there. Much longer than
/// any process is stopped between the two.
const FORGOTTEN_MS: i64 = 600_000;

/// How often jobs whose process has ended are looked for.
const LOOK: Duration = Duration::from_secs(3);

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Copies the parent's collections.
    Copy,
    /// Drops the branch's collections.
    Drop,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Copy => "copy",
            Kind::Drop => "drop",
        }
    }

    pub(super) fn parse(name: Option<&str>) -> Kind {
        match name {
            Some("drop") => Kind::Drop,
            _ => Kind::Copy,
        }
    }

    /// What is being done, as `status` and errors say it.
    pub(crate) fn doing(self) -> &'static str {
        match self {
            Kind::Copy => "being copied",
            Kind::Drop => "being dropped",
        }
    }
}

/// How far a job is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Documents copied so far.
    pub(crate) documents: AtomicU64,
    /// Documents to copy, as far as is known.
    pub(crate) documents_total: AtomicU64,
}

impl Progress {
    /// Documents copied and to copy, by now.
    pub(crate) fn now(&self) -> (i64, i64) {
        let get =
            |count: &AtomicU64| i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        (get(&self.documents), get(&self.documents_total))
    }
}

/// A job of this process.
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) progress: Arc<Progress>,
}

/// The jobs of this process, by branch.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<HashMap<BranchId, Arc<Job>>>);

impl Jobs {
    /// The job on `branch`, if this process runs one.
    pub(crate) fn find(&self, branch: BranchId) -> Option<Arc<Job>> {
        self.0.lock().get(&branch).cloned()
    }
}

/// A job on the list; dropping it takes it off.
struct Listed<'s> {
    shared: &'s Shared,
    id: BranchId,
    job: Arc<Job>,
}

impl<'s> Listed<'s> {
    fn new(shared: &'s Shared, id: BranchId, kind: Kind, progress: Arc<Progress>) -> Listed<'s> {
        let job = Arc::new(Job { kind, progress });
        shared.prefix_routes.set_ready(id, false);
        shared.prefix_jobs.0.lock().insert(id, Arc::clone(&job));
        Listed { shared, id, job }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.shared.prefix_jobs.0.lock().remove(&self.id);
    }
}

/// Makes branch `name` of branch `from` of `project`; it is ready when this returns.
///
/// # Errors
/// If the name or a collection's is in the way, or the upstream fails; then nothing is left of it.
pub(crate) async fn create_branch(
    cx: &Cx<'_>,
    project: &str,
    name: &str,
    from: &str,
) -> Result<(Arc<Branch>, Copied)> {
    let shared = Arc::clone(cx.shared);
    let (project, name, from) = (project.to_owned(), name.to_owned(), from.to_owned());
    let progress = Arc::<Progress>::default();
    *cx.operation.progress.lock() = Some(Arc::clone(&progress));
    to_the_end(cx, |ended| async move {
        make(&shared, &project, &name, &from, progress, ended).await
    })
    .await
}

/// Drops a branch and its collections.
///
/// # Errors
/// If it has branches of its own, or the upstream fails; what was dropped until then is gone, and the rest follows.
pub(crate) async fn drop_branch(cx: &Cx<'_>, branch: Arc<Branch>) -> Result<()> {
    let shared = Arc::clone(cx.shared);
    to_the_end(cx, |_| async move {
        shared.engine.check_droppable(&branch)?;
        let listed = Listed::new(&shared, branch.id(), Kind::Drop, Arc::default());
        let document = Document::create(&shared, &branch_facts(&branch), Kind::Drop, None).await?;
        tear_down(&shared, &branch, &document).await?;
        drop(listed);
        Ok(())
    })
    .await
}

/// Runs a job to its end whether or not the client stays. When the command is to end, the job is told, and goes on by
/// itself with what it has to take back.
async fn to_the_end<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    cx: &Cx<'_>,
    work: impl FnOnce(watch::Receiver<bool>) -> F,
) -> Result<T> {
    let (end, ended) = watch::channel(false);
    let mut work = tokio::spawn(work(ended));
    loop {
        tokio::select! {
            result = &mut work => {
                return result.map_err(|error| Error::bad_value(error.to_string()))?;
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                if let Err(interrupted) = cx.operation.check() {
                    let _ = end.send(true);
                    return Err(interrupted.into());
                }
            }
        }
    }
}

/// What a job's document says of its branch.
struct Facts {
    id: BranchId,
    database: String,
}

fn branch_facts(branch: &Branch) -> Facts {
    Facts {
        id: branch.id(),
        database: branch.database.to_string(),
    }
}

async fn make(
    shared: &Arc<Shared>,
    project: &str,
    name: &str,
    from: &str,
    progress: Arc<Progress>,
    mut ended: watch::Receiver<bool>,
) -> Result<(Arc<Branch>, Copied)> {
    let upstream = shared.upstream()?;
    let wire = wire_name(project, name).map_err(argon_engine::Error::from)?;
    shared.engine.adopt_upstream(project).await?;
    if let Ok(taken) = shared.engine.branch(project, name) {
        return Err(argon_engine::Error::Exists(format!(
            "branch '{name}' of project '{project}' already exists as database '{}'",
            taken.database
        ))
        .into());
    }
    let from_wire = if from == MAIN {
        MAIN.to_owned()
    } else {
        wire_name(project, from).map_err(argon_engine::Error::from)?
    };
    let source = format!("{project}~{from_wire}");
    // Fails if the parent itself is not ready.
    let source = super::names(shared, &source)
        .await?
        .ok_or_else(|| argon_engine::Error::KeptInLog(source))?;
    let facts = Facts {
        id: BranchId::random(),
        database: format!("{project}~{wire}"),
    };
    let target = target_names(shared, project, &wire, &facts.database)?;
    // Before anything is written: what is wrong with the names is wrong from the start.
    let listing = list(upstream, project).await?;
    plan::check_free(&target, &listing)?;
    plan::plan(&source, &target, &listing)?;

    let listed = Listed::new(shared, facts.id, Kind::Copy, progress);
    let at = copy::now(upstream).await?;
    let document = Document::create(shared, &facts, Kind::Copy, at).await?;
    let entered = shared
        .engine
        .create_upstream_branch(project, name, from, facts.id)
        .await;
    let branch = match entered {
        Ok(branch) => branch,
        Err(error) => {
            document.delete().await?;
            return Err(error.into());
        }
    };
    // Without its document the branch would pass for ready: it may have been forgotten while this process was stopped.
    if let Err(lost) = document.beat().await {
        shared.engine.drop_branch(project, name).await?;
        return Err(lost);
    }
    // Main may have made a collection under the prefix until every server heard of the branch.
    shared.until_heard().await;
    let free = list(upstream, project).await.and_then(|listing| {
        plan::check_free(&target, &listing)?;
        Ok(())
    });
    let copied = match free {
        Ok(()) => tokio::select! {
            built = build(shared, &branch, &listed.job.progress, &document) => built,
            _ = ended.wait_for(|ended| *ended) => Err(interrupted()),
        },
        Err(error) => Err(error),
    };
    match copied {
        Ok(copied) => {
            document.delete().await?;
            shared.prefix_routes.set_ready(facts.id, true);
            Ok((branch, copied))
        }
        // The next start goes on with it.
        Err(error) if shared.is_stopping() => Err(error),
        Err(error) => {
            if let Err(left) = tear_down(shared, &branch, &document).await {
                tracing::warn!(
                    branch = &*branch.database,
                    error = left.message,
                    "a copy that failed is not gone yet"
                );
            }
            Err(error)
        }
    }
}

fn interrupted() -> Error {
    Error::new(ErrorCode::Interrupted, "operation was interrupted")
}

/// The names of a branch that is not in the catalogue yet.
fn target_names(shared: &Shared, project: &str, wire: &str, database: &str) -> Result<Names> {
    let prefix = prefix_of(wire);
    let main = shared.engine.upstream_branch(project)?;
    let beside: Vec<(String, String)> = main
        .into_iter()
        .flat_map(|main| main.beside)
        .map(|other| (prefix_of(&other), other))
        .collect();
    if let Some((_, other)) = beside
        .iter()
        .find(|(taken, other)| *taken == prefix && other != wire)
    {
        return Err(Error::new(
            ErrorCode::NamespaceExists,
            format!(
                "the collections of branch '{other}' begin with '{prefix}' already: give the branch another name"
            ),
        ));
    }
    let beside = beside.iter().map(|(prefix, _)| prefix.as_str());
    Ok(Names::new(database, project, &prefix, beside))
}

/// The names of a branch's parent, and its own, as the catalogue has them.
fn names_of_both(shared: &Shared, branch: &Branch) -> Result<(Names, Names)> {
    let target = target_names(
        shared,
        &branch.project,
        &branch.meta.wire_name,
        &branch.database,
    )?;
    let parent = branch
        .parent()
        .map_or(MAIN, |parent| &parent.meta.wire_name);
    let source = format!("{}~{parent}", branch.project);
    let found = shared.engine.upstream_branch(&source)?;
    let found = found.ok_or_else(|| argon_engine::Error::KeptInLog(source.clone()))?;
    Ok((names_of(&source, &found), target))
}

/// Makes what the document does not name as done.
async fn build(
    shared: &Shared,
    branch: &Branch,
    progress: &Arc<Progress>,
    document: &Document<'_>,
) -> Result<Copied> {
    let upstream = shared.upstream()?;
    // Other branches come and go meanwhile: what belonged to one before the collections were listed, or does after, is
    // none of the parent's.
    shared.engine.refresh().await?;
    let (source, target) = names_of_both(shared, branch)?;
    let listing = list(upstream, &branch.project).await?;
    let before = plan::plan(&source, &target, &listing)?;
    let before: HashSet<String> = before.into_iter().map(|item| item.name).collect();
    shared.engine.refresh().await?;
    let (source, target) = names_of_both(shared, branch)?;
    let mut items = plan::plan(&source, &target, &listing)?;
    items.retain(|item| before.contains(&item.name));
    let (at, done) = document.read().await?;
    items.retain(|item| !done.contains(&item.name));
    let target = Arc::new(target);
    let copying = copy::copy(upstream, &target, items, at, progress, document);
    document.beating(copying).await
}

/// Drops the branch's collections, then the branch, then the document.
async fn tear_down(shared: &Shared, branch: &Branch, document: &Document<'_>) -> Result<()> {
    let upstream = shared.upstream()?;
    document.set_kind(Kind::Drop).await?;
    let database = &*branch.database;
    let names = target_names(shared, &branch.project, &branch.meta.wire_name, database)?;
    document.beating(drop_database(upstream, &names)).await?;
    match shared
        .engine
        .drop_branch(&branch.project, &branch.meta.name)
        .await
    {
        // Another process was faster.
        Ok(()) | Err(argon_engine::Error::BranchNotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // A server that had not heard of it yet may have written once more.
    shared.until_heard().await;
    drop_database(upstream, &names).await?;
    document.delete().await
}

async fn list(upstream: &Upstream, database: &str) -> Result<Vec<bytes::Bytes>> {
    documents(upstream, database, rawdoc! { "listCollections": 1 }).await
}

/// A job's document.
pub(super) struct Document<'s> {
    upstream: &'s Upstream,
    database: &'s str,
    id: String,
    owner: String,
}

impl<'s> Document<'s> {
    fn of(shared: &'s Shared, id: BranchId) -> Result<Document<'s>> {
        Ok(Document {
            upstream: shared.upstream()?,
            database: shared.upstream_database(),
            id: id.to_string(),
            owner: shared.process_id.to_hex(),
        })
    }

    async fn create(
        shared: &'s Shared,
        facts: &Facts,
        kind: Kind,
        at: Option<Timestamp>,
    ) -> Result<Document<'s>> {
        let document = Document::of(shared, facts.id)?;
        let mut set = rawdoc! {
            "branch": facts.database.as_str(),
            "kind": kind.name(),
            "owner": document.owner.as_str(),
            "done": [],
        };
        if let Some(at) = at {
            set.append(bson::cstr!("readAt"), at);
        }
        let update = rawdoc! { "$set": set, "$currentDate": { "beat": true } };
        document.update(update, true).await?;
        Ok(document)
    }

    /// The point in time at which the copy is read, and the collections that are there whole.
    async fn read(&self) -> Result<(Option<Timestamp>, Vec<String>)> {
        let find = rawdoc! { "find": JOBS, "filter": { "_id": self.id.as_str() } };
        let found = documents(self.upstream, self.database, find).await?;
        let Some(found) = found
            .first()
            .and_then(|doc| RawDocument::from_bytes(doc).ok())
        else {
            return Err(self.lost());
        };
        let at = found.get_timestamp("readAt").ok();
        let done = found.get_array("done").ok().into_iter().flatten();
        let done = done.filter_map(|name| Some(name.ok()?.as_str()?.to_owned()));
        Ok((at, done.collect()))
    }

    pub(super) async fn add_done(&self, name: &str) -> Result<()> {
        self.keep(rawdoc! { "$push": { "done": name }, "$currentDate": { "beat": true } })
            .await
    }

    async fn set_kind(&self, kind: Kind) -> Result<()> {
        self.keep(rawdoc! { "$set": { "kind": kind.name() }, "$currentDate": { "beat": true } })
            .await
    }

    async fn beat(&self) -> Result<()> {
        self.keep(rawdoc! { "$currentDate": { "beat": true } })
            .await
    }

    /// Runs `work` while the heart beats; ends it if somebody else has taken the job over.
    async fn beating<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                ended = &mut work => return ended,
                () = tokio::time::sleep(BEAT) => {
                    self.beat().await?;
                }
            }
        }
    }

    /// Changes the document, which must still be this process's.
    async fn keep(&self, update: RawDocumentBuf) -> Result<()> {
        if self.update(update, false).await? {
            Ok(())
        } else {
            Err(self.lost())
        }
    }

    /// Whether there was a document of this process to change, or a new one.
    async fn update(&self, update: RawDocumentBuf, new: bool) -> Result<bool> {
        let mut query = rawdoc! { "_id": self.id.as_str() };
        if !new {
            query.append(bson::cstr!("owner"), self.owner.as_str());
        }
        let reply = run(
            self.upstream,
            self.database,
            rawdoc! {
                "update": JOBS,
                "updates": [{ "q": query, "u": update, "upsert": new }],
                "writeConcern": { "w": "majority" },
            },
        )
        .await?;
        Ok(reply.get_i32("n").unwrap_or(0) > 0)
    }

    /// Takes over a document whose heart has stopped, unless another process is faster.
    async fn take_over(&self) -> Result<bool> {
        let reply = run(
            self.upstream,
            self.database,
            rawdoc! {
                "update": JOBS,
                "updates": [{
                    "q": { "_id": self.id.as_str(), "$expr": still(STOPPED_MS) },
                    "u": { "$set": { "owner": self.owner.as_str() }, "$currentDate": { "beat": true } },
                }],
                "writeConcern": { "w": "majority" },
            },
        )
        .await?;
        Ok(reply.get_i32("n").unwrap_or(0) > 0)
    }

    async fn delete(&self) -> Result<()> {
        let id = rawdoc! { "_id": self.id.as_str() };
        delete(self.upstream, self.database, id).await
    }

    fn lost(&self) -> Error {
        Error::new(
            ErrorCode::Interrupted,
            "another process has taken this over",
        )
    }
}

/// Whose heart was still for so many milliseconds.
fn still(milliseconds: i64) -> RawDocumentBuf {
    rawdoc! { "$lt": ["$beat", { "$subtract": ["$$NOW", milliseconds] }] }
}

async fn delete(upstream: &Upstream, database: &str, which: RawDocumentBuf) -> Result<()> {
    let delete = rawdoc! {
        "delete": JOBS,
        "deletes": [{ "q": which, "limit": 1 }],
        "writeConcern": { "w": "majority" },
    };
    run(upstream, database, delete).await.map(drop)
}

/// Looks for jobs whose process has ended, and brings them to their end, until the server stops.
pub(crate) async fn watch(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    while shared.passthrough.is_some() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let looked = tokio::select! {
            looked = look(&shared) => looked,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if let Err(error) = looked {
            tracing::debug!(error = error.message, "jobs cannot be looked for");
        }
    }
}

/// The branches in the upstream, mains excepted.
fn in_upstream(shared: &Shared) -> HashMap<String, Arc<Branch>> {
    let projects = shared.engine.projects();
    projects
        .iter()
        .filter_map(|project| shared.engine.branches(project).ok())
        .flatten()
        .map(|info| info.branch)
        .filter(|branch| branch.meta.engine == BranchEngine::Prefix && branch.parent().is_some())
        .map(|branch| (branch.id().to_string(), branch))
        .collect()
}

async fn look(shared: &Shared) -> Result<()> {
    let upstream = shared.upstream()?;
    let find = rawdoc! { "find": JOBS, "projection": { "kind": 1 } };
    let jobs = documents(upstream, shared.upstream_database(), find).await?;
    if jobs.is_empty() {
        return Ok(());
    }
    // The branch may be one that this server has not heard of.
    shared.engine.refresh().await?;
    let branches = in_upstream(shared);
    for found in jobs {
        let Ok(found) = RawDocument::from_bytes(&found) else {
            continue;
        };
        let Ok(id) = found.get_str("_id") else {
            continue;
        };
        let Some(branch) = branches.get(id) else {
            let forgotten = rawdoc! { "_id": id, "$expr": still(FORGOTTEN_MS) };
            delete(upstream, shared.upstream_database(), forgotten).await?;
            continue;
        };
        if shared.prefix_jobs.find(branch.id()).is_some() {
            continue;
        }
        let document = Document::of(shared, branch.id())?;
        if !document.take_over().await? {
            continue;
        }
        let kind = Kind::parse(found.get_str("kind").ok());
        tracing::info!(
            branch = &*branch.database,
            job = kind.name(),
            "taken up where it ended"
        );
        let listed = Listed::new(shared, branch.id(), kind, Arc::default());
        match kind {
            Kind::Copy => resume(shared, branch, &listed, &document).await?,
            Kind::Drop => tear_down(shared, branch, &document).await?,
        }
        shared
            .prefix_routes
            .set_ready(branch.id(), kind == Kind::Copy);
    }
    Ok(())
}

async fn resume(
    shared: &Shared,
    branch: &Branch,
    listed: &Listed<'_>,
    document: &Document<'_>,
) -> Result<()> {
    build(shared, branch, &listed.job.progress, document).await?;
    document.delete().await
}
