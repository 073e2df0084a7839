//! Projects and branches: what is atomic for every process, built from changes of one document at a time.
//!
//! A document without `state` is alive. What is being created or dropped has one:
//!
//! | `state` | what it means |
//! |---|---|
//! | `{creating: nonce, at: date}` | not there yet; whoever needs the name may end it by deleting exactly this |
//! | `{dropping: nonce}` | a branch that is still there; whoever creates a child may end it by removing exactly this |
//! | `{dropped: true}` | a project that is gone; whoever meets it goes on with dropping it |
//!
//! Beside what the catalogue says of it, a document has its name in lower case, which is unique: MongoDB refuses databases whose names
//! differ in case only.
//!
//! Creating a child writes the child and then looks at its parent; dropping the parent marks it and then looks for
//! children. Of two such writes one comes later, and who wrote it sees the other's. `docs/storage-format.md` has the steps.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use bson::raw::CStr;
use bson::{Binary, DateTime, RawArrayBuf, RawDocument, RawDocumentBuf, rawdoc};
use bytes::Bytes;
use futures::future::join_all;

use super::keys::uuid;
use super::upstream::{Attempts, DUPLICATE_KEY, Failure, Find, Made, durable, write_error};
use super::{BRANCHES, GARBAGE, PROJECTS, SETTINGS, Shared};
use crate::log::catalog::{check_setting, decode_setting, encode_setting, folded};
use crate::log::{BranchMeta, News, ProjectMeta};
use crate::{BranchId, Error, Lsn, ProjectId, Result};

/// How long a creation may take before whoever needs its name ends it. Ending one that is still alive costs it an error
/// and nothing else, so this is no promise about clocks.
const CREATION_MAX: Duration = Duration::from_secs(30);

const STATE: &CStr = bson::cstr!("state");
/// A project's name, and a branch's name in database names, in lower case.
pub(super) const NAME_LOWER: &CStr = bson::cstr!("name_lower");
pub(super) const WIRE_NAME_LOWER: &CStr = bson::cstr!("wire_name_lower");

/// The branch that a stored document stands for; `None` if it is not there yet.
pub(super) fn living_branch(document: &RawDocument) -> Result<Option<BranchMeta>> {
    if creation(document).is_some() {
        return Ok(None);
    }
    BranchMeta::decode(&sealed(document))
        .map(Some)
        .map_err(|reason| corrupt("a branch", reason))
}

fn living_project(document: &RawDocument) -> Result<Option<ProjectMeta>> {
    if state(document).is_some() {
        return Ok(None);
    }
    ProjectMeta::decode(&sealed(document))
        .map(Some)
        .map_err(|reason| corrupt("a project", reason))
}

fn corrupt(what: &str, reason: String) -> Error {
    Error::CorruptCatalog {
        what: what.into(),
        reason,
    }
}

fn state(document: &RawDocument) -> Option<&RawDocument> {
    document.get_document(STATE).ok()
}

fn creation(document: &RawDocument) -> Option<&RawDocument> {
    state(document).filter(|state| matches!(state.get("creating"), Ok(Some(_))))
}

/// What the catalogue says, without what is only the store's own.
fn sealed(document: &RawDocument) -> Bytes {
    let own = |name: &CStr| [STATE, NAME_LOWER, WIRE_NAME_LOWER].contains(&name);
    let mut rest = RawDocumentBuf::new();
    for (name, value) in document.iter().flatten() {
        if !own(name) {
            rest.append(name, value);
        }
    }
    rest.into_bytes().into()
}

fn stored_project(project: &ProjectMeta) -> Result<RawDocumentBuf> {
    let mut document = stored(project.encode())?;
    document.append(NAME_LOWER, folded(&project.name));
    Ok(document)
}

fn stored_branch(branch: &BranchMeta) -> Result<RawDocumentBuf> {
    let mut document = stored(branch.encode())?;
    document.append(WIRE_NAME_LOWER, folded(&branch.wire_name));
    Ok(document)
}

fn stored(sealed: Vec<u8>) -> Result<RawDocumentBuf> {
    RawDocumentBuf::from_bytes(sealed).map_err(|error| Error::invalid(error.to_string()))
}

/// A project's or branch's identity.
pub(super) fn identity(document: &RawDocument) -> Option<[u8; 16]> {
    document.get_binary("_id").ok()?.bytes.try_into().ok()
}

