//! What has to be done behind everyone's back: seals, what dropped branches leave behind, what died half-way.
//!
//! Every process does all of it, whenever it comes round to it; each step may be done twice, or by two at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bson::{DateTime, RawArrayBuf, RawDocument, RawDocumentBuf, rawdoc};
use tokio::time::{Instant, sleep};

use super::catalog::identity;
use super::keys::{part_prefix, parts_filter, records_filter, uuid};
use super::upstream::{
    Attempts, DUPLICATE_KEY, Failure, Find, Level, Made, durable, write_concern_failure,
    write_error,
};
use super::{BRANCHES, GARBAGE, PROJECTS, Shared, WAL_ENTRIES, WAL_PARTS};
use crate::record::encode;
use crate::{BranchId, ClusterTime, Entry, Error, Lsn, Operation, Record, Result, WriterId};

/// How often the branches being written to are looked up: a drop in another process has to win the next position of a
/// log, and cannot against a writer that never pauses.
const FENCE_INTERVAL: Duration = Duration::from_millis(500);

/// How often what others left behind is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Records removed by one command.
const REMOVED_MAX: i64 = 5_000;

/// How long a seal may take: a writer elsewhere notices within [`FENCE_INTERVAL`], unless it cannot reach the store.
const SEAL_PATIENCE: Duration = Duration::from_secs(60);

/// The age from which on a creation that has not ended is taken for dead.
const CREATION_MAX: Duration = Duration::from_secs(300);

pub(super) async fn run(shared: Arc<Shared>) {
    let mut swept: Option<Instant> = None;
    loop {
        let mut wanted = false;
        tokio::select! {
            () = sleep(FENCE_INTERVAL) => {}
            () = shared.keeper.notified() => wanted = true,
        }
        if let Err(error) = shared.fence().await {
            tracing::debug!(%error, "cannot look up the branches being written to");
        }
        if wanted || swept.is_none_or(|swept| swept.elapsed() > SWEEP_INTERVAL) {
            swept = Some(Instant::now());
            if let Err(error) = shared.sweep().await {
                tracing::debug!(%error, "cannot remove what is not needed; trying again later");
            }
        }
    }
}

impl Shared {
    /// Takes no more records for branches that were dropped elsewhere.
    async fn fence(&self) -> Result<()> {
        let active = self.lanes.active();
        if active.is_empty() {
            return Ok(());
        }
        let mut ids = RawArrayBuf::new();
        for branch in &active {
            ids.push(uuid(branch.as_bytes()));
        }
        let mut find = Find::new(BRANCHES, rawdoc! {"_id": {"$in": ids}});
        find.projection = Some(rawdoc! {"_id": 1});
        // At least as new as what told this process of the branches: one that is missing was there, and is gone.
        find.level = Level::Majority;
        let found = self.upstream.query(&find).await?.documents;
        let alive: HashSet<BranchId> = found.iter().filter_map(|found| id(found)).collect();
        for branch in active {
            if !alive.contains(&branch) {
                self.lanes.bury(branch);
            }
        }
        Ok(())
    }

    /// Appends the record after which there is none. Whoever wants its position meets it, in whatever process.
    pub(super) async fn seal(&self, branch: BranchId, base: Lsn) -> Result<()> {
        self.lanes.bury(branch);
        let mut attempts = Attempts::new(SEAL_PATIENCE);
        loop {
            let failure = match self.seal_once(branch, base).await {
                Ok(sealed) => return sealed,
                Err(failure) => failure,
            };
            match failure {
                // Another record has taken the position: the next one then.
                Failure::Refused {
                    code: DUPLICATE_KEY,
                    ..
                } if !attempts.is_over() => {}
                failure => attempts.again(failure, Made::Perhaps).await?,
            }
        }
    }

    async fn seal_once(&self, branch: BranchId, base: Lsn) -> Result<Result<()>, Failure> {
        let last = match self.last_outline(branch, Level::Local).await? {
            Ok(last) => last,
            Err(error) => return Ok(Err(error)),
        };
        if last.is_some_and(|last| last.is_seal) {
            // It counts once it is durable.
            return Ok(match self.last_outline(branch, Level::Majority).await? {
                Ok(Some(last)) if last.is_seal => Ok(()),
                Ok(_) => return Err(Failure::Unknown("a seal was rolled back".into())),
                Err(error) => Err(error),
            });
        }
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = u32::try_from(wall.as_secs()).unwrap_or(u32::MAX);
        let before = last.map_or(ClusterTime::ZERO, |last| last.identity.cluster_time);
        let record = Record {
            branch,
            first: last.map_or(base, |last| last.last).next(),
            timestamp_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            cluster_time: before.tick(seconds),
            writer: WriterId::random(),
            actor: String::new(),
            operation: Operation::Seal,
            collections: Vec::new(),
            entries: vec![Entry::Noop],
            session: None,
        };
        let document = encode(&record).and_then(|encoded| {
            RawDocumentBuf::from_bytes(encoded.main.to_vec())
                .map_err(|error| Error::invalid(error.to_string()))
        });
        let document = match document {
            Ok(document) => document,
            Err(error) => return Ok(Err(error)),
        };
        let mut documents = RawArrayBuf::new();
        documents.push(document);
        let insert =
            rawdoc! {"insert": WAL_ENTRIES, "documents": documents, "writeConcern": durable()};
        let reply = self.upstream.run(insert).await?;
        match (write_error(&reply), write_concern_failure(&reply)) {
            (Some((_, failure)), _) | (None, Some(failure)) => Err(failure),
            (None, None) => Ok(Ok(())),
        }
    }

