//! The servers under test, and what they keep their data in.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use argon_testkit::network::{Network, Weather};
use argon_testkit::replica_set::ReplicaSet;
use argon_testkit::server::{self, Argon};

use crate::session::Directory;

/// How many members the replica set has.
const MEMBERS: usize = 3;
/// How long a server waits for a deployment that is away: longer than an election, shorter than a client's patience.
const SELECTION: &str = "serverSelectionTimeoutMS=15000";
/// How long a server may take to start where its deployment may be away, beyond the time that it is.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const START_PAUSE: Duration = Duration::from_millis(200);

/// What is under test, and so what may be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// One server with a directory of its own.
    Embedded,
    /// Several servers over a replica set of three, with their log in it.
    Strong,
    /// The same, where reads answer with what a server has heard of: sessions see their own past.
    Causal,
    /// Databases of the replica set, and branches of the engine `prefix` in them.
    Prefix,
}

impl Mode {
    /// What servers over a replica set are started with beside its address.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Mode::Embedded | Mode::Strong => &[],
            Mode::Causal => &["--read-consistency", "causal"],
            Mode::Prefix => &["--new-databases", "upstream"],
        }
    }

    /// Whether branches are kept in Argon's log.
    pub(crate) fn has_log(self) -> bool {
        self != Mode::Prefix
    }
}

/// The whole deployment. Dropping it ends its processes.
pub(crate) struct Cluster {
    mode: Mode,
    set: Option<Mutex<ReplicaSet>>,
    /// What each server sees of the set.
    networks: Vec<Network>,
    servers: Vec<Mutex<Argon>>,
    directory: Directory,
}

impl Cluster {
    pub(crate) fn start(mode: Mode, servers: usize, directory: Directory) -> Result<Cluster> {
        let binary = server::binary()?;
        let mut cluster = Cluster {
            mode,
            set: None,
            networks: Vec::new(),
            servers: Vec::new(),
            directory,
        };
        if mode == Mode::Embedded {
            cluster.add(&binary, &[])?;
            return Ok(cluster);
        }
        let set = ReplicaSet::start(MEMBERS).context("starting the replica set")?;
        let query = format!("replicaSet=rs&{SELECTION}");
        for _ in 0..servers {
            let network = Network::around(&set.addrs(), &query)?;
            let uri = network.uri();
            let mut args = vec!["--mongodb-uri", &uri];
            args.extend(mode.arguments());
            cluster.add(&binary, &args)?;
            cluster.networks.push(network);
        }
        cluster.set = Some(Mutex::new(set));
        Ok(cluster)
    }

    fn add(&mut self, binary: &Path, args: &[&str]) -> Result<()> {
        let argon = Argon::start_with(binary, None, args)?;
        self.directory.set(self.servers.len(), Some(argon.addr()));
        self.servers.push(Mutex::new(argon));
        Ok(())
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn server(&self, server: usize) -> MutexGuard<'_, Argon> {
        self.servers[server]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The replica set, if there is one.
    pub(crate) fn set(&self) -> Option<MutexGuard<'_, ReplicaSet>> {
        let set = self.set.as_ref()?;
        Some(set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something to a server's way to the replica set.
    pub(crate) fn weather(&self, server: usize, weather: Weather) {
        if let Some(network) = self.networks.get(server) {
            network.set(weather);
        }
    }

    /// Ends a server with `kill -9`.
    pub(crate) fn kill(&self, server: usize) -> Result<()> {
        self.directory.set(server, None);
        self.server(server).kill()
    }

    /// Ends a server as an operator does.
    pub(crate) fn stop(&self, server: usize) -> Result<()> {
        self.directory.set(server, None);
        self.server(server).stop()
    }

    /// Starts a server that has ended, again and again while it cannot reach its deployment, as a supervisor does.
    pub(crate) fn restart(&self, server: usize) -> Result<()> {
        let mut argon = self.server(server);
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = argon.restart() {
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(START_PAUSE);
        }
        self.directory.set(server, Some(argon.addr()));
        Ok(())
    }
}
