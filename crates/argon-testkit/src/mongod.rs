//! Starts a real `mongod`, the judge of every case.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bson::rawdoc;
use tempfile::TempDir;

use crate::client::{Client, is_ok};
use crate::process::{free_address, log_tail, signal};

/// The version every recording comes from.
pub const VERSION: &str = "6.0.5";

/// How long `mongod` may take to accept commands and, as a replica set, writes.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Between choosing a free port and listening on it another process may take it.
const START_ATTEMPTS: usize = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

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
    node: Node,
}

impl Mongod {
    /// Starts `mongod` on an empty data directory and waits until it accepts writes.
    ///
    /// # Errors
    /// If there is no binary (`scripts/setup` installs it), or it does not start.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_with(options, &[])
    }

    /// Starts `mongod` as [`Mongod::start`] does, with further arguments.
    ///
    /// # Errors
    /// As [`Mongod::start`].
    pub fn start_with(options: Options, args: &[&str]) -> Result<Self> {
        let mut args: Vec<&str> = args.to_vec();
        if options.replica_set {
            // Replicated commands wait for the journal, which is flushed every 100 ms otherwise.
            args.extend(["--replSet", SET_NAME, "--journalCommitInterval", "1"]);
        }
        let node = Node::start(options.volatile, &args)?;
        if options.replica_set {
            let members =
                rawdoc! {"_id": SET_NAME, "members": [{"_id": 0, "host": node.addr.to_string()}]};
            let mut client = node.connect()?;
            client.run_ok("admin", &rawdoc! {"replSetInitiate": members})?;
            wait_until("it has not become primary", || is_primary(&mut client))?;
        }
        Ok(Self { node })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.node.addr
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If the connection is refused.
    pub fn connect(&self) -> Result<Client> {
        self.node.connect()
    }

    /// Returns the process id, for measuring memory.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.node.child.id()
    }

    /// Returns the data directory, for measuring its size.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.node.dir.path().join("data")
    }
}

/// The name of every replica set started here.
pub(crate) const SET_NAME: &str = "rs";

/// One `mongod` process and its directory, which stay together over restarts.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
    args: Vec<String>,
}

impl Node {
    /// Starts a process on an empty data directory and waits until it answers.
    pub(crate) fn start(volatile: bool, args: &[&str]) -> Result<Self> {
        let mut last_error = None;
        for _ in 0..START_ATTEMPTS {
            match Self::start_once(volatile, args) {
                Ok(node) => return Ok(node),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.context("no attempt")?)
    }

    fn start_once(volatile: bool, args: &[&str]) -> Result<Self> {
        let shm = Path::new("/dev/shm");
        let dir = if volatile && shm.is_dir() {
            TempDir::with_prefix_in("argon-mongod-", shm)?
        } else {
            TempDir::with_prefix("argon-mongod-")?
        };
        std::fs::create_dir(dir.path().join("data"))?;
        let addr = free_address()?;
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let child = spawn(dir.path(), addr, &args)?;
        let mut node = Self {
            child,
            addr,
            dir,
            args,
        };
        node.wait_until_it_answers()?;
        Ok(node)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn connect(&self) -> Result<Client> {
        Client::connect(self.addr)
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops the process without ending it: its sockets stay open and nothing answers.
    pub(crate) fn pause(&self) -> Result<()> {
        signal(&self.child, "STOP")
    }

    pub(crate) fn resume(&self) -> Result<()> {
        signal(&self.child, "CONT")
    }

    /// Starts the process again, where it was and on its data.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.child = spawn(self.dir.path(), self.addr, &self.args)?;
        self.wait_until_it_answers()
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut client = loop {
            match self.connect() {
                Ok(client) => break client,
                Err(error) => {
                    let ended = self.child.try_wait()?;
                    if ended.is_some() || Instant::now() > deadline {
                        let log = log_tail(&self.dir.path().join("log"));
                        bail!(
                            "mongod did not start ({error}; exit status {ended:?}); its log ends with\n{log}"
                        );
                    }
                    sleep(POLL_INTERVAL);
                }
            }
        };
        let info = client.run_ok("admin", &rawdoc! {"buildInfo": 1})?;
        let version = info.get_str("version")?;
        ensure!(
            version == VERSION,
            "cases are recorded from mongod {VERSION}, this is {version}"
        );
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing to do about a failure: the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells whether the server behind `client` is a primary that takes writes.
pub(crate) fn is_primary(client: &mut Client) -> Result<bool> {
    let hello = client.run_command("admin", &rawdoc! {"hello": 1})?;
    Ok(is_ok(&hello) && hello.get_bool("isWritablePrimary").unwrap_or(false))
}

/// Waits until `condition` holds; `otherwise` says what is wrong if that takes too long.
pub(crate) fn wait_until(
    otherwise: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !condition()? {
        ensure!(Instant::now() < deadline, "mongod: {otherwise}");
        sleep(POLL_INTERVAL);
    }
    Ok(())
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

fn spawn(dir: &Path, addr: SocketAddr, args: &[String]) -> Result<Child> {
    let binary = binary()?;
    let mut command = Command::new(&binary);
    command.arg("--dbpath").arg(dir.join("data"));
    command.arg("--logpath").arg(dir.join("log"));
    command.args(["--bind_ip", "127.0.0.1", "--port", &addr.port().to_string()]);
    command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}
