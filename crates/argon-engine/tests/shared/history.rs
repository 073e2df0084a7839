//! Histories of counters, written down by clients of three proxies while the network misbehaves, and checked afterwards:
//! every operation must look as if it had happened at one instant between its beginning and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon_storage::LogStore;
use argon_storage::testing::{AppendFault, SharedStore};
use parking_lot::Mutex;

use crate::{Proxy, proxies, value};

/// What a client did to a counter.
#[derive(Clone, Copy, Debug)]
enum Did {
    /// It saw this value.
    Read(i64),
    /// It made it this value.
    Incremented(i64),
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    began: u64,
    ended: u64,
    counter: i32,
    did: Did,
}

/// What is known of the counters in the end.
#[derive(Default)]
struct History {
    now: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    /// Increments whose client does not know whether they were made.
    unknown: AtomicU64,
}

impl History {
    fn tick(&self) -> u64 {
        self.now.fetch_add(1, Ordering::SeqCst)
    }

    fn add(&self, began: u64, counter: i32, did: Did) {
        let ended = self.tick();
        self.operations.lock().push(Operation {
            began,
            ended,
            counter,
            did,
        });
    }

    /// Checks one counter. Increments give every value once and the order of values is the order of time, so this is the
    /// whole of linearizability for a counter.
    fn check(&self, counter: i32, last: i64) {
        let mut operations = self.operations.lock().clone();
        operations.retain(|operation| operation.counter == counter);
        let mut made: Vec<i64> = operations
            .iter()
            .filter_map(|operation| match operation.did {
                Did::Incremented(to) => Some(to),
                Did::Read(_) => None,
            })
            .collect();
        made.sort_unstable();
        assert!(made.is_sorted_by(|a, b| a < b), "doubled: {made:?}");
        assert!(made.last().is_none_or(|to| *to <= last), "lost: {made:?}");
        let missing = u64::try_from(last).unwrap() - made.len() as u64;
        assert!(
            missing <= self.unknown.load(Ordering::Relaxed),
            "{missing} increments come from nowhere"
        );
        for earlier in &operations {
            for later in operations
                .iter()
                .filter(|later| earlier.ended < later.began)
            {
                let fits = match (earlier.did, later.did) {
                    (Did::Read(a), Did::Read(b)) | (Did::Incremented(a), Did::Read(b)) => a <= b,
                    (Did::Read(a), Did::Incremented(b))
                    | (Did::Incremented(a), Did::Incremented(b)) => a < b,
                };
                assert!(fits, "{earlier:?}, and then {later:?}");
            }
        }
    }
}

/// Random numbers that a seed decides.
struct Random(u64);

impl Random {
    fn pick(&mut self, limit: u64) -> usize {
        usize::try_from(self.below(limit)).unwrap()
    }

    fn below(&mut self, limit: u64) -> u64 {
        // Source: "Fast Splittable Pseudorandom Number Generators" (SplitMix64), Steele, Lea, Flood.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const COUNTERS: u64 = 2;

async fn client(proxies: Arc<[Proxy; 3]>, history: Arc<History>, mut random: Random) {
    for _ in 0..30 {
        // Clients change proxies: what one has acknowledged another must know.
        let proxy = &proxies[random.pick(3)];
        let counter = i32::try_from(random.below(COUNTERS)).unwrap();
        let began = history.tick();
        if random.below(2) == 0 {
            match proxy.increment("shop", counter).await {
                Ok(before) => history.add(began, counter, Did::Incremented(before + 1)),
                Err(_) => {
                    history.unknown.fetch_add(1, Ordering::Relaxed);
                }
            }
        } else if let Ok(state) = proxy.state("shop").await {
            let seen = state.and_then(|state| value(&state, counter)).unwrap_or(0);
            history.add(began, counter, Did::Read(seen));
        }
        if random.below(8) == 0 {
            proxy.engine.evict_all();
        }
    }
}

/// Has the network misbehave until it is stopped.
async fn misbehave(proxies: Arc<[Proxy; 3]>, mut random: Random) {
    loop {
        let link = &proxies[random.pick(3)].link;
        let moment = Duration::from_millis(random.below(8));
        match random.below(7) {
            0 => {
                link.set_cut(true);
                tokio::time::sleep(moment).await;
                link.set_cut(false);
            }
            // A process that is paused gets its answers late.
            1 => {
                link.set_held(true);
                tokio::time::sleep(moment).await;
                link.set_held(false);
            }
            2 => link.order([Some(AppendFault::AnswerLost)]),
            3 => link.order([Some(AppendFault::Lost)]),
            4 => link.order([Some(AppendFault::Late(moment))]),
            _ => link.set_delay(Duration::from_millis(random.below(3))),
        }
        tokio::time::sleep(Duration::from_millis(1 + random.below(4))).await;
    }
}

async fn run(seed: u64, news: bool) {
    let store = Arc::new(SharedStore::default());
    let all: Arc<[Proxy; 3]> = Arc::new(proxies(&store).await);
    if news {
        for proxy in all.iter() {
            proxy.follow();
        }
    }
    let history = Arc::new(History::default());
    let mut random = Random(seed);
    let mut clients = Vec::new();
    for _ in 0..9 {
        let random = Random(random.below(u64::MAX));
        clients.push(tokio::spawn(client(
            Arc::clone(&all),
            Arc::clone(&history),
            random,
        )));
    }
    let trouble = tokio::spawn(misbehave(Arc::clone(&all), Random(random.below(u64::MAX))));
    for client in clients {
        client.await.unwrap();
    }
    trouble.abort();
    for proxy in all.iter() {
        proxy.link.set_cut(false);
        proxy.link.set_held(false);
        proxy.link.set_delay(Duration::ZERO);
    }
    // What is late has arrived by the time that everybody has written once more.
    tokio::time::sleep(Duration::from_millis(20)).await;
    for counter in 0..i32::try_from(COUNTERS).unwrap() {
        let last = all[0].value("shop", counter).await.unwrap_or(0);
        for proxy in all.iter() {
            assert_eq!(proxy.value("shop", counter).await.unwrap_or(0), last);
            proxy.engine.evict_all();
            assert_eq!(proxy.value("shop", counter).await.unwrap_or(0), last);
        }
        history.check(counter, last);
    }
    check_log(&all[0]).await;
}

/// The log is dense, and times grow along it.
async fn check_log(proxy: &Proxy) {
    let Some(database) = proxy.engine.database("shop").await.unwrap() else {
        return;
    };
    let branch = database.branch.id();
    let head = proxy.link.head(branch).await.unwrap();
    let zero = argon_engine::Lsn::ZERO;
    let records = proxy.link.read(branch, zero, head, usize::MAX);
    let mut next = zero.next();
    let mut time = argon_engine::ClusterTime::default();
    for record in records.await.unwrap() {
        assert_eq!(record.first, next);
        assert!(record.cluster_time > time);
        next = record.last().next();
        time = record.cluster_time;
    }
    assert_eq!(next, head.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_three_proxies_see_one_history() {
    for seed in 0..12 {
        eprintln!("seed {seed}");
        run(seed, seed % 2 == 0).await;
    }
}
