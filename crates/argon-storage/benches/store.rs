//! What the embedded store costs: durable appends, branch creation, reading, reopening.
//!
//! `cargo bench -p argon-storage --bench store [-- <directory>]`. The directory decides which disk is
//! measured; the default is the system's temporary one. Latencies are microseconds, `MB` is 10^6
//! bytes of documents. Beside it stands the disk's own fdatasync of 4 KiB into existing blocks.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_storage::testing::{document, fork, project, record_of};
use argon_storage::{BranchMeta, Durability, Entry, LogStore, Lsn, OpenOptions, open};

const SECONDS: Duration = Duration::from_secs(3);

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let directory = match argument {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    raw(directory.path());
    runtime.block_on(async {
        for durability in ["ack", "interval:100ms"] {
            let durability = durability.parse().unwrap();
            for bytes in [300, 4096] {
                for appenders in [1, 8, 64] {
                    append(directory.path(), durability, appenders, bytes).await;
                }
            }
        }
        bulk(directory.path()).await;
        branches(directory.path()).await;
        read(directory.path()).await;
    });
}

fn report(what: &str, mut latencies: Vec<u64>, elapsed: Duration) {
    latencies.sort_unstable();
    let at = |permille: usize| latencies[(latencies.len() - 1) * permille / 1000];
    let rate = latencies.len() as u128 * 1_000_000_000 / elapsed.as_nanos();
    println!(
        "{what:<45} median {:>6}  p90 {:>6}  p99 {:>6}  max {:>7}  per second {rate:>8}",
        at(500),
        at(900),
        at(990),
        at(1000)
    );
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

fn raw(directory: &Path) {
    let file = File::create(directory.join("raw")).unwrap();
    file.write_all_at(&vec![0; 64 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let start = Instant::now();
    let mut latencies = Vec::new();
    while start.elapsed() < SECONDS {
        let at = (latencies.len() as u64 % 16_000) * 4096;
        let begin = Instant::now();
        file.write_all_at(&[1; 4096], at).unwrap();
        file.sync_data().unwrap();
        latencies.push(micros(begin));
    }
    report("write of 4 KiB and fdatasync", latencies, start.elapsed());
}

async fn start(
    directory: &Path,
    durability: Durability,
) -> (tempfile::TempDir, Arc<dyn LogStore>, BranchMeta) {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let options = OpenOptions {
        durability,
        ..OpenOptions::default()
    };
    let uri = format!("embedded:{}", directory.path().display());
    let store = open(&uri, &options).await.unwrap();
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    (directory, store, main)
}

async fn append(directory: &Path, durability: Durability, appenders: usize, bytes: usize) {
    let (_directory, store, main) = start(directory, durability).await;
    let mut tasks = Vec::new();
    let begin = Instant::now();
    for number in 0..appenders {
        let branch = fork(&main, &number.to_string(), Lsn::ZERO);
        store.create_branch(&branch).await.unwrap();
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let document = document(bytes, 1);
            let mut latencies = Vec::new();
            let mut lsn = Lsn::ZERO;
            while begin.elapsed() < SECONDS {
                lsn = lsn.next();
                let put = Entry::Put {
                    collection: "users".into(),
                    document: document.clone(),
                };
                let record = record_of(branch.id, lsn, vec![put]);
                let begin = Instant::now();
                store.append(&record).await.unwrap();
                latencies.push(micros(begin));
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let what = format!("append {durability}, {appenders} at once, {bytes} bytes");
    report(&what, latencies, begin.elapsed());
}

async fn bulk(directory: &Path) {
    let (_directory, store, main) = start(directory, Durability::Ack).await;
    let documents: Vec<_> = (0..1000).map(|seed| document(300, seed)).collect();
    let mut latencies = Vec::new();
    let (mut lsn, begin) = (Lsn(1), Instant::now());
    while begin.elapsed() < SECONDS {
        let puts = documents.iter().map(|document| Entry::Put {
            collection: "users".into(),
            document: document.clone(),
        });
        let record = record_of(main.id, lsn, puts.collect());
        lsn = record.last().next();
        let begin = Instant::now();
        store.append(&record).await.unwrap();
        latencies.push(micros(begin));
    }
    report(
        "append of 1,000 documents of 300 bytes",
        latencies,
        begin.elapsed(),
    );
}

async fn branches(directory: &Path) {
    let (_directory, store, main) = start(directory, Durability::Ack).await;
    let (begin, mut latencies) = (Instant::now(), Vec::new());
    while begin.elapsed() < SECONDS {
        let branch = fork(&main, &format!("feature/{}", latencies.len()), Lsn::ZERO);
        let begin = Instant::now();
        store.create_branch(&branch).await.unwrap();
        latencies.push(micros(begin));
    }
    report("create a branch", latencies, begin.elapsed());
}

async fn read(directory: &Path) {
    let (directory, store, main) = start(directory, Durability::Ack).await;
    for first in (1..1_000_000).step_by(10) {
        let puts = (0..10).map(|seed| Entry::Put {
            collection: "users".into(),
            document: document(300, first + seed),
        });
        store.ready().await.unwrap();
        drop(
            store
                .submit(&record_of(main.id, Lsn(first), puts.collect()))
                .unwrap(),
        );
    }
    store
        .put_setting("done", bytes::Bytes::new())
        .await
        .unwrap();
    drop(store);
    let stored: u64 = std::fs::read_dir(directory.path().join("log"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    let begin = Instant::now();
    let uri = format!("embedded:{}", directory.path().display());
    let store = open(&uri, &OpenOptions::default()).await.unwrap();
    let opened = begin.elapsed();
    let (begin, mut after, mut records) = (Instant::now(), Lsn::ZERO, 0);
    loop {
        let read = store
            .read(main.id, after, Lsn::MAX, 16 << 20)
            .await
            .unwrap();
        let Some(last) = read.last() else { break };
        after = last.last();
        records += read.len();
    }
    let elapsed = begin.elapsed();
    println!(
        "reopen {} MB: {} ms; read and decode {records} records of 10 documents: {} MB/s, {} documents/s",
        stored / 1_000_000,
        opened.as_millis(),
        u128::from(stored) / elapsed.as_micros(),
        1_000_000 * 1_000_000 / elapsed.as_micros(),
    );
}