/// What one change of one document came to.
pub(super) enum Change {
    Made,
    /// No document fits.
    Nothing,
    /// A unique key is in use.
    Duplicate,
}

impl Shared {
    /// One update of one document, made again until it has an answer: it has to be one that may be repeated.
    async fn update(
        &self,
        collection: &str,
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
        upsert: bool,
    ) -> Result<Change> {
        let mut updates = RawArrayBuf::new();
        updates.push(rawdoc! {"q": filter, "u": update, "upsert": upsert});
        let command = rawdoc! {"update": collection, "updates": updates, "writeConcern": durable()};
        let reply = self.upstream.persist(command).await?;
        answer(&reply)
    }

    pub(super) async fn delete(
        &self,
        collection: &str,
        filter: RawDocumentBuf,
        limit: i32,
    ) -> Result<Change> {
        let mut deletes = RawArrayBuf::new();
        deletes.push(rawdoc! {"q": filter, "limit": limit});
        let command = rawdoc! {"delete": collection, "deletes": deletes, "writeConcern": durable()};
        let reply = self.upstream.persist(command).await?;
        answer(&reply)
    }

    pub(super) async fn all(
        &self,
        collection: &'static str,
        filter: RawDocumentBuf,
    ) -> Result<Vec<RawDocumentBuf>> {
        let find = Find::new(collection, filter);
        Ok(self.upstream.query(&find).await?.documents)
    }

    pub(super) async fn one(
        &self,
        collection: &'static str,
        id: impl Into<bson::RawBson>,
    ) -> Result<Option<RawDocumentBuf>> {
        let id: bson::RawBson = id.into();
        let mut find = Find::new(collection, rawdoc! {"_id": id});
        find.limit = Some(1);
        Ok(self.upstream.query(&find).await?.documents.pop())
    }

    pub(super) async fn projects(&self) -> Result<Vec<ProjectMeta>> {
        let mut projects = Vec::new();
        for document in self.all(PROJECTS, rawdoc! {}).await? {
            projects.extend(living_project(&document)?);
        }
        projects.sort_by_key(|project| project.id);
        Ok(projects)
    }

    pub(super) async fn branches(&self) -> Result<Vec<BranchMeta>> {
        // Branches first: those of a project that is created in between are not seen without it.
        let documents = self.all(BRANCHES, rawdoc! {}).await?;
        let projects = self.projects().await?;
        let projects: HashSet<ProjectId> = projects.iter().map(|project| project.id).collect();
        let mut branches = Vec::new();
        for document in documents {
            // A project's branches come and go with it.
            let alive = living_branch(&document)?;
            branches.extend(alive.filter(|branch| projects.contains(&branch.project)));
        }
        branches.sort_by_key(|branch| branch.id);
        Ok(branches)
    }

