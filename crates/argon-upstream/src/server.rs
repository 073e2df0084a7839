//! One server of the deployment: its pool of connections.
//!
//! A connection is taken for one request and given back with its answer. There is a bound on the commands under way, and
//! two kinds of command do not count against it but against bounds of their own, because others could wait for them for
//! ever: a `getMore` that waits for documents, and what belongs to a transaction, which may hold what everybody else on
//! the server waits for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mongodb::options::ServerAddress;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::config::Config;
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::reply::Reply;

/// How long a server that failed is not chosen, unless the monitor reports on it sooner. Source: specification "Server
/// Discovery And Monitoring", "minHeartbeatFrequencyMS".
const SUSPECT: Duration = Duration::from_millis(500);

/// What a command may be waiting for, and so which bound it counts against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    Ordinary,
    /// Waits for documents that are still to come.
    Waiting,
    /// Belongs to a transaction.
    Transaction,
}

/// A server and its connections.
pub(crate) struct Server {
    pub(crate) address: ServerAddress,
    config: Arc<Config>,
    idle: Mutex<Vec<Connection>>,
    permits: [Arc<Semaphore>; 3],
    connecting: Semaphore,
    open: AtomicU32,
    /// Since when it is not to be chosen, and why.
    suspect: Mutex<Option<(Instant, String)>>,
    /// Its newest write in milliseconds since the epoch, and when it said so.
    last_write: Mutex<Option<(i64, Instant)>>,
    /// Goes up when what is under way on its connections has to be given up.
    epoch: watch::Sender<u64>,
}

/// A connection on loan. Dropped before [`Lease::give_back`] it is closed: something may still be under way on it.
pub(crate) struct Lease {
    connection: Option<Connection>,
    pub(crate) server: Arc<Server>,
    epoch: watch::Receiver<u64>,
    _permit: OwnedSemaphorePermit,
}

/// Why no connection can be had.
pub(crate) enum Unavailable {
    /// The server cannot be reached: another one may.
    Unreachable,
    /// It makes no sense to try on.
    Failed(Error),
}

impl Server {
    pub(crate) fn new(address: ServerAddress, config: Arc<Config>) -> Server {
        let max = usize::try_from(config.connections_max).unwrap_or(usize::MAX);
        let bound = || Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        let connecting = usize::try_from(config.connecting_max).unwrap_or(1);
        Server {
            address,
            idle: Mutex::default(),
            permits: [bound(), bound(), bound()],
            connecting: Semaphore::new(connecting),
            open: AtomicU32::new(0),
            suspect: Mutex::new(None),
            last_write: Mutex::new(None),
            epoch: watch::Sender::new(0),
            config,
        }
    }

