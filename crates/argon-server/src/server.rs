//! What all connections share, and the life of the server: bind, accept, drain.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argon_engine::Engine;
use bson::oid::ObjectId;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::connection::{self, Connection};
use crate::cursor::{self, Cursors};
use crate::latency::Latencies;
use crate::operation::Operations;
use crate::prefix;
use crate::recent_log::RecentLog;
use crate::scratch::Scratch;
use crate::session::Sessions;
use crate::slow_log::SlowLog;
use crate::upstream::{self, Passthrough, UpstreamConfig};

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The directory for what exceeds a stage's memory; made when it is first needed.
    pub scratch_dir: PathBuf,
    /// Most connections at a time; further ones are closed at once, as mongod does.
    pub connections_max: usize,
    /// Listens off loopback although there is no authentication yet.
    pub allow_remote: bool,
    /// Whether the commands that exist for tests only are there.
    pub test_commands: bool,
    /// The command line, for `getCmdLineOpts`.
    pub arguments: Vec<String>,
    /// The last lines of the log, for `getLog`.
    pub log: Arc<RecentLog>,
    /// After this long, what was acknowledged is on disk; zero where it is when acknowledged.
    pub durable_within: Duration,
    /// The MongoDB deployment whose other databases pass through, if there is one.
    pub upstream: Option<UpstreamConfig>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Everybody who reaches the address could read and write everything.
    #[error(
        "refusing to listen on {0}: Argon has no authentication yet, and the address is not loopback; \
         --allow-remote listens there all the same"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A server that is bound to its address.
pub struct Server {
    listener: TcpListener,
    state: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: Config,
    pub(crate) address: SocketAddr,
    pub(crate) started: Instant,
    pub(crate) started_ms: i64,
    /// The identity of this process in `topologyVersion`.
    pub(crate) process_id: ObjectId,
    pub(crate) cursors: Cursors,
    pub(crate) scratch: Scratch,
    pub(crate) sessions: Sessions,
    pub(crate) operations: Operations,
    pub(crate) passthrough: Option<Passthrough>,
    pub(crate) prefix_routes: prefix::Routes,
    pub(crate) prefix_jobs: prefix::Jobs,
    /// The open connections, by number.
    pub(crate) connections: Mutex<HashMap<i32, Arc<Connection>>>,
    pub(crate) counters: Counters,
    /// Seconds between two looks for documents that have expired (`ttlMonitorSleepSecs`).
    pub(crate) ttl_seconds: AtomicU64,
    /// For how long an unused cursor is kept (`cursorTimeoutMillis`).
    pub(crate) cursor_timeout_ms: AtomicI64,
    /// Which commands are written to the log for being slow (`profile`).
    pub(crate) slow_log: SlowLog,
    /// How long commands took, by namespace (`$collStats`).
    pub(crate) latencies: Latencies,
    /// Told once a client has asked the server to stop.
    pub(crate) asked_to_stop: Notify,
    /// Turns true once, when the server is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
}

/// What `serverStatus` counts.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_created: AtomicU64,
    next_connection: AtomicI32,
    pub(crate) requests: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) inserts: AtomicU64,
    pub(crate) queries: AtomicU64,
    pub(crate) updates: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) get_mores: AtomicU64,
    pub(crate) commands: AtomicU64,
}

/// Source: MongoDB manual, "ttlMonitorSleepSecs".
const TTL_SECONDS: u64 = 60;

/// How long open connections may take to finish what they are doing when the server stops.
const DRAIN: Duration = Duration::from_secs(10);

