//! `serverStatus`: counters and gauges, in the sections that monitoring tools read.

use std::sync::atomic::{AtomicU64, Ordering};

use argon_mql::{DocBuf, ValueRef};

use super::build_info::VERSION;
use super::host_info::{host, read};
use crate::command::{Access, Command, Cx, text};
use crate::reply::Reply;
use crate::server::now_ms;

pub(in crate::command) const COMMAND: Command = Command {
    name: "serverStatus",
    aliases: &[],
    access: Access::LoggedIn,
    help: "Shows counters and gauges of the server.",
    run: |cx| Box::pin(std::future::ready(Ok(run(cx)))),
};

type Section = fn(&Cx<'_>, &mut DocBuf);

/// The sections; `{serverStatus: 1, <section>: 0}` leaves one out.
const SECTIONS: &[(&str, Section)] = &[
    ("asserts", asserts),
    ("connections", connections),
    ("extra_info", extra_info),
    ("logicalSessionRecordCache", sessions),
    ("network", network),
    ("opcounters", opcounters),
    ("mem", memory),
    ("metrics", metrics),
    ("argon", argon),
];

fn run(cx: &Cx<'_>) -> Reply {
    let uptime = cx.shared.started.elapsed();
    let seconds = i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX);
    let mut reply = DocBuf::with_capacity(2048);
    reply.append("host", text(&host(cx)));
    reply.append("version", text(VERSION));
    reply.append("process", text("mongos"));
    reply.append("pid", ValueRef::Int64(std::process::id().into()));
    reply.append("uptime", ValueRef::Double(uptime.as_secs_f64().floor()));
    let millis = i64::try_from(uptime.as_millis()).unwrap_or(i64::MAX);
    reply.append("uptimeMillis", ValueRef::Int64(millis));
    reply.append("uptimeEstimate", ValueRef::Int64(seconds));
    reply.append("localTime", ValueRef::DateTime(now_ms()));
    for (name, section) in SECTIONS {
        if cx
            .request
            .doc()
            .get(name)
            .is_some_and(|wanted| is_false(&wanted))
        {
            continue;
        }
        let open = reply.open_document(name);
        section(cx, &mut reply);
        reply.close(open);
    }
    Reply::from(reply)
}

fn is_false(value: &ValueRef<'_>) -> bool {
    matches!(
        value,
        ValueRef::Bool(false) | ValueRef::Int32(0) | ValueRef::Int64(0) | ValueRef::Double(0.0)
    )
}

fn long(count: u64) -> ValueRef<'static> {
    ValueRef::Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

fn counter(counter: &AtomicU64) -> ValueRef<'static> {
    long(counter.load(Ordering::Relaxed))
}

fn asserts(_: &Cx<'_>, out: &mut DocBuf) {
    for kind in ["regular", "warning", "msg", "user", "tripwire", "rollovers"] {
        out.append(kind, ValueRef::Int32(0));
    }
}

fn connections(cx: &Cx<'_>, out: &mut DocBuf) {
    let int = |count: u64| ValueRef::Int32(i32::try_from(count).unwrap_or(i32::MAX));
    let current = cx.shared.counters.connections.load(Ordering::Relaxed);
    let max = cx.shared.config.connections_max as u64;
    out.append("current", int(current));
    out.append("available", int(max.saturating_sub(current)));
    out.append(
        "totalCreated",
        int(cx
            .shared
            .counters
            .connections_created
            .load(Ordering::Relaxed)),
    );
    out.append("active", int(cx.shared.operations.list().len() as u64));
}

fn extra_info(_: &Cx<'_>, out: &mut DocBuf) {
    out.append("note", text("fields vary by platform"));
    // Field 12 of the process's stat, counted from behind its name, which may hold spaces.
    let stat = read("/proc/self/stat");
    let faults = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(9))
        .and_then(|faults| faults.parse().ok());
    out.append("page_faults", ValueRef::Int64(faults.unwrap_or(0)));
}

fn sessions(cx: &Cx<'_>, out: &mut DocBuf) {
    let active = cx.shared.sessions.list().len();
    out.append(
        "activeSessionsCount",
        ValueRef::Int32(i32::try_from(active).unwrap_or(i32::MAX)),
    );
}

fn network(cx: &Cx<'_>, out: &mut DocBuf) {
    let counters = &cx.shared.counters;
    out.append("bytesIn", counter(&counters.bytes_in));
    out.append("bytesOut", counter(&counters.bytes_out));
    out.append("physicalBytesIn", counter(&counters.bytes_in));
    out.append("physicalBytesOut", counter(&counters.bytes_out));
    out.append("numRequests", counter(&counters.requests));
}

fn opcounters(cx: &Cx<'_>, out: &mut DocBuf) {
    let counters = &cx.shared.counters;
    out.append("insert", counter(&counters.inserts));
    out.append("query", counter(&counters.queries));
    out.append("update", counter(&counters.updates));
    out.append("delete", counter(&counters.deletes));
    out.append("getmore", counter(&counters.get_mores));
    out.append("command", counter(&counters.commands));
}

/// In MiB.
fn memory(_: &Cx<'_>, out: &mut DocBuf) {
    /// Memory comes in pages of 4 KiB wherever `/proc/self/statm` exists and Argon is built for.
    const PAGES_PER_MIB: i32 = 256;
    let pages = read("/proc/self/statm");
    let mut pages = pages
        .split_whitespace()
        .map(|pages| pages.parse::<i32>().unwrap_or(0));
    let (size, resident) = (pages.next(), pages.next());
    out.append("bits", ValueRef::Int32(64));
    out.append(
        "resident",
        ValueRef::Int32(resident.unwrap_or(0) / PAGES_PER_MIB),
    );
    out.append(
        "virtual",
        ValueRef::Int32(size.unwrap_or(0) / PAGES_PER_MIB),
    );
    out.append("supported", ValueRef::Bool(resident.is_some()));
}

fn metrics(cx: &Cx<'_>, out: &mut DocBuf) {
    let cursor = out.open_document("cursor");
    let open = out.open_document("open");
    out.append("total", long(cx.shared.cursors.len() as u64));
    out.close(open);
    out.close(cursor);
}

/// What no MongoDB has.
fn argon(cx: &Cx<'_>, out: &mut DocBuf) {
    let engine = &cx.shared.engine;
    let projects = engine.projects();
    let branches: usize = projects
        .iter()
        .filter_map(|project| engine.branches(project).ok())
        .map(|branches| branches.len())
        .sum();
    out.append("projects", long(projects.len() as u64));
    out.append("branches", long(branches as u64));
    out.append("cachedBytes", long(engine.cached_bytes() as u64));
    out.append("cacheBytesMax", long(engine.cache_bytes_max() as u64));
    if let Some(passthrough) = &cx.shared.passthrough {
        passthrough.describe(out);
    }
    let status = engine.status();
    let store = out.open_document("store");
    out.append("kind", text(status.store.kind));
    out.append("shared", ValueRef::Bool(status.shared));
    out.append("reachable", ValueRef::Bool(status.store.reachable));
    if let Some(error) = &status.store.last_error {
        out.append("lastError", text(error));
    }
    let consistency = status.read_consistency.to_string();
    out.append("readConsistency", text(&consistency));
    out.append("entriesBehind", long(status.behind));
    out.append("recordsInFlight", long(status.in_flight));
    out.append("headChecks", long(status.head_checks));
    out.append("appendsLost", long(status.appends_lost));
    out.append("decisionsRepeated", long(status.decisions_repeated));
    out.append("recordsReplayed", long(status.records_replayed));
    out.close(store);
}
