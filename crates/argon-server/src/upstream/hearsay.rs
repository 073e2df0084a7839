//! How old what a server has heard of the catalogue may be.
//!
//! A write to the log names its branch, so the log refuses one that was decided on an old catalogue. The deployment behind
//! does not know of branches: a command that is passed on because its database was no project, or under a prefix that was
//! free, is run there, whatever has become of the names meanwhile. So both sides keep to a time:
//!
//! ```text
//! who passes on     does so on a catalogue that was read at most HEARSAY_MAX ago, else reads it first
//! who changes names does not answer for HEARSAY_MAX after the change: until nobody goes by the names of before
//! ```
//!
//! While there are commands the catalogue is read in the background, so none of them waits for it. No clock is compared with
//! another's: both measure a span, each by its own. What was on its way to the deployment at that time is not called back.
//! See `docs/adr/2026-11-21-names-on-both-sides.md`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon_engine::BranchId;
use argon_engine::name::{MAIN, RESERVED};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Passthrough;
use crate::error::Result;
use crate::server::{Shared, now_ms};

/// How old the catalogue may be by which a command is passed on.
const HEARSAY_MAX: Duration = Duration::from_millis(500);

/// How often it is read while there are commands.
const READ: Duration = Duration::from_millis(150);

/// Of a catalogue that is so large that reading it is felt, readings take at most one part in so many of the time, as long as
/// [`HEARSAY_MAX`] allows.
const REST: u32 = 20;

/// How long after the last command it is still read.
const ACTIVE: Duration = Duration::from_secs(10);

/// The age from which on every server has heard of a project, whatever the differences between their clocks.
const OLD_MS: i64 = 10 * 60 * 1000;

/// What is known of the age of what is known.
pub(super) struct Hearsay {
    began: Instant,
    /// When the last reading of the catalogue began, in microseconds after `began`; none has yet at 0.
    read: AtomicU64,
    /// When the last command came.
    used: AtomicU64,
    /// When this server first answered a command on a project that is not old.
    young: Mutex<HashMap<BranchId, Instant>>,
}

impl Hearsay {
    pub(super) fn new() -> Hearsay {
        Hearsay {
            began: Instant::now(),
            read: AtomicU64::new(0),
            used: AtomicU64::new(0),
            young: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Passthrough {
    /// Waits until the catalogue in memory is as new as routing a command on `database` needs it.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub(super) async fn hear(&self, shared: &Shared, database: &str) -> Result<()> {
        let hearsay = &self.hearsay;
        let now = hearsay.now();
        hearsay.used.store(now, Ordering::Relaxed);
        let read = hearsay.read.load(Ordering::Acquire);
        if read != 0 && now.saturating_sub(read) < micros(HEARSAY_MAX) {
            return Ok(());
        }
        if super::is_projects(shared, database)
            && matches!(shared.engine.upstream_branch(database), Ok(None))
        {
            // The log knows better in the end, and may be read while the catalogue cannot.
            let _ = tokio::time::timeout(HEARSAY_MAX, self.read_catalogue(shared)).await;
            return Ok(());
        }
        self.read_catalogue(shared).await
    }

    async fn read_catalogue(&self, shared: &Shared) -> Result<()> {
        let began = self.hearsay.now().max(1);
        shared.engine.refresh().await?;
        self.hearsay.read.fetch_max(began, Ordering::AcqRel);
        Ok(())
    }
}

/// Reads the catalogue again and again while there are commands, until the server stops.
pub(crate) async fn listen(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let Some(passthrough) = &shared.passthrough else {
        return;
    };
    let mut pause = READ;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let hearsay = &passthrough.hearsay;
        let used = hearsay.used.load(Ordering::Relaxed);
        if used == 0 || hearsay.now().saturating_sub(used) > micros(ACTIVE) {
            continue;
        }
        let began = Instant::now();
        let read = tokio::select! {
            read = passthrough.read_catalogue(&shared) => read,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if let Err(error) = read {
            tracing::debug!(error = error.message, "the catalogue cannot be read");
        }
        let took = began.elapsed();
        let longest = HEARSAY_MAX.saturating_sub(2 * took).max(READ);
        pause = (REST * took).clamp(READ, longest);
    }
}

impl Shared {
    /// Waits until every server goes by the catalogue as it is now, where there are others and a deployment behind them.
    pub(crate) async fn until_heard(&self) {
        if self.passthrough.is_some() {
            tokio::time::sleep(HEARSAY_MAX).await;
        }
    }

    /// Holds an answer about the database called `name` back until every server has heard of its project.
    pub(crate) async fn until_known(&self, name: &str) {
        let Some(passthrough) = &self.passthrough else {
            return;
        };
        if RESERVED.contains(&name) {
            return;
        }
        let project = name.split_once('~').map_or(name, |(project, _)| project);
        let Ok(main) = self.engine.branch(project, MAIN) else {
            return;
        };
        let now = now_ms();
        if now.saturating_sub(main.meta.created_at_ms) > OLD_MS {
            return;
        }
        let since = {
            let mut young = passthrough.hearsay.young.lock();
            if !young.contains_key(&main.id()) {
                let answered =
                    |since: &Instant| since.elapsed().as_millis() < OLD_MS.unsigned_abs().into();
                young.retain(|_, since| answered(since));
            }
            *young.entry(main.id()).or_insert_with(Instant::now)
        };
        let left = HEARSAY_MAX.saturating_sub(since.elapsed());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
    }
}
