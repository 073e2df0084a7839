//! `hostInfo`: the machine, as far as the operating system tells.

use std::fs;

use argon_mql::{DocBuf, ValueRef};

use crate::command::{Access, Command, Cx, text};
use crate::error::Result;
use crate::reply::Reply;
use crate::server::now_ms;

pub(in crate::command) const COMMAND: Command = Command {
    name: "hostInfo",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Describes the machine that the server runs on.",
    run: |cx| Box::pin(std::future::ready(run(cx))),
};

fn run(cx: &Cx<'_>) -> Result<Reply> {
    cx.request.refuse_unknown("hostInfo", &[])?;
    let memory = memory_mb();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reply = DocBuf::new();
    let system = reply.open_document("system");
    reply.append("currentTime", ValueRef::DateTime(now_ms()));
    reply.append("hostname", text(&host(cx)));
    reply.append(
        "cpuAddrSize",
        ValueRef::Int32(i32::try_from(usize::BITS).unwrap_or(64)),
    );
    reply.append("memSizeMB", ValueRef::Int64(memory));
    reply.append("memLimitMB", ValueRef::Int64(memory));
    reply.append(
        "numCores",
        ValueRef::Int32(i32::try_from(cores).unwrap_or(i32::MAX)),
    );
    reply.append("cpuArch", text(std::env::consts::ARCH));
    reply.append("numaEnabled", ValueRef::Bool(false));
    reply.close(system);
    let os = reply.open_document("os");
    reply.append("type", text(os_type()));
    reply.append("name", text(&os_name()));
    reply.append("version", text(&format!("Kernel {}", kernel())));
    reply.close(os);
    let extra = reply.open_document("extra");
    reply.append("versionString", text(read("/proc/version").trim()));
    reply.append("kernelVersion", text(&kernel()));
    reply.close(extra);
    Ok(Reply::from(reply))
}

/// Name and port by which the server knows itself.
pub(in crate::command) fn host(cx: &Cx<'_>) -> String {
    let name = read("/proc/sys/kernel/hostname");
    let name = if name.trim().is_empty() {
        "localhost"
    } else {
        name.trim()
    };
    format!("{name}:{}", cx.shared.address.port())
}

/// The machine's memory in MiB, 0 if it does not tell.
fn memory_mb() -> i64 {
    let info = read("/proc/meminfo");
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<i64>().ok());
    kib.unwrap_or(0) / 1024
}

fn os_type() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        other => other,
    }
}

fn os_name() -> String {
    let release = read("/etc/os-release");
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || os_type().to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").trim().to_owned()
}

/// A file's text; empty where there is none, as on systems without `/proc`.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
