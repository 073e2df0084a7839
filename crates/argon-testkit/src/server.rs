//! Starts the `argon` binary under test, and ends it politely or not.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{log_tail, signal, terminate};

/// How long the server may take to print its ready line; a debug build replays slowly.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a graceful stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running `argon serve`; dropping it kills the process.
#[derive(Debug)]
pub struct Argon {
    binary: PathBuf,
    args: Vec<OsString>,
    data_dir: PathBuf,
    log: PathBuf,
    child: Child,
    addr: SocketAddr,
    /// Holds the log, and the data directory where the caller brought none.
    _dir: TempDir,
}

impl Argon {
    /// Starts `binary` on a data directory of its own that goes away with it.
    ///
    /// # Errors
    /// If the server does not print its ready line; the error carries the end of its log.
    pub fn start(binary: &Path) -> Result<Self> {
        Self::start_with(binary, None, &[])
    }

    /// Starts `binary` on `data_dir`, or on a directory of its own, with further arguments.
    ///
    /// # Errors
    /// As [`Argon::start`].
    pub fn start_with(binary: &Path, data_dir: Option<&Path>, args: &[&str]) -> Result<Self> {
        let dir = TempDir::with_prefix("argon-server-")?;
        let data_dir = data_dir.map_or_else(|| dir.path().join("data"), Path::to_path_buf);
        let log = dir.path().join("log");
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let (child, addr) = launch(binary, &args, &data_dir, &log)?;
        Ok(Self {
            binary: binary.to_path_buf(),
            args,
            data_dir,
            log,
            child,
            addr,
            _dir: dir,
        })
    }

    /// Returns where it listens; another port after each restart.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URI for drivers.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("mongodb://{}/", self.addr)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If the connection is refused.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(self.addr)
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the end of what the server wrote to standard error.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// Tells whether the process is still there.
    ///
    /// # Errors
    /// If the system cannot say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Returns the memory the process occupies, in bytes.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line
            .and_then(|line| line.split_whitespace().next())
            .context("no VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// Ends the process as a power cut would: `kill -9`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Has the process stand still: it answers nothing, and keeps its connections.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn pause(&self) -> Result<()> {
        signal(&self.child, "STOP")
    }

    /// Has a paused process go on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn resume(&self) -> Result<()> {
        signal(&self.child, "CONT")
    }

    /// Ends the process as an operator would, with SIGTERM, and checks that it ends cleanly.
    ///
    /// # Errors
    /// If it does not end in time, or with an exit status other than 0.
    pub fn stop(&mut self) -> Result<()> {
        if !terminate(&mut self.child, STOP_TIMEOUT)? {
            self.kill()?;
            bail!(
                "the server ignored SIGTERM; its log ends with\n{}",
                self.log_tail()
            );
        }
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "{status} after SIGTERM; the log ends with\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// Starts the server again on the same data directory and kills it after `delay`, as if the
    /// power failed again while it was recovering.
    ///
    /// # Errors
    /// If the binary cannot be started.
    pub fn restart_and_kill(&mut self, delay: Duration) -> Result<()> {
        self.child = spawn(&self.binary, &self.args, &self.data_dir, &self.log)?;
        thread::sleep(delay);
        self.kill()
    }

    /// Starts the server again on the same data directory, after [`Argon::kill`] or
    /// [`Argon::stop`].
    ///
    /// # Errors
    /// As [`Argon::start`].
    pub fn restart(&mut self) -> Result<()> {
        let (child, addr) = launch(&self.binary, &self.args, &self.data_dir, &self.log)?;
        self.child = child;
        self.addr = addr;
        Ok(())
    }
}

impl Drop for Argon {
    fn drop(&mut self) {
        // Nothing to do about a failure: the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of the binary for programs that are not integration tests of the root package
/// (those have `CARGO_BIN_EXE_argon`): `ARGON_BIN`, or `argon` beside the running program.
///
/// # Errors
/// If there is no file at that path.
pub fn binary() -> Result<PathBuf> {
    let path = match env::var_os("ARGON_BIN") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()?.with_file_name("argon"),
    };
    ensure!(
        path.is_file(),
        "no argon at {}: run cargo build or set ARGON_BIN",
        path.display()
    );
    Ok(path)
}

fn launch(
    binary: &Path,
    args: &[OsString],
    data_dir: &Path,
    log: &Path,
) -> Result<(Child, SocketAddr)> {
    let mut child = spawn(binary, args, data_dir, log)?;
    match ready_address(&mut child) {
        Ok(addr) => Ok((child, addr)),
        Err(error) => {
            let _ = child.kill();
            let status = child.wait();
            Err(error.context(format!(
                "argon did not start ({status:?}); its log ends with\n{}",
                log_tail(log)
            )))
        }
    }
}

fn spawn(binary: &Path, args: &[OsString], data_dir: &Path, log: &Path) -> Result<Child> {
    let log_file = File::options().create(true).append(true).open(log)?;
    Command::new(binary)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}

/// Waits for the line `argon ready on mongodb://127.0.0.1:PORT/` and returns the address in it.
fn ready_address(child: &mut Child) -> Result<SocketAddr> {
    let stdout = child.stdout.take().context("standard output is piped")?;
    let (sender, receiver) = mpsc::channel();
    // A thread, because reading a pipe cannot time out; it also keeps the pipe from filling up.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            let _ = sender.send(line);
        }
    });
    loop {
        let line = receiver
            .recv_timeout(START_TIMEOUT)
            .context("no ready line")?;
        if let Some(uri) = line.strip_prefix("argon ready on mongodb://") {
            let addr = uri.trim_end().trim_end_matches('/');
            return addr
                .parse()
                .with_context(|| format!("the ready line says {line:?}"));
        }
    }
}
