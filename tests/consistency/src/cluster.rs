//! The servers under test, and what they keep their data in.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use argon_testkit::network::{Network, Weather};
use argon_testkit::replica_set::ReplicaSet;
use argon_testkit::server::{self, Argon};

use crate::client::Directory;

/// How many members the replica set has.
const MEMBERS: usize = 3;
/// How long a server waits for a deployment that is away: longer than an election, shorter than a client's patience.
const SELECTION: &str = "serverSelectionTimeoutMS=15000";

/// What the servers keep the log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Store {
    /// One server with a directory of its own.
    Embedded,
    /// Several servers over a replica set of three.
    Mongodb,
}

/// The whole deployment. Dropping it ends its processes.
pub(crate) struct Cluster {
    set: Option<Mutex<ReplicaSet>>,
    /// What each server sees of the set.
    networks: Vec<Network>,
    servers: Vec<Mutex<Argon>>,
    directory: Directory,
}

impl Cluster {
    pub(crate) fn start(store: Store, servers: usize, directory: Directory) -> Result<Cluster> {
        let binary = server::binary()?;
        let mut cluster = Cluster {
            set: None,
            networks: Vec::new(),
            servers: Vec::new(),
            directory,
        };
        match store {
            Store::Embedded => cluster.add(&binary, &[])?,
            Store::Mongodb => {
                let set = ReplicaSet::start(MEMBERS).context("starting the replica set")?;
                let query = format!("replicaSet=rs&{SELECTION}");
                for _ in 0..servers {
                    let network = Network::around(&set.addrs(), &query)?;
                    cluster.add(&binary, &["--mongodb-uri", &network.uri()])?;
                    cluster.networks.push(network);
                }
                cluster.set = Some(Mutex::new(set));
            }
        }
        Ok(cluster)
    }

    fn add(&mut self, binary: &Path, args: &[&str]) -> Result<()> {
        let argon = Argon::start_with(binary, None, args)?;
        self.directory.set(self.servers.len(), Some(argon.addr()));
        self.servers.push(Mutex::new(argon));
        Ok(())
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

    pub(crate) fn restart(&self, server: usize) -> Result<()> {
        let mut argon = self.server(server);
        argon.restart()?;
        self.directory.set(server, Some(argon.addr()));
        Ok(())
    }
}
