//! Space of dropped branches is given back, and living records move unharmed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::testing::{fork, record};
use argon_storage::{LogStore, Lsn, OpenOptions};

use super::{check, start};

fn log_bytes(directory: &Path) -> u64 {
    fs::read_dir(directory.join("log"))
        .unwrap()
        .filter_map(|file| file.unwrap().metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_branches_give_their_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        segment_bytes: 64 << 10,
        ..OpenOptions::default()
    };
    let store = EmbeddedStore::open(directory.path(), &options).unwrap();
    let main = start(&store).await;
    let mut branches = Vec::new();
    for number in 0..4 {
        let branch = fork(&main, &format!("b{number}"), Lsn::ZERO);
        store.create_branch(&branch).await.unwrap();
        branches.push(branch);
    }
    // Interleaved, so that every segment holds some of each.
    for lsn in 1..=200 {
        for branch in branches.iter().chain([&main]) {
            drop(store.submit(&record(branch.id, Lsn(lsn), 1000)).unwrap());
        }
    }
    store.put_setting("key", vec![1].into()).await.unwrap();
    let full = log_bytes(directory.path());
    assert!(full > 1_000_000, "{full}");
    for branch in &branches[..3] {
        store.drop_branch(branch.id).await.unwrap();
    }
    let begin = std::time::Instant::now();
    while log_bytes(directory.path()) > full * 6 / 10 {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{} of {full}",
            log_bytes(directory.path())
        );
        check(&store, &main, 1000, 200).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(store);
    // Once as it was closed, once as it is after that, cleaned further.
    for head in 200..202 {
        let store = EmbeddedStore::open(directory.path(), &options).unwrap();
        check(&store, &main, 1000, head).await;
        check(&store, &branches[3], 1000, 200).await;
        assert_eq!(store.branches().await.unwrap().len(), 2);
        assert_eq!(store.setting("key").await.unwrap(), Some(vec![1].into()));
        store
            .append(&record(main.id, Lsn(head + 1), 1000))
            .await
            .unwrap();
    }
}
