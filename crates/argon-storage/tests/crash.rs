//! The process ends at any moment, and everything acknowledged is there.
//!
//! A test binary of its own: a process forked while another test holds a store would share its lock
//! for a moment.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::testing::{CRASH_POINT_VARIABLE, fork, project, record, record_of};
use argon_storage::{BranchMeta, Entry, LogStore, Lsn, OpenOptions};

/// The variable that makes [`writer`] a writer, and names its directory.
const DIRECTORY_VARIABLE: &str = "ARGON_CRASH_DIRECTORY";

fn options() -> OpenOptions {
    // Small, so that the process also ends while segments change and are cleaned.
    OpenOptions {
        segment_bytes: 256 << 10,
        ..OpenOptions::default()
    }
}

/// Not a test of its own: the process that is ended. It appends to every branch and prints what was
/// acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Ok(directory) = std::env::var(DIRECTORY_VARIABLE) else {
        return;
    };
    let store: std::sync::Arc<dyn LogStore> =
        std::sync::Arc::new(EmbeddedStore::open(Path::new(&directory), &options()).unwrap());
    let mut tasks = Vec::new();
    for branch in store.branches().await.unwrap() {
        let store = std::sync::Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let mut head = store.head(branch.id).await.unwrap();
            loop {
                // Records of three entries: none is ever seen in part.
                let mut next = record(branch.id, head.next(), 300);
                next.entries.extend([Entry::Noop, Entry::Noop]);
                head = next.last();
                store.append(&next).await.unwrap();
                println!("ack {} {head}", branch.name);
            }
        }));
    }
    // Beside them a branch comes and goes, so that there is something to clean.
    let main = store.branches().await.unwrap().remove(0);
    loop {
        let passing = BranchMeta {
            parent: None,
            ..fork(&main, "passing", Lsn::ZERO)
        };
        store.create_branch(&passing).await.unwrap();
        for lsn in 1..=20 {
            store
                .append(&record_of(passing.id, Lsn(lsn), vec![Entry::Noop]))
                .await
                .unwrap();
        }
        store
            .append(&record(passing.id, Lsn(21), 100_000))
            .await
            .unwrap();
        store.drop_branch(passing.id).await.unwrap();
    }
}

/// Runs the writer until it crashes or `kill` has passed; returns what it acknowledged per branch.
fn run(directory: &Path, crash_point: Option<&str>, kill: Duration) -> Vec<(String, u64)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "writer", "--nocapture"])
        .env(DIRECTORY_VARIABLE, directory);
    if let Some(point) = crash_point {
        command.env(CRASH_POINT_VARIABLE, point);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut acknowledged = std::collections::BTreeMap::new();
        for line in output.lines().map_while(Result::ok) {
            // The harness's own words may stand before the first acknowledgement.
            let Some((_, ack)) = line.split_once("ack ") else {
                continue;
            };
            if let Some((name, head)) = ack.split_once(' ')
                && let Ok(head) = head.parse::<u64>()
            {
                acknowledged.insert(name.to_owned(), head);
            }
        }
        acknowledged
    });
    let begin = std::time::Instant::now();
    while begin.elapsed() < kill && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    reader.join().unwrap().into_iter().collect()
}

async fn prepare(directory: &Path) -> Vec<BranchMeta> {
    let store = EmbeddedStore::open(directory, &options()).unwrap();
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    let mut branches = vec![main];
    for name in ["a", "b"] {
        let branch = BranchMeta {
            parent: None,
            ..fork(&branches[0], name, Lsn::ZERO)
        };
        store.create_branch(&branch).await.unwrap();
        branches.push(branch);
    }
    branches
}

/// Checks that everything acknowledged is there, whole, and drops what the writer left half-way.
async fn verify(
    directory: &Path,
    branches: &[BranchMeta],
    acknowledged: &[(String, u64)],
    what: &str,
) {
    let store = match EmbeddedStore::open(directory, &options()) {
        Ok(store) => store,
        Err(error) => panic!("{what}: {error}"),
    };
    for branch in branches {
        let head = store.head(branch.id).await.unwrap();
        let least = acknowledged.iter().find(|(name, _)| *name == branch.name);
        let least = least.map_or(0, |(_, head)| *head);
        assert!(
            head.0 >= least,
            "{what}: {} has {head} of {least}",
            branch.name
        );
        assert_eq!(head.0 % 3, 0, "{what}: a record in part");
        let records = store
            .read(branch.id, Lsn::ZERO, Lsn::MAX, usize::MAX)
            .await
            .unwrap();
        assert_eq!(records.len() as u64, head.0 / 3, "{what}");
        for found in records {
            assert_eq!(
                found.entries[0],
                record(branch.id, found.first, 300).entries[0],
                "{what}"
            );
        }
    }
    for branch in store.branches().await.unwrap() {
        if branch.name == "passing" {
            store.drop_branch(branch.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn every_crash_point_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let branches = prepare(directory.path()).await;
    for round in [1, 2, 5, 40] {
        for point in ["write", "half-written", "written", "synced", "rotated"] {
            if point == "rotated" && round > 2 {
                continue;
            }
            let point = format!("{point}:{round}");
            let acknowledged = run(directory.path(), Some(&point), Duration::from_secs(20));
            verify(directory.path(), &branches, &acknowledged, &point).await;
        }
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let branches = prepare(directory.path()).await;
    let mut total = 0;
    for round in 0..50 {
        let kill = Duration::from_millis(30 + round * 17 % 200);
        let acknowledged = run(directory.path(), None, kill);
        total += acknowledged.iter().map(|(_, head)| head).sum::<u64>();
        verify(
            directory.path(),
            &branches,
            &acknowledged,
            &format!("round {round}"),
        )
        .await;
    }
    assert!(total > 0, "nothing was ever acknowledged");
}
