//! One store and several processes that use it over a network, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{broadcast, oneshot, watch};

use crate::log::memory::MemoryStore;
use crate::{
    BranchId, BranchMeta, Error, LogStore, Lsn, News, ProjectId, ProjectMeta, Record, Result,
    Status, Ticket,
};

/// A store that several processes share.
#[derive(Debug)]
pub struct SharedStore {
    store: MemoryStore,
    news: broadcast::Sender<News>,
}

impl Default for SharedStore {
    fn default() -> Self {
        SharedStore {
            store: MemoryStore::default(),
            news: broadcast::Sender::new(1024),
        }
    }
}

impl SharedStore {
    /// Another process's way to the store.
    pub fn process(self: &Arc<Self>) -> Arc<Process> {
        Arc::new(Process {
            shared: Arc::clone(self),
            lanes: Arc::default(),
            link: Arc::new(Link {
                state: watch::Sender::new(LinkState::default()),
                faults: Mutex::default(),
            }),
            looks: AtomicU64::new(0),
        })
    }

    fn tell(&self, news: News) {
        // Nobody listens, or everybody does.
        let _ = self.news.send(news);
    }
}

/// What happens to one group of appends on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// It is stored, but the answer is lost.
    AnswerLost,
    /// It never arrives, and nobody says so.
    Lost,
    /// It arrives this much after its outcome was reported as unknown, if its place is still free.
    Late(Duration),
}

/// One process's view of a [`SharedStore`].
#[derive(Debug)]
pub struct Process {
    shared: Arc<SharedStore>,
    lanes: Arc<Mutex<HashMap<BranchId, Lane>>>,
    link: Arc<Link>,
    looks: AtomicU64,
}

#[derive(Debug)]
struct Link {
    state: watch::Sender<LinkState>,
    faults: Mutex<VecDeque<Option<AppendFault>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct LinkState {
    /// How long everything takes, each way.
    delay: Duration,
    /// Nothing gets through, and callers are told so.
    cut: bool,
    /// Answers are on their way and do not arrive.
    held: bool,
    /// No news come through.
    deaf: bool,
}

/// The records of one branch on their way to the store: one group at a time.
#[derive(Debug, Default)]
struct Lane {
    /// The end of the last record submitted, unless others may have appended since.
    submitted: Option<Lsn>,
    /// One was refused: what is submitted was decided on top of it.
    broken: bool,
    running: bool,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    record: Record,
    done: oneshot::Sender<Result<()>>,
}

impl Process {
    /// Has everything take `delay` each way.
    pub fn set_delay(&self, delay: Duration) {
        self.link.state.send_modify(|link| link.delay = delay);
    }

    /// Cuts the process off, or connects it again.
    pub fn set_cut(&self, cut: bool) {
        self.link.state.send_modify(|link| link.cut = cut);
    }

    /// Holds answers back, or lets them arrive: what the store has answered is old by then.
    pub fn set_held(&self, held: bool) {
        self.link.state.send_modify(|link| link.held = held);
    }

    /// Keeps news from the process.
    pub fn set_deaf(&self, deaf: bool) {
        self.link.state.send_modify(|link| link.deaf = deaf);
    }

    /// Orders what happens to the groups of appends to come, one each.
    pub fn order(&self, faults: impl IntoIterator<Item = Option<AppendFault>>) {
        self.link.faults.lock().extend(faults);
    }

    /// How often a head was looked up.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Does `verb` on the other side of the network.
    async fn call<T>(&self, verb: impl AsyncFnOnce(&MemoryStore) -> Result<T>) -> Result<T> {
        self.link.travel().await?;
        let answer = verb(&self.shared.store).await;
        self.link.travel().await?;
        self.link.arrive().await;
        answer
    }

    /// Changes the catalogue on the other side of the network.
    async fn change(&self, verb: impl AsyncFnOnce(&MemoryStore) -> Result<()>) -> Result<()> {
        let shared = &self.shared;
        self.call(async |store| {
            verb(store).await?;
            shared.tell(News::Catalog);
            Ok(())
        })
        .await
    }
}

impl Link {
    /// One way through the network.
    async fn travel(&self) -> Result<()> {
        let delay = self.state.borrow().delay;
        if delay.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(delay).await;
        }
        if self.state.borrow().cut {
            return Err(Error::Unavailable {
                reason: "the process is cut off".to_owned(),
            });
        }
        Ok(())
    }

    async fn arrive(&self) {
        let mut state = self.state.subscribe();
        // The sender is in `self`.
        let _ = state.wait_for(|link| !link.held).await;
    }
}

/// Sends what waits in the lane, group after group.
async fn run_lane(
    shared: Arc<SharedStore>,
    lanes: Arc<Mutex<HashMap<BranchId, Lane>>>,
    link: Arc<Link>,
    branch: BranchId,
) {
    loop {
        let group = {
            let mut lanes = lanes.lock();
            let lane = lanes.entry(branch).or_default();
            if lane.waiting.is_empty() {
                lane.running = false;
                return;
            }
            std::mem::take(&mut lane.waiting)
        };
        let outcomes = send(&shared, &link, &group).await;
        let mut lanes = lanes.lock();
        let lane = lanes.entry(branch).or_default();
        let mut followers = Vec::new();
        for (waiting, outcome) in group.into_iter().zip(outcomes) {
            if lane.broken {
                followers.push(waiting);
                continue;
            }
            lane.broken = outcome.is_err();
            // Whoever dropped the ticket does not want to know.
            drop(waiting.done.send(outcome));
        }
        if lane.broken {
            followers.append(&mut lane.waiting);
        }
        for waiting in followers {
            drop(waiting.done.send(Err(gap(&waiting.record, Lsn::ZERO))));
        }
    }
}

