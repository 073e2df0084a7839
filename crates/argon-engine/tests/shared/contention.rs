//! Writers of several processes on the same document.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_storage::testing::SharedStore;

use crate::{Proxy, proxies};

/// Has `writers` tasks on each proxy add one to the same counter `rounds` times, and checks that none was lost or doubled.
async fn count(proxies: Vec<Proxy>, writers: usize, rounds: usize) {
    let started = Instant::now();
    let proxies: Vec<Arc<Proxy>> = proxies.into_iter().map(Arc::new).collect();
    let mut tasks = Vec::new();
    for (at, proxy) in proxies.iter().enumerate() {
        for _ in 0..writers {
            let proxy = Arc::clone(proxy);
            tasks.push(tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..rounds {
                    seen.push(proxy.increment("shop", 1).await.unwrap());
                }
                (at, seen, started.elapsed())
            }));
        }
    }
    let mut seen = Vec::new();
    let mut last = vec![Duration::ZERO; proxies.len()];
    for task in tasks {
        let (at, mut its, took) = task.await.unwrap();
        assert!(its.is_sorted(), "a writer's own increments come in order");
        seen.append(&mut its);
        last[at] = last[at].max(took);
    }
    seen.sort_unstable();
    let total = i64::try_from(proxies.len() * writers * rounds).unwrap();
    assert!(seen.iter().copied().eq(0..total), "lost or doubled");
    for proxy in &proxies {
        assert_eq!(proxy.value("shop", 1).await, Some(total));
        assert_eq!(proxy.engine.status().in_flight, 0);
    }
    let counts: Vec<_> = proxies
        .iter()
        .map(|proxy| proxy.engine.status())
        .map(|status| (status.appends_lost, status.decisions_repeated))
        .collect();
    eprintln!(
        "{total} increments in {:?}, by proxy {last:?}, (lost, repeated) {counts:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_count_together() {
    let store = Arc::new(SharedStore::default());
    let both: [Proxy; 2] = proxies(&store).await;
    count(both.into(), 16, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_proxies_count_together_over_a_network() {
    let store = Arc::new(SharedStore::default());
    let all: [Proxy; 3] = proxies(&store).await;
    for proxy in &all {
        proxy.link.set_delay(Duration::from_millis(1));
        proxy.follow();
    }
    count(all.into(), 16, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distant_proxy_has_its_turn() {
    let store = Arc::new(SharedStore::default());
    let both: [Proxy; 2] = proxies(&store).await;
    both[0].link.set_delay(Duration::from_millis(1));
    both[1].link.set_delay(Duration::from_millis(4));
    count(both.into(), 16, 20).await;
}
