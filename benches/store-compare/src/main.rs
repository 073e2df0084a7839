//! Compares what could keep the log: group-commit append, tail read, reopen, space, memory, and
//! behaviour on a full disk.
//!
//! `store-compare append|fill|reopen|read|full <engine> <directory> …`: see `run.sh`.
//! Latencies are microseconds, rates are per second, sizes are bytes.

mod engine;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use engine::{Engine, open};
use tokio::sync::oneshot;

type Key = [u8; 24];
type Item = (Key, Vec<u8>, oneshot::Sender<bool>);

#[derive(Default)]
struct Queue {
    items: Mutex<(VecDeque<Item>, bool)>,
    wake: Condvar,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["append", engine, dir, appenders, bytes, seconds] => append(
            engine,
            Path::new(dir),
            appenders.parse().unwrap(),
            bytes.parse().unwrap(),
            seconds.parse().unwrap(),
        ),
        ["fill", engine, dir, bytes, total] => {
            fill(engine, Path::new(dir), bytes.parse().unwrap(), total.parse().unwrap());
        }
        ["reopen", engine, dir] => reopen(engine, Path::new(dir)),
        ["full", engine, dir] => full(engine, Path::new(dir)),
        ["check", engine, dir] => check(engine, Path::new(dir)),
        _ => eprintln!("see run.sh"),
    }
}

fn key(branch: u8, lsn: u64) -> Key {
    let mut key = [branch; 24];
    key[16..].copy_from_slice(&lsn.to_be_bytes());
    key
}

/// Bytes that compress about as BSON documents do: half random, half repeated.
fn value(bytes: usize, lsn: u64) -> Vec<u8> {
    let mut state = lsn.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
        out.extend_from_slice(b"lastname");
    }
    out.truncate(bytes);
    out
}

/// Appenders are tasks, one thread commits whatever waits: the shape the store has.
fn append(name: &str, dir: &Path, appenders: usize, bytes: usize, seconds: u64) {
    let mut engine = open(name, dir);
    let queue = Arc::new(Queue::default());
    let for_thread = Arc::clone(&queue);
    let committer = std::thread::spawn(move || {
        let mut groups = 0u64;
        loop {
            let mut guard = for_thread.items.lock().unwrap();
            while guard.0.is_empty() && !guard.1 {
                guard = for_thread.wake.wait(guard).unwrap();
            }
            if guard.0.is_empty() {
                return (groups, engine);
            }
            let items = std::mem::take(&mut guard.0);
            drop(guard);
            engine.commit(items.iter().map(|(key, value, _)| (&key[..], &value[..]))).unwrap();
            groups += 1;
            for (_, _, done) in items {
                let _ = done.send(true);
            }
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let until = Instant::now() + Duration::from_secs(seconds);
    let start = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|appender| {
            let queue = Arc::clone(&queue);
            runtime.spawn(async move {
                let mut latencies = Vec::new();
                let mut lsn = 0;
                while Instant::now() < until {
                    lsn += 1;
                    let value = value(bytes, lsn);
                    let (done, wait) = oneshot::channel();
                    let begin = Instant::now();
                    queue.items.lock().unwrap().0.push_back((
                        key(u8::try_from(appender).unwrap(), lsn),
                        value,
                        done,
                    ));
                    queue.wake.notify_one();
                    wait.await.unwrap();
                    latencies.push(u64::try_from(begin.elapsed().as_micros()).unwrap());
                }
                latencies
            })
        })
        .collect();
    let mut all: Vec<u64> = Vec::new();
    for task in tasks {
        all.extend(runtime.block_on(task).unwrap());
    }
    let elapsed = start.elapsed().as_secs_f64();
    queue.items.lock().unwrap().1 = true;
    queue.wake.notify_one();
    let (groups, engine) = committer.join().unwrap();
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    println!(
        "append {name:9} appenders={appenders:<3} bytes={bytes:<8} median={:<6} p99={:<6} max={:<7} rate={:<8.0} MB/s={:<6.1} group={:.1} rss={}",
        at(0.5),
        at(0.99),
        at(1.0),
        all.len() as f64 / elapsed,
        all.len() as f64 * bytes as f64 / elapsed / 1e6,
        all.len() as f64 / groups as f64,
        rss(),
    );
    drop(engine);
}

fn fill(name: &str, dir: &Path, bytes: usize, total: usize) {
    let mut engine = open(name, dir);
    let start = Instant::now();
    let mut lsn = 0u64;
    let mut written = 0;
    while written < total {
        let group: Vec<_> = (0..(1 << 20) / bytes + 1)
            .map(|_| {
                lsn += 1;
                (key(u8::try_from(lsn % 4).unwrap(), lsn), value(bytes, lsn))
            })
            .collect();
        written += group.len() * bytes;
        engine.commit(group.iter().map(|(key, value)| (&key[..], &value[..]))).unwrap();
    }
    println!(
        "fill   {name:9} records={lsn} bytes={bytes} MB/s={:.1} rss={}",
        written as f64 / start.elapsed().as_secs_f64() / 1e6,
        rss()
    );
    // As after kill -9: nothing is closed.
    std::process::exit(0);
}

fn reopen(name: &str, dir: &Path) {
    let start = Instant::now();
    let engine = open(name, dir);
    let opened = start.elapsed();
    let idle = rss();
    let start = Instant::now();
    let (records, bytes) = engine.scan();
    println!(
        "reopen {name:9} open_ms={:<6.1} idle_rss={idle} records={records} scan_MB/s={:.1} rss_after={}",
        opened.as_secs_f64() * 1e3,
        bytes as f64 / start.elapsed().as_secs_f64() / 1e6,
        rss()
    );
}

/// Appends until it fails, then tries again, reads, reopens.
fn full(name: &str, dir: &Path) {
    let mut engine = open(name, dir);
    let mut lsn = 0;
    let error = loop {
        lsn += 1;
        let (key, value) = (key(1, lsn), value(64 << 10, lsn));
        match engine.commit(std::iter::once((&key[..], &value[..]))) {
            Ok(()) => {}
            Err(error) => break error,
        }
        if lsn > 100_000 {
            break "never full".into();
        }
    };
    println!("full   {name:9} acknowledged={} error={error}", lsn - 1);
    println!("full   {name:9} readable while full={}", engine.scan().0);
    let (key, value) = (key(1, lsn), value(64, lsn));
    let again = engine.commit(std::iter::once((&key[..], &value[..])));
    println!("full   {name:9} small write while full: {again:?}");
}

fn check(name: &str, dir: &Path) {
    let engine = open(name, dir);
    println!("check  {name:9} records={}", engine.scan().0);
}

/// Resident memory that is not the page cache, in bytes.
fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