/// Appends `group`, as far as it goes, and says what became of each; what stays unsaid was not tried.
async fn send(shared: &Arc<SharedStore>, link: &Arc<Link>, group: &[Waiting]) -> Vec<Result<()>> {
    let unknown = |reason: &str| Error::Unknown {
        reason: reason.to_owned(),
    };
    let lost = |error| vec![Err(error); group.len()];
    if let Err(error) = link.travel().await {
        return lost(error);
    }
    let fault = link.faults.lock().pop_front().flatten();
    match fault {
        None | Some(AppendFault::AnswerLost) => {}
        Some(AppendFault::Lost) => return lost(unknown("a test lost it")),
        Some(AppendFault::Late(by)) => {
            let records: Vec<Record> = group.iter().map(|waiting| waiting.record.clone()).collect();
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                append(&shared, records.iter()).await;
            });
            return lost(unknown("a test delays it"));
        }
    }
    let outcomes = append(shared, group.iter().map(|waiting| &waiting.record)).await;
    if fault == Some(AppendFault::AnswerLost) {
        return lost(unknown("a test lost the answer"));
    }
    if link.travel().await.is_err() {
        return lost(unknown("the process was cut off"));
    }
    link.arrive().await;
    outcomes
}

async fn append(shared: &SharedStore, records: impl Iterator<Item = &Record>) -> Vec<Result<()>> {
    let mut outcomes = Vec::new();
    let mut broken = false;
    for record in records {
        if broken {
            outcomes.push(Err(gap(record, Lsn::ZERO)));
            continue;
        }
        let outcome = shared.store.append(record).await;
        broken = outcome.is_err();
        if outcome.is_ok() {
            shared.tell(News::Appended {
                branch: record.branch,
                last: record.last(),
            });
        }
        outcomes.push(outcome);
    }
    outcomes
}

fn gap(record: &Record, head: Lsn) -> Error {
    Error::Gap {
        branch: record.branch,
        first: record.first,
        head,
    }
}

#[async_trait]
impl LogStore for Process {
    fn is_shared(&self) -> bool {
        true
    }

    fn resume(&self, branch: BranchId) {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(branch).or_default();
        lane.broken = false;
        lane.submitted = None;
    }

    fn news(&self) -> Option<broadcast::Receiver<News>> {
        (!self.link.state.borrow().deaf).then(|| self.shared.news.subscribe())
    }

    fn status(&self) -> Status {
        Status {
            reachable: !self.link.state.borrow().cut,
            ..Status::healthy("shared")
        }
    }

    fn submit(&self, record: &Record) -> Result<Ticket> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(record.branch).or_default();
        if let Some(head) = lane.submitted.filter(|head| head.next() != record.first) {
            return Err(gap(record, head));
        }
        if lane.broken {
            return Err(gap(record, Lsn::ZERO));
        }
        lane.submitted = Some(record.last());
        let (done, ticket) = Ticket::pending();
        lane.waiting.push(Waiting {
            record: record.clone(),
            done,
        });
        if !std::mem::replace(&mut lane.running, true) {
            let (shared, lanes) = (Arc::clone(&self.shared), Arc::clone(&self.lanes));
            tokio::spawn(run_lane(
                shared,
                lanes,
                Arc::clone(&self.link),
                record.branch,
            ));
        }
        Ok(ticket)
    }

    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn head(&self, branch: BranchId) -> Result<Lsn> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.call(async |store| store.head(branch).await).await
    }

    async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        self.call(async |store| store.read(branch, after, up_to, bytes_max).await)
            .await
    }

    async fn projects(&self) -> Result<Vec<ProjectMeta>> {
        self.call(async |store| store.projects().await).await
    }

    async fn branches(&self) -> Result<Vec<BranchMeta>> {
        self.call(async |store| store.branches().await).await
    }

    async fn create_project(&self, project: &ProjectMeta, main: &BranchMeta) -> Result<()> {
        self.change(async |store| store.create_project(project, main).await)
            .await
    }

    async fn create_branch(&self, branch: &BranchMeta) -> Result<()> {
        self.change(async |store| store.create_branch(branch).await)
            .await
    }

    async fn drop_branch(&self, branch: BranchId) -> Result<()> {
        self.change(async |store| store.drop_branch(branch).await)
            .await
    }

    async fn drop_project(&self, project: ProjectId) -> Result<()> {
        self.change(async |store| store.drop_project(project).await)
            .await
    }

    async fn setting(&self, key: &str) -> Result<Option<Bytes>> {
        self.call(async |store| store.setting(key).await).await
    }

    async fn put_setting(&self, key: &str, value: Bytes) -> Result<()> {
        self.call(async |store| store.put_setting(key, value).await)
            .await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
