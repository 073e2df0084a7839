//! What the store in MongoDB costs, beside writing the same documents to that MongoDB with the same guarantee.
//!
//! `cargo bench -p argon-storage --bench mongodb [-- <members>]`, a replica set of one if none is given; needs a `mongod`.
//! Latencies are microseconds; ratios are of documents per second, the store's to the driver's, turn by turn.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_storage::testing::{document, project, record_of};
use argon_storage::{BranchMeta, Entry, LogStore, Lsn, OpenOptions, open};
use argon_testkit::replica_set::ReplicaSet;
use bson::RawDocumentBuf;
use mongodb::Collection;
use mongodb::options::{CollectionOptions, WriteConcern};
use parking_lot::Mutex;

const SECONDS: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
const BYTES: usize = 300;

fn main() {
    let members = std::env::args().find_map(|argument| argument.parse().ok());
    let set = ReplicaSet::start(members.unwrap_or(1)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let uri = set.uri();
        let store = open(&uri, &OpenOptions::default()).await.unwrap();
        let (shop, main) = project("shop");
        store.create_project(&shop, &main).await.unwrap();
        let client = mongodb::Client::with_uri_str(format!("{uri}&maxPoolSize=64"))
            .await
            .unwrap();
        let durable = WriteConcern::builder()
            .w(mongodb::options::Acknowledgment::Majority)
            .journal(true)
            .build();
        let options = CollectionOptions::builder().write_concern(durable).build();
        let direct = client
            .database("direct")
            .collection_with_options::<RawDocumentBuf>("users", options);
        let head = Arc::new(Mutex::new(Lsn::ZERO));
        for (tasks, documents) in [(1, 1), (8, 1), (64, 1), (1, 1000), (8, 1000)] {
            let mut ratios = Vec::new();
            for _ in 0..ROUNDS {
                let theirs = run(tasks, documents, || insert(direct.clone(), documents)).await;
                let ours = run(tasks, documents, || {
                    append(Arc::clone(&store), main.clone(), Arc::clone(&head), documents)
                })
                .await;
                println!(
                    "{tasks:>2} at once, {documents:>4} documents each: driver {:>7}/s median {:>6}   store {:>7}/s median {:>6}   ratio {:.2}",
                    theirs.0, theirs.1, ours.0, ours.1,
                    ours.0 as f64 / theirs.0 as f64
                );
                ratios.push(ours.0 as f64 / theirs.0 as f64);
            }
            ratios.sort_by(f64::total_cmp);
            println!("   median ratio {:.2}", ratios[ROUNDS / 2]);
        }
    });
}

/// Documents per second, and the median latency.
async fn run<F>(tasks: usize, documents: usize, task: impl Fn() -> F) -> (usize, u64)
where
    F: Future<Output = Vec<u64>> + Send + 'static,
{
    let begin = Instant::now();
    let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(task())).collect();
    let mut latencies = Vec::new();
    for task in running {
        latencies.extend(task.await.unwrap());
    }
    let millis = usize::try_from(begin.elapsed().as_millis()).unwrap();
    latencies.sort_unstable();
    let rate = latencies.len() * documents * 1000 / millis;
    (rate, latencies[latencies.len() / 2])
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

async fn insert(users: Collection<RawDocumentBuf>, documents: usize) -> Vec<u64> {
    let (start, mut latencies) = (Instant::now(), Vec::new());
    let batch: Vec<RawDocumentBuf> = (0..documents)
        .map(|seed| RawDocumentBuf::from_bytes(document(BYTES, seed as u64).to_vec()).unwrap())
        .collect();
    while start.elapsed() < SECONDS {
        let begin = Instant::now();
        if documents == 1 {
            users.insert_one(&batch[0]).await.unwrap();
        } else {
            users.insert_many(&batch).await.unwrap();
        }
        latencies.push(micros(begin));
    }
    latencies
}

async fn append(
    store: Arc<dyn LogStore>,
    branch: BranchMeta,
    head: Arc<Mutex<Lsn>>,
    documents: usize,
) -> Vec<u64> {
    let (start, mut latencies) = (Instant::now(), Vec::new());
    let batch: Vec<_> = (0..documents)
        .map(|seed| document(BYTES, seed as u64))
        .collect();
    while start.elapsed() < SECONDS {
        let begin = Instant::now();
        let puts = batch.iter().map(|document| Entry::Put {
            collection: "users".into(),
            document: document.clone(),
        });
        let puts = puts.collect();
        store.ready().await.unwrap();
        let ticket = {
            // As in the engine: positions are given out under a lock, durability is waited for outside.
            let mut head = head.lock();
            let record = record_of(branch.id, head.next(), puts);
            *head = record.last();
            store.submit(&record).unwrap()
        };
        ticket.await.unwrap();
        latencies.push(micros(begin));
    }
    latencies
}
