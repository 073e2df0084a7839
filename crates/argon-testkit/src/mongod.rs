//! Starts a real `mongod`, the judge of every case.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bson::{RawDocumentBuf, rawdoc};
use tempfile::TempDir;

use crate::client::{Client, is_ok};
use crate::process::{free_address, log_tail};

/// The version every recording comes from.
pub const VERSION: &str = "6.0.5";

/// How long `mongod` may take to accept commands and, as a replica set, writes.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Between choosing a free port and listening on it another process may take it.
const START_ATTEMPTS: usize = 3;

/// How to start `mongod`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Starts a replica set of one member: retryable writes, transactions and change streams work.
    pub replica_set: bool,
    /// Keeps the data in memory where the system offers it: fast, and durable nowhere.
    pub volatile: bool,
}

/// A running `mongod`; dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Mongod {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
}

impl Mongod {
    /// Starts `mongod` on an empty data directory and waits until it accepts writes.
    ///
    /// # Errors
    /// If there is no binary (`scripts/setup` installs it), or it does not start.
    pub fn start(options: Options) -> Result<Self> {
        let binary = binary()?;
        let mut last_error = None;
        for _ in 0..START_ATTEMPTS {
            match Self::launch(&binary, options) {
                Ok(mongod) => return Ok(mongod),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.context("no attempt")?)
    }

    /// Returns where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If the connection is refused.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(self.addr)
    }

    /// Returns the process id, for measuring memory.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the data directory, for measuring its size.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn launch(binary: &Path, options: Options) -> Result<Self> {
        let shm = Path::new("/dev/shm");
        let dir = if options.volatile && shm.is_dir() {
            TempDir::with_prefix_in("argon-mongod-", shm)?
        } else {
            TempDir::with_prefix("argon-mongod-")?
        };
        let addr = free_address()?;
        let data = dir.path().join("data");
        std::fs::create_dir(&data)?;
        let mut command = Command::new(binary);
        command
            .arg("--dbpath")
            .arg(&data)
            .arg("--logpath")
            .arg(dir.path().join("log"));
        command.args(["--bind_ip", "127.0.0.1", "--port", &addr.port().to_string()]);
        command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        if options.replica_set {
            // Replicated commands wait for the journal, which is flushed every 100 ms otherwise.
            command.args(["--replSet", "rs", "--journalCommitInterval", "1"]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut mongod = Self { child, addr, dir };
        mongod.wait_until_ready(options)?;
        Ok(mongod)
    }

    fn wait_until_ready(&mut self, options: Options) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut client = loop {
            match self.connect() {
                Ok(client) => break client,
                Err(error) => self.pause(deadline, &error.to_string())?,
            }
        };
        let info = client.run_ok("admin", &rawdoc! {"buildInfo": 1})?;
        let version = info.get_str("version")?;
        ensure!(
            version == VERSION,
            "cases are recorded from mongod {VERSION}, this is {version}"
        );
        if options.replica_set {
            client.run_ok("admin", &initiate(self.addr))?;
            while !self.is_primary(&mut client)? {
                self.pause(deadline, "it has not become primary")?;
            }
        }
        Ok(())
    }

    fn is_primary(&self, client: &mut Client) -> Result<bool> {
        let hello = client.run_command("admin", &rawdoc! {"hello": 1})?;
        Ok(is_ok(&hello) && hello.get_bool("isWritablePrimary").unwrap_or(false))
    }

    fn pause(&mut self, deadline: Instant, why: &str) -> Result<()> {
        let ended = self.child.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let log = log_tail(&self.dir.path().join("log"));
            bail!("mongod did not start ({why}; exit status {ended:?}); its log ends with\n{log}");
        }
        sleep(Duration::from_millis(20));
        Ok(())
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        // Nothing to do about a failure: the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of the binary: `ARGON_MONGOD`, or where `scripts/setup` puts it.
///
/// # Errors
/// If there is no file at that path.
pub fn binary() -> Result<PathBuf> {
    let path = match env::var_os("ARGON_MONGOD") {
        Some(path) => PathBuf::from(path),
        None => crate::workspace_root().join(".cache/bin/mongod"),
    };
    ensure!(
        path.is_file(),
        "no mongod at {}: run scripts/setup or set ARGON_MONGOD",
        path.display()
    );
    Ok(path)
}

fn initiate(addr: SocketAddr) -> RawDocumentBuf {
    rawdoc! {
        "replSetInitiate": {"_id": "rs", "members": [{"_id": 0, "host": addr.to_string()}]},
    }
}
