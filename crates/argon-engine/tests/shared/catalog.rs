//! Projects and branches that other processes create and drop.

use std::sync::Arc;
use std::time::Duration;

use argon_engine::{Error, IfExists};
use argon_storage::LogStore;
use argon_storage::testing::SharedStore;

use crate::{Proxy, proxies, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_another_created_is_there() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    assert!(b.state("shop").await.unwrap().is_none());
    a.put("shop", 1, 1).await.unwrap();
    a.engine
        .create_branch("shop", "feature/x", "main", None)
        .await
        .unwrap();
    assert_eq!(b.value("shop~feature-x", 1).await, Some(1));
    let exists = b
        .engine
        .create_branch("shop", "feature/x", "main", None)
        .await;
    assert!(matches!(exists, Err(Error::Exists(_))));
    b.engine
        .create_branch("shop", "deep", "feature/x", None)
        .await
        .unwrap();
    let blocked = a.engine.drop_branch("shop", "feature/x").await;
    assert!(matches!(blocked, Err(Error::HasChildren(..))));
    a.engine.refresh().await.unwrap();
    assert_eq!(a.engine.branches("shop").unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_create_the_same_project_end_with_one() {
    for _ in 0..20 {
        let store = Arc::new(SharedStore::default());
        let [a, b, c]: [Proxy; 3] = proxies(&store).await;
        let put = |proxy: Proxy, id| {
            tokio::spawn(async move {
                proxy.put("shop", id, i64::from(id)).await.unwrap();
                proxy
            })
        };
        let (first, second) = (put(a, 1), put(b, 2));
        let [a, b] = [first.await.unwrap(), second.await.unwrap()];
        for proxy in [&a, &b, &c] {
            assert_eq!(proxy.value("shop", 1).await, Some(1));
            assert_eq!(proxy.value("shop", 2).await, Some(2));
        }
        assert_eq!(c.link.projects().await.unwrap().len(), 1);
        let refused = c.engine.create_project("shop", IfExists::Refuse).await;
        assert!(matches!(refused, Err(Error::Exists(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_dropped_and_given_again_means_the_new_branch() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 1).await.unwrap();
    let branch = async |proxy: &Proxy| {
        proxy
            .engine
            .create_branch("shop", "x", "main", None)
            .await
            .unwrap()
    };
    branch(&a).await;
    a.put("shop~x", 1, 2).await.unwrap();
    assert_eq!(b.value("shop~x", 1).await, Some(2));
    let old = b.engine.database_for_write("shop~x").await.unwrap();

    a.engine.drop_branch("shop", "x").await.unwrap();
    assert!(matches!(
        b.state("shop~x").await,
        Err(Error::BranchNotFound { .. })
    ));
    assert!(matches!(
        b.put("shop~x", 1, 9).await,
        Err(Error::BranchNotFound { .. })
    ));
    branch(&a).await;
    assert_eq!(b.value("shop~x", 1).await, Some(1));
    a.engine.drop_branch("shop", "x").await.unwrap();
    branch(&a).await;
    // Even who had resolved the name before writes to the new one.
    b.engine
        .write(&old, &argon_engine::Origin::default(), |writer| {
            crate::put(writer, 1, 3)
        })
        .await
        .unwrap();
    assert_eq!(a.value("shop~x", 1).await, Some(3));
    assert_eq!(a.value("shop", 1).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_was_dropped_is_gone_and_comes_back_with_a_write() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 1).await.unwrap();
    assert_eq!(b.value("shop", 1).await, Some(1));
    a.engine.drop_project("shop").await.unwrap();
    assert!(b.state("shop").await.unwrap().is_none());
    a.put("shop", 2, 2).await.unwrap();
    assert_eq!(b.value("shop", 1).await, None);
    a.engine.drop_project("shop").await.unwrap();
    b.put("shop", 3, 3).await.unwrap();
    assert_eq!(a.value("shop", 2).await, None);
    assert_eq!(a.value("shop", 3).await, Some(3));
    assert_eq!(a.link.projects().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_holds_what_was_acknowledged_before_it_and_nothing_half() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 0).await.unwrap();
    let (a, b) = (Arc::new(a), Arc::new(b));
    a.link.set_delay(Duration::from_millis(1));
    let writing = {
        let a = Arc::clone(&a);
        tokio::spawn(async move {
            for round in 1..=100 {
                let branch = a.engine.database_for_write("shop").await.unwrap();
                // Two documents in one record.
                a.engine
                    .write(&branch, &argon_engine::Origin::default(), |writer| {
                        crate::put(writer, 1, round)?;
                        crate::put(writer, 2, round)
                    })
                    .await
                    .unwrap();
            }
        })
    };
    for number in 0..20 {
        let name = format!("f{number}");
        let before = b.value("shop", 1).await.unwrap();
        b.engine
            .create_branch("shop", &name, "main", None)
            .await
            .unwrap();
        let after = b.value("shop", 1).await.unwrap();
        let database = format!("shop~{name}");
        let forked = a.value(&database, 1).await.unwrap();
        assert!((before..=after).contains(&forked));
        assert_eq!(b.value(&database, 1).await, Some(forked));
        if forked > 0 {
            assert_eq!(b.value(&database, 2).await, Some(forked));
        }
        b.put(&database, 1, -1).await.unwrap();
    }
    writing.await.unwrap();
    assert_eq!(b.value("shop", 1).await, Some(100));
    assert_eq!(a.value("shop~f3", 1).await, Some(-1));
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_the_catalogue_arrive() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    b.follow();
    until("b listens", async || {
        a.put("shop", 1, 1).await.unwrap();
        a.engine.drop_project("shop").await.unwrap();
        a.put("shop", 1, 1).await.unwrap();
        b.engine.projects().len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_names_that_differ_in_case_only_one_is_created() {
    for _ in 0..20 {
        let store = Arc::new(SharedStore::default());
        let [a, b]: [Proxy; 2] = proxies(&store).await;
        let create = |proxy: &Proxy, name: &'static str| {
            let engine = Arc::clone(&proxy.engine);
            tokio::spawn(async move { engine.create_project(name, IfExists::Keep).await.err() })
        };
        let (first, second) = (create(&a, "shop"), create(&b, "Shop"));
        let failures = [first.await.unwrap(), second.await.unwrap()];
        let refused: Vec<_> = failures.iter().flatten().collect();
        assert!(matches!(refused[..], [Error::Exists(_)]), "{failures:?}");
        assert_eq!(a.link.projects().await.unwrap().len(), 1);
    }
}