    async fn sweep(&self) -> Result<()> {
        self.end_dead_creations().await?;
        for document in self.all(PROJECTS, rawdoc! {"state.dropped": true}).await? {
            if let Some(project) = identity(&document) {
                self.finish_drop(crate::ProjectId::from_bytes(project))
                    .await?;
            }
        }
        for note in self.all(GARBAGE, rawdoc! {}).await? {
            let Some(branch) = id(&note) else { continue };
            let base = note.get_i64("base_lsn").unwrap_or_default();
            let base = Lsn(u64::try_from(base).unwrap_or_default());
            // Noted before it was dropped, and not dropped after all, or not yet.
            if self.one(BRANCHES, uuid(branch.as_bytes())).await?.is_none() {
                self.remove_records(branch, base).await?;
            }
        }
        self.remove_stray_parts().await
    }

    async fn end_dead_creations(&self) -> Result<()> {
        let age = i64::try_from(CREATION_MAX.as_millis()).unwrap_or(i64::MAX);
        let before = DateTime::from_millis(DateTime::now().timestamp_millis().saturating_sub(age));
        let dead = rawdoc! {"state.creating": {"$exists": true}, "state.at": {"$lt": before}};
        for collection in [BRANCHES, PROJECTS] {
            self.delete(collection, dead.clone(), 0).await?;
        }
        // A project's document comes before and goes after its branches'.
        let projects = self.all(PROJECTS, rawdoc! {}).await?;
        let projects: HashSet<[u8; 16]> = projects
            .iter()
            .filter_map(|found| identity(found))
            .collect();
        for document in self.all(BRANCHES, rawdoc! {}).await? {
            let project = document.get_binary("project_id").ok();
            let project = project.and_then(|project| <[u8; 16]>::try_from(project.bytes).ok());
            let (Some(project), Some(branch)) = (project, id(&document)) else {
                continue;
            };
            let project_id = uuid(&project);
            if !projects.contains(&project) && self.one(PROJECTS, project_id).await?.is_none() {
                self.discard(branch, Lsn::ZERO).await?;
                self.delete(BRANCHES, rawdoc! {"_id": uuid(branch.as_bytes())}, 1)
                    .await?;
            }
        }
        Ok(())
    }

    /// Removes all of a dropped branch but its seal, which stays: a process that slept for a year must not write there.
    async fn remove_records(&self, branch: BranchId, base: Lsn) -> Result<()> {
        self.seal(branch, base).await?;
        loop {
            let mut find = Find::new(WAL_ENTRIES, records_filter(branch, Lsn::ZERO, Lsn::MAX));
            find.sort = Some(rawdoc! {"_id": 1});
            find.projection = Some(rawdoc! {"_id": 1, "lsn": 1, "operation": 1});
            find.limit = Some(REMOVED_MAX);
            let found = self.upstream.query(&find).await?.documents;
            let records = found
                .iter()
                .filter(|found| found.get_str("operation").ok() != Some(Operation::Seal.name()));
            let last = records.filter_map(|found| found.get_i64("lsn").ok()).max();
            let Some(last) = last.and_then(|last| u64::try_from(last).ok()) else {
                break;
            };
            self.delete(WAL_ENTRIES, records_filter(branch, Lsn::ZERO, Lsn(last)), 0)
                .await?;
        }
        self.delete(WAL_PARTS, parts_filter(branch, branch.as_bytes()), 0)
            .await?;
        self.delete(GARBAGE, rawdoc! {"_id": uuid(branch.as_bytes())}, 1)
            .await?;
        Ok(())
    }

    /// Removes parts whose record's position was taken by another: their writer died before it could.
    async fn remove_stray_parts(&self) -> Result<()> {
        let mut find = Find::new(WAL_PARTS, rawdoc! {});
        find.projection = Some(rawdoc! {"_id": 1});
        let mut seen = HashSet::new();
        for document in self.upstream.query(&find).await?.documents {
            let Some(place) = document
                .get_binary("_id")
                .ok()
                .and_then(|id| Place::parse(id.bytes))
            else {
                continue;
            };
            if !seen.insert(place) {
                continue;
            }
            let Place {
                branch,
                first,
                writer,
                cluster_time,
            } = place;
            let head = match self.head(branch).await {
                Ok(head) => head,
                // Its records go in another way.
                Err(Error::BranchGone { .. }) => continue,
                Err(error) => return Err(error),
            };
            let holders = self
                .outlines(branch, first, first)
                .await
                .map_err(|failure| failure.into_error(Made::No))??;
            let is_named = holders.first().is_some_and(|holder| {
                holder.identity.writer == writer && holder.identity.cluster_time == cluster_time
            });
            // Beyond the head, the record may be about to come.
            if !is_named && first <= head {
                let prefix = part_prefix(branch, first, writer, cluster_time);
                self.delete(WAL_PARTS, parts_filter(branch, &prefix), 0)
                    .await?;
            }
        }
        Ok(())
    }
}

/// Whose a part is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    branch: BranchId,
    first: Lsn,
    writer: WriterId,
    cluster_time: ClusterTime,
}

impl Place {
    fn parse(id: &[u8]) -> Option<Self> {
        let (branch, rest) = id.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (writer, rest) = rest.split_first_chunk()?;
        let (time, _) = rest.split_first_chunk()?;
        Some(Place {
            branch: BranchId::from_bytes(*branch),
            first: Lsn(u64::from_be_bytes(*first)),
            writer: WriterId::from_bytes(*writer),
            cluster_time: ClusterTime(u64::from_be_bytes(*time)),
        })
    }
}

fn id(document: &RawDocument) -> Option<BranchId> {
    identity(document).map(BranchId::from_bytes)
}