impl Server {
    /// Binds to the configured address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: Config, engine: Arc<Engine>) -> Result<Server, StartError> {
        if !config.listen.ip().is_loopback() && !config.allow_remote {
            return Err(StartError::NotLoopback(config.listen));
        }
        let bind = |source| StartError::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (stop, stopping) = watch::channel(false);
        let state = Arc::new(Shared {
            scratch: Scratch::new(config.scratch_dir.clone()),
            engine,
            passthrough: config.upstream.clone().map(Passthrough::new),
            config,
            address,
            started: Instant::now(),
            started_ms: now_ms(),
            process_id: ObjectId::new(),
            cursors: Cursors::default(),
            sessions: Sessions::default(),
            operations: Operations::default(),
            prefix_routes: prefix::Routes::default(),
            prefix_jobs: prefix::Jobs::default(),
            connections: Mutex::default(),
            counters: Counters::default(),
            ttl_seconds: AtomicU64::new(TTL_SECONDS),
            cursor_timeout_ms: AtomicI64::new(cursor::TIMEOUT_MS),
            slow_log: SlowLog::default(),
            latencies: Latencies::default(),
            asked_to_stop: Notify::new(),
            stopping,
            stop,
        });
        Ok(Server { listener, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// Serves until `stop` completes or a client asks for the end (`shutdown`); then takes no more connections, lets commands finish, and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Server { listener, state } = self;
        let reaper = tokio::spawn(reap(Arc::clone(&state)));
        let expiry = tokio::spawn(expire(Arc::clone(&state)));
        let following = tokio::spawn(follow(Arc::clone(&state)));
        let hearing = tokio::spawn(upstream::listen(Arc::clone(&state), state.stopping.clone()));
        let jobs = tokio::spawn(prefix::watch(Arc::clone(&state), state.stopping.clone()));
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = state.asked_to_stop.notified() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => accept(&state, stream, peer),
                    Err(error) => {
                        // Out of file descriptors, most likely: wait for some to come back.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(listener);
        let _ = state.stop.send(true);
        state.operations.kill_all();
        reaper.abort();
        following.abort();
        hearing.abort();
        let deadline = Instant::now() + DRAIN;
        while state.counters.connections.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The store is closed next: a write that was begun comes to its end first.
        let _ = tokio::time::timeout(DRAIN, expiry).await;
        let _ = tokio::time::timeout(DRAIN, jobs).await;
    }
}

impl Shared {
    /// Whether the server is to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

fn accept(state: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let open = state.counters.connections.fetch_add(1, Ordering::AcqRel);
    state
        .counters
        .connections_created
        .fetch_add(1, Ordering::Relaxed);
    let leaving = Leaving(Arc::clone(state));
    let max = u64::try_from(state.config.connections_max).unwrap_or(u64::MAX);
    if open >= max {
        tracing::warn!(%peer, max, "connection refused: too many open connections");
        return;
    }
    let id = state
        .counters
        .next_connection
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_add(1);
    tokio::spawn(async move {
        let state = Arc::clone(&leaving.0);
        connection::serve(state, stream, peer, id).await;
        drop(leaving);
    });
}

/// Counts a connection out, however it ends.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.counters.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Drops cursors and sessions that nobody used for long.
async fn reap(state: Arc<Shared>) {
    let mut timer = tokio::time::interval(Duration::from_secs(4));
    loop {
        timer.tick().await;
        let now = Instant::now();
        let timeout = state.cursor_timeout_ms.load(Ordering::Relaxed);
        let timeout = Duration::from_millis(u64::try_from(timeout).unwrap_or(0));
        state.cursors.reap(now, timeout);
        state.sessions.reap(now);
    }
}

/// Keeps what is in memory up with other processes on the same store.
async fn follow(state: Arc<Shared>) {
    state.engine.follow().await;
}

/// Deletes documents that have expired. It ends by itself: a write that was begun is to be polled to its end.
async fn expire(state: Arc<Shared>) {
    let mut timer = tokio::time::interval(Duration::from_secs(1));
    let mut last = Instant::now();
    while !state.is_stopping() {
        timer.tick().await;
        if last.elapsed() < Duration::from_secs(state.ttl_seconds.load(Ordering::Relaxed)) {
            continue;
        }
        match state.engine.expire().await {
            Ok(0) => {}
            Ok(deleted) => tracing::debug!(deleted, "expired documents deleted"),
            Err(error) => tracing::warn!(%error, "cannot delete expired documents"),
        }
        last = Instant::now();
    }
}

/// The wall clock in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