    /// Lends a connection that is open, or opens one.
    pub(crate) async fn lend(
        self: &Arc<Server>,
        class: Class,
        deadline: Deadline,
    ) -> Result<Lease, Unavailable> {
        let permits = &self.permits[class as usize];
        let permit = match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let acquired = timeout_at(deadline, Arc::clone(permits).acquire_owned()).await;
                acquired
                    .ok()
                    .and_then(Result::ok)
                    .ok_or_else(|| Unavailable::Failed(self.busy()))?
            }
        };
        let lease = |connection| Lease {
            connection: Some(connection),
            server: Arc::clone(self),
            epoch: self.epoch.subscribe(),
            _permit: permit,
        };
        if let Some(connection) = self.idle_connection() {
            return Ok(lease(connection));
        }
        let connecting = timeout_at(deadline, self.connecting.acquire()).await;
        let _connecting = connecting
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| Unavailable::Failed(self.busy()))?;
        // While this one waited for its turn, another may have been given back.
        if let Some(connection) = self.idle_connection() {
            return Ok(lease(connection));
        }
        let deadline = deadline.min(Deadline::now() + self.config.connect_timeout);
        let opened = timeout_at(deadline, Connection::open(&self.address, &self.config)).await;
        match opened {
            Ok(Ok(connection)) => {
                self.open.fetch_add(1, Ordering::Relaxed);
                Ok(lease(connection))
            }
            Ok(Err(Error::Lost { source, .. })) => {
                self.suspect(&source.to_string());
                Err(Unavailable::Unreachable)
            }
            Ok(Err(error)) => Err(Unavailable::Failed(error)),
            Err(_) => {
                self.suspect("no connection in time");
                Err(Unavailable::Unreachable)
            }
        }
    }

    fn idle_connection(&self) -> Option<Connection> {
        loop {
            let connection = self.idle.lock().pop()?;
            let old = self
                .config
                .idle_max
                .is_some_and(|max| connection.used.elapsed() > max);
            if !old && connection.is_reusable() {
                return Some(connection);
            }
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn busy(&self) -> Error {
        Error::Busy {
            address: self.address.to_string(),
            max: self.config.connections_max,
            waited: self.config.selection_timeout,
        }
    }

    /// Closes connections that nobody used for long; the one used last stays.
    pub(crate) fn close_idle(&self) {
        let Some(max) = self.config.idle_max else {
            return;
        };
        let mut idle = self.idle.lock();
        let before = idle.len();
        idle.retain(|connection| connection.used.elapsed() <= max);
        let closed = u32::try_from(before - idle.len()).unwrap_or(u32::MAX);
        self.open.fetch_sub(closed, Ordering::Relaxed);
    }

    /// Has the server not chosen for a moment: it failed, and its monitor may not know yet.
    pub(crate) fn suspect(&self, why: &str) {
        tracing::debug!(server = %self.address, why, "upstream server failed");
        *self.suspect.lock() = Some((Instant::now(), why.to_owned()));
    }

    /// The monitor has heard of the server.
    pub(crate) fn trust(&self) {
        *self.suspect.lock() = None;
    }

    /// For how long it is not to be chosen yet.
    pub(crate) fn suspect_for(&self) -> Option<Duration> {
        let suspect = self.suspect.lock();
        let since = suspect.as_ref()?.0.elapsed();
        SUSPECT.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// Why it failed last, if it did so just now.
    pub(crate) fn failure(&self) -> Option<String> {
        self.suspect.lock().as_ref().map(|(_, why)| why.clone())
    }

    /// Takes note of the newest write that the server has, in milliseconds since the epoch.
    pub(crate) fn note_write(&self, written_ms: i64) {
        *self.last_write.lock() = Some((written_ms, Instant::now()));
    }

    /// Its newest write in milliseconds since the epoch, and when it said so.
    pub(crate) fn last_write(&self) -> Option<(i64, Instant)> {
        *self.last_write.lock()
    }

    /// Closes the idle connections, and has those in use give up.
    pub(crate) fn interrupt(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        let closed = u32::try_from(idle.len()).unwrap_or(u32::MAX);
        self.open.fetch_sub(closed, Ordering::Relaxed);
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Connections that are open, and of them those not in use.
    pub(crate) fn connections(&self) -> (u32, usize) {
        (self.open.load(Ordering::Relaxed), self.idle.lock().len())
    }
}

impl Lease {
    /// Sends a whole message. If that fails, the server did not get all of it.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let connection = self
            .connection
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected)?;
        tokio::select! {
            biased;
            sent = connection.send(frame) => sent,
            _ = self.epoch.changed() => Err(given_up()),
        }
    }

    /// Waits for the next answer.
    pub(crate) async fn receive(&mut self) -> Result<Reply> {
        let limit = self.server.config.answer_timeout;
        let connection = self.connection.as_mut();
        let epoch = &mut self.epoch;
        let received = async {
            let connection = connection.ok_or(io::ErrorKind::NotConnected)?;
            tokio::select! {
                biased;
                received = connection.receive() => received,
                _ = epoch.changed() => Err(given_up()),
            }
        };
        let received = match limit {
            None => received.await,
            Some(limit) => {
                tokio::time::timeout(limit, received)
                    .await
                    .map_err(|_| Error::Slow {
                        address: self.server.address.to_string(),
                        waited: limit,
                    })?
            }
        };
        received.map_err(|source| {
            self.server.suspect(&source.to_string());
            Error::Lost {
                address: self.server.address.to_string(),
                source,
            }
        })
    }

    /// Puts the connection back: its last answer has come.
    pub(crate) fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take() {
            if self.epoch.has_changed().unwrap_or(true) {
                self.server.open.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            connection.shrink();
            self.server.idle.lock().push(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.server.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn given_up() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the server does not answer its monitor",
    )
}
