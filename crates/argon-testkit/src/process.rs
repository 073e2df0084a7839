//! Child processes that end with the test that started them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How much of a log is shown when a server does not start.
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// Finds a port on the loopback interface that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Sends the signal of this name (`TERM`, `STOP`, …) to `child`.
pub(crate) fn signal(child: &Child, name: &str) -> Result<()> {
    // The standard library can only kill; kill(1) is on every machine the tests run on.
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(child.id().to_string())
        .status()?;
    ensure!(status.success(), "kill -{name} {}: {status}", child.id());
    Ok(())
}

/// Sends SIGTERM to `child` and waits for its end; false if it is still running after `patience`.
pub(crate) fn terminate(child: &mut Child, patience: Duration) -> Result<bool> {
    signal(child, "TERM")?;
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        sleep(Duration::from_millis(5));
    }
    Ok(false)
}

/// Returns the end of a log for an error message.
pub(crate) fn log_tail(path: &Path) -> String {
    let read = || -> Result<String> {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(String::from_utf8_lossy(&tail).into_owned())
    };
    read().unwrap_or_else(|error| format!("(no log: {error})"))
}