    pub(super) async fn has_branch(&self, project: &str, branch: &str) -> Result<bool> {
        let mut find = Find::new(PROJECTS, rawdoc! {"name": project});
        find.limit = Some(1);
        let found = self.upstream.query(&find).await?.documents.pop();
        let found = found.as_deref().map(living_project).transpose()?;
        let Some(project) = found.flatten() else {
            return Ok(false);
        };
        let named = rawdoc! {
            "project_id": uuid(project.id.as_bytes()), "$or": [{"name": branch}, {"wire_name": branch}],
        };
        for document in self.all(BRANCHES, named).await? {
            if living_branch(&document)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn create_project(
        &self,
        project: &ProjectMeta,
        main: &BranchMeta,
    ) -> Result<()> {
        project.check()?;
        main.check()?;
        if main.id != project.main || main.project != project.id || main.parent.is_some() {
            return Err(Error::invalid(
                "the project and its main branch do not belong together",
            ));
        }
        let exists = || Error::Exists {
            what: format!("project `{}`", project.name),
        };
        let nonce = nonce();
        let id = uuid(project.id.as_bytes());
        let document = being_created(stored_project(project)?, &nonce);
        self.insert(PROJECTS, &id, document, &nonce, || {
            Find::new(PROJECTS, rawdoc! {NAME_LOWER: folded(&project.name)})
        })
        .await?
        .ok_or_else(exists)?;
        // Its branches are not there before it is.
        let branch = stored_branch(main)?;
        let main_id = uuid(main.id.as_bytes());
        let filter = rawdoc! {"_id": main_id.clone()};
        if let Err(error) = self.update(BRANCHES, filter, branch, true).await {
            self.abandon(PROJECTS, &id, &nonce).await;
            return Err(error);
        }
        let finished = self.finish_creation(PROJECTS, &id, &nonce).await;
        if matches!(finished, Err(Error::Exists { .. })) {
            // Somebody needed the name and thought that this had ended long ago.
            let _ = self.delete(BRANCHES, rawdoc! {"_id": main_id}, 1).await;
        }
        finished?;
        self.lanes.learn_base(main.id, main.base());
        self.tell(News::Catalog);
        Ok(())
    }

    pub(super) async fn create_branch(&self, branch: &BranchMeta) -> Result<()> {
        branch.check()?;
        let id = uuid(branch.id.as_bytes());
        // Most refusals need no write.
        self.check_place(branch).await?;
        let nonce = nonce();
        let document = being_created(stored_branch(branch)?, &nonce);
        let project = uuid(branch.project.as_bytes());
        let inserted = self.insert(BRANCHES, &id, document, &nonce, || {
            let mut names = RawArrayBuf::new();
            names.push(rawdoc! {"name": branch.name.as_str()});
            names.push(rawdoc! {WIRE_NAME_LOWER: folded(&branch.wire_name)});
            Find::new(
                BRANCHES,
                rawdoc! {"project_id": project.clone(), "$or": names},
            )
        });
        inserted.await?.ok_or_else(|| Error::Exists {
            what: format!("branch `{}`", branch.name),
        })?;
        if let Err(error) = self.check_place(branch).await {
            self.abandon(BRANCHES, &id, &nonce).await;
            return Err(error);
        }
        self.finish_creation(BRANCHES, &id, &nonce).await?;
        self.lanes.learn_base(branch.id, branch.base());
        self.tell(News::Catalog);
        Ok(())
    }

    /// Whether project and parent are there, and the base within the parent's log.
    async fn check_place(&self, branch: &BranchMeta) -> Result<()> {
        let project = self.one(PROJECTS, uuid(branch.project.as_bytes())).await?;
        let project = project.as_deref().map(living_project).transpose()?;
        if project.flatten().is_none() {
            return Err(Error::ProjectGone {
                project: branch.project,
            });
        }
        let Some(parent) = branch.parent else {
            return Ok(());
        };
        let gone = Error::BranchGone {
            branch: parent.branch,
        };
        let id = uuid(parent.branch.as_bytes());
        let (document, head) =
            futures::join!(self.one(BRANCHES, id.clone()), self.head(parent.branch));
        let Some(document) = document? else {
            return Err(gone);
        };
        let Some(found) = living_branch(&document)? else {
            return Err(gone);
        };
        if found.project != branch.project {
            return Err(Error::invalid("the parent belongs to another project"));
        }
        if let Some(dropping) = state(&document) {
            // Whoever drops it looks for children, and starts again when its mark is gone.
            let filter = rawdoc! {"_id": id, "state": dropping.to_owned()};
            let update = rawdoc! {"$unset": {"state": 1}};
            if let Change::Nothing = self.update(BRANCHES, filter, update, false).await?
                && self
                    .one(BRANCHES, uuid(parent.branch.as_bytes()))
                    .await?
                    .is_none()
            {
                return Err(gone);
            }
        }
        let head = head?;
        if parent.base > head {
            return Err(Error::Gap {
                branch: parent.branch,
                first: parent.base,
                head,
            });
        }
        Ok(())
    }

    /// Inserts what is being created; `None` if what `rival` finds has the name, or another the identity.
    async fn insert(
        &self,
        collection: &'static str,
        id: &Binary,
        document: RawDocumentBuf,
        nonce: &str,
        rival: impl Fn() -> Find,
    ) -> Result<Option<()>> {
        let mut attempts = Attempts::new(self.upstream.patience);
        loop {
            // Replaces what an attempt that nobody knows of has inserted, by the same.
            let filter = rawdoc! {"_id": id.clone(), "state.creating": nonce};
            match self
                .update(collection, filter, document.clone(), true)
                .await?
            {
                Change::Made | Change::Nothing => return Ok(Some(())),
                Change::Duplicate => {}
            }
            let mut waits = false;
            for other in self.upstream.query(&rival()).await?.documents {
                let Some(state) = state(&other) else {
                    return Ok(None);
                };
                let Some(other_id) = identity(&other) else {
                    return Ok(None);
                };
                if state.get_str("dropping").is_ok() {
                    return Ok(None);
                }
                waits = true;
                if state.get_bool("dropped").is_ok() {
                    self.finish_drop(ProjectId::from_bytes(other_id)).await?;
                } else if is_abandoned(state) {
                    let filter = rawdoc! {"_id": uuid(&other_id), "state": state.to_owned()};
                    self.delete(collection, filter, 1).await?;
                }
            }
            if attempts.is_over() || (!waits && self.one(collection, id.clone()).await?.is_some()) {
                return Ok(None);
            }
            attempts.pause().await;
        }
    }

    /// Makes alive what is being created.
    async fn finish_creation(
        &self,
        collection: &'static str,
        id: &Binary,
        nonce: &str,
    ) -> Result<()> {
        let filter = rawdoc! {"_id": id.clone(), "state.creating": nonce};
        let update = rawdoc! {"$unset": {"state": 1}};
        if let Change::Nothing = self.update(collection, filter, update, false).await? {
            // An attempt that nobody knows of has done it, or somebody has ended it.
            let found = self.one(collection, id.clone()).await?;
            if found.is_none_or(|found| creation(&found).is_some()) {
                return Err(Error::Exists {
                    what: "something of that name, created meanwhile,".into(),
                });
            }
        }
        Ok(())
    }

    /// Takes back what is being created. What this misses is found by whoever needs the name.
    async fn abandon(&self, collection: &str, id: &Binary, nonce: &str) {
        let filter = rawdoc! {"_id": id.clone(), "state.creating": nonce};
        let _ = self.delete(collection, filter, 1).await;
    }

    pub(super) async fn drop_branch(&self, branch: BranchId) -> Result<()> {
        let id = uuid(branch.as_bytes());
        let gone = Error::BranchGone { branch };
        let mut attempts = Attempts::new(self.upstream.patience);
        let base = loop {
            let Some(document) = self.one(BRANCHES, id.clone()).await? else {
                return Err(gone);
            };
            let Some(meta) = living_branch(&document)? else {
                return Err(gone);
            };
            let Some(project) = self.one(PROJECTS, uuid(meta.project.as_bytes())).await? else {
                return Err(gone);
            };
            let Some(project) = living_project(&project)? else {
                return Err(gone);
            };
            if project.main == branch && self.children(branch).await? == 0 {
                return Err(Error::invalid(
                    "a project's main branch is dropped with the project only",
                ));
            }
            let nonce = nonce();
            // Another's mark is replaced: two that drop the same do not wait for each other.
            let mark = rawdoc! {"$set": {"state": {"dropping": nonce.as_str()}}};
            let filter = rawdoc! {"_id": id.clone(), "state.creating": {"$exists": false}};
            self.update(BRANCHES, filter, mark, false).await?;
            if self.children(branch).await? > 0 {
                let marked = rawdoc! {"_id": id, "state.dropping": nonce};
                let update = rawdoc! {"$unset": {"state": 1}};
                self.update(BRANCHES, marked, update, false).await?;
                return Err(Error::HasChildren { branch });
            }
            self.discard(branch, meta.base()).await?;
            let marked = rawdoc! {"_id": id.clone(), "state.dropping": nonce};
            if let Change::Made = self.delete(BRANCHES, marked, 1).await? {
                break meta.base();
            }
            // A child was created, the branch is gone, or an attempt that nobody knows of has done it.
            if self.one(BRANCHES, id.clone()).await?.is_none() {
                break meta.base();
            }
            if attempts.is_over() {
                return Err(Error::Unavailable {
                    reason: "others go on creating branches of the one that is to be dropped"
                        .into(),
                });
            }
            attempts.pause().await;
        };
        // From here on it is dropped; the seal makes every process notice.
        self.seal(branch, base).await?;
        self.tell(News::Catalog);
        self.keeper.notify_one();
        Ok(())
    }

    async fn children(&self, branch: BranchId) -> Result<usize> {
        let find = rawdoc! {"parent_id": uuid(branch.as_bytes())};
        Ok(self.all(BRANCHES, find).await?.len())
    }

    /// Notes that the branch's records are to be removed, once it is gone.
    pub(super) async fn discard(&self, branch: BranchId, base: Lsn) -> Result<()> {
        let id = uuid(branch.as_bytes());
        let note = rawdoc! {
            "_id": id.clone(), "base_lsn": base.0.cast_signed(), "at": DateTime::now(),
        };
        self.update(GARBAGE, rawdoc! {"_id": id}, note, true)
            .await?;
        Ok(())
    }

    pub(super) async fn drop_project(&self, project: ProjectId) -> Result<()> {
        let filter = rawdoc! {"_id": uuid(project.as_bytes()), "state": {"$exists": false}};
        let mark = rawdoc! {"$set": {"state": {"dropped": true}}};
        if let Change::Nothing = self.update(PROJECTS, filter, mark, false).await? {
            let found = self.one(PROJECTS, uuid(project.as_bytes())).await?;
            let dropped = found.as_deref().and_then(state);
            if dropped.is_none_or(|state| state.get_bool("dropped").is_err()) {
                return Err(Error::ProjectGone { project });
            }
        }
        self.finish_drop(project).await?;
        self.tell(News::Catalog);
        self.keeper.notify_one();
        Ok(())
    }

    /// Ends what [`Self::drop_project`] has begun, in any process.
    pub(super) async fn finish_drop(&self, project: ProjectId) -> Result<()> {
        let filter = rawdoc! {"project_id": uuid(project.as_bytes())};
        let mut dropped: Vec<(BranchId, Lsn)> = Vec::new();
        for document in self.all(BRANCHES, filter).await? {
            let meta = BranchMeta::decode(&sealed(&document))
                .map_err(|reason| corrupt("a branch", reason))?;
            self.discard(meta.id, meta.base()).await?;
            dropped.push((meta.id, meta.base()));
        }
        for (branch, _) in &dropped {
            self.delete(BRANCHES, rawdoc! {"_id": uuid(branch.as_bytes())}, 1)
                .await?;
        }
        let sealed = join_all(
            dropped
                .iter()
                .map(|(branch, base)| self.seal(*branch, *base)),
        )
        .await;
        sealed.into_iter().collect::<Result<()>>()?;
        self.delete(PROJECTS, rawdoc! {"_id": uuid(project.as_bytes())}, 1)
            .await?;
        Ok(())
    }

    pub(super) async fn setting(&self, key: &str) -> Result<Option<Bytes>> {
        let Some(document) = self.one(SETTINGS, key).await? else {
            return Ok(None);
        };
        let bytes = Bytes::from(document.into_bytes());
        decode_setting(&bytes)
            .map(Some)
            .map_err(|reason| corrupt("a setting", format!("{key}: {reason}")))
    }

    pub(super) async fn put_setting(&self, key: &str, value: &[u8]) -> Result<()> {
        check_setting(key, value)?;
        let document = RawDocumentBuf::from_bytes(encode_setting(key, value))
            .map_err(|error| Error::invalid(error.to_string()))?;
        self.update(SETTINGS, rawdoc! {"_id": key}, document, true)
            .await?;
        Ok(())
    }
}

fn answer(reply: &RawDocument) -> Result<Change> {
    match write_error(reply) {
        Some((
            _,
            Failure::Refused {
                code: DUPLICATE_KEY,
                ..
            },
        )) => return Ok(Change::Duplicate),
        Some((_, failure)) => return Err(failure.into_error(Made::Perhaps)),
        None => {}
    }
    // Of an update, what was found, changed or not; of an upsert and a delete, what was made.
    match reply.get_i32("n") {
        Ok(0) => Ok(Change::Nothing),
        _ => Ok(Change::Made),
    }
}

fn nonce() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The stored document with the state of one that is being created.
fn being_created(mut document: RawDocumentBuf, nonce: &str) -> RawDocumentBuf {
    document.append(STATE, rawdoc! {"creating": nonce, "at": DateTime::now()});
    document
}

/// Whether a creation began so long ago that it has surely ended.
fn is_abandoned(state: &RawDocument) -> bool {
    let Ok(at) = state.get_datetime("at") else {
        return false;
    };
    SystemTime::now()
        .duration_since(at.to_system_time())
        .is_ok_and(|age| age > CREATION_MAX)
}
