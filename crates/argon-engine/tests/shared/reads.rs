//! What readers see of other processes' writes.

use std::sync::Arc;
use std::time::Duration;

use argon_engine::{ClusterTime, ReadConsistency};
use argon_storage::testing::SharedStore;

use crate::{Proxy, proxies, until, value};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_what_was_acknowledged_elsewhere() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    for round in 0..50 {
        let (writer, reader) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        writer.put("shop", 1, round).await.unwrap();
        assert_eq!(reader.value("shop", 1).await, Some(round));
        if round % 7 == 0 {
            reader.engine.evict_all();
        }
    }
    // Each read the other's records once, and none of its own.
    for proxy in [&a, &b] {
        let status = proxy.engine.status();
        assert_eq!((status.in_flight, status.behind), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_does_not_use_an_answer_from_before_it() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 1).await.unwrap();
    assert_eq!(b.value("shop", 1).await, Some(1));
    let b = Arc::new(b);
    let read = |b: &Arc<Proxy>| {
        let b = Arc::clone(b);
        tokio::spawn(async move { b.value("shop", 1).await })
    };
    // As if the process was paused after the store had answered.
    b.link.set_held(true);
    let looks = b.link.looks();
    let early = read(&b);
    until("the look is under way", async || b.link.looks() > looks).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    a.put("shop", 1, 2).await.unwrap();
    let late: Vec<_> = (0..10).map(|_| read(&b)).collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    b.link.set_held(false);
    assert!(matches!(early.await.unwrap(), Some(1 | 2)));
    for late in late {
        assert_eq!(late.await.unwrap(), Some(2));
    }
    // All those who came late shared one look, unless they came later still.
    assert!(
        b.link.looks() <= looks + 3,
        "{} looks",
        b.link.looks() - looks
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_changes_nothing_decides_on_what_others_wrote() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 1).await.unwrap();
    // It has a head to decide on.
    b.put("shop", 1, 1).await.unwrap();
    a.put("shop", 2, 2).await.unwrap();
    let branch = b.engine.database_for_write("shop").await.unwrap();
    let seen = b
        .engine
        .write(&branch, &argon_engine::Origin::default(), |writer| {
            Ok::<_, argon_engine::Error>(value(writer.state(), 2))
        })
        .await
        .unwrap();
    assert_eq!(seen, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn news_keep_memory_warm_and_wake_those_who_wait() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    b.follow();
    a.put("shop", 1, 1).await.unwrap();
    let state = b.state("shop").await.unwrap().unwrap();
    let database = b.engine.database("shop").await.unwrap().unwrap();
    let woken = tokio::spawn(async move { database.branch.changed(state.lsn).await });
    a.put("shop", 1, 2).await.unwrap();
    woken.await.unwrap();
    let looks = b.link.looks();
    until("the news is in memory", async || {
        b.engine.status().behind == 0
    })
    .await;
    assert_eq!(b.link.looks(), looks, "news tell where the head is");
    // A process does not read its own records back.
    let replayed = b.engine.status().records_replayed;
    for round in 0..20 {
        b.put("shop", 1, round).await.unwrap();
    }
    assert_eq!(b.engine.status().records_replayed, replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn causal_reads_wait_for_the_time_that_they_name() {
    let store = Arc::new(SharedStore::default());
    let a = Proxy::start(&store).await;
    let b = Proxy::start_with(&store, ReadConsistency::Causal).await;
    let read = async |after: Option<ClusterTime>| {
        let state = b.engine.open_database("shop", after).await.unwrap();
        value(&state.unwrap(), 1)
    };
    a.put("shop", 1, 1).await.unwrap();
    let first = a.engine.cluster_time();
    assert_eq!(read(Some(first)).await, Some(1));
    a.put("shop", 1, 2).await.unwrap();
    // Nobody told it.
    let looks = b.link.looks();
    assert_eq!(read(None).await, Some(1));
    assert_eq!(b.link.looks(), looks);
    assert_eq!(read(Some(a.engine.cluster_time())).await, Some(2));
    // Its own writes it knows, and its clock goes on from what it has seen.
    b.put("shop", 1, 3).await.unwrap();
    assert_eq!(read(None).await, Some(3));
    assert!(
        b.engine.cluster_time() > a.engine.cluster_time() || a.value("shop", 1).await == Some(3)
    );
    b.follow();
    until("b listens", async || {
        a.put("shop", 1, 4).await.unwrap();
        read(None).await == Some(4)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_is_no_old_answer() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 1).await.unwrap();
    assert_eq!(b.value("shop", 1).await, Some(1));
    b.link.set_cut(true);
    assert!(b.state("shop").await.is_err());
    assert!(b.put("shop", 1, 2).await.is_err());
    assert!(b.state("other").await.is_err());
    assert!(!b.engine.status().store.reachable);
    b.link.set_cut(false);
    assert_eq!(b.value("shop", 1).await, Some(1));
    b.put("shop", 1, 3).await.unwrap();
    assert_eq!(a.value("shop", 1).await, Some(3));
}
