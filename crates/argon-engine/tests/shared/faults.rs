//! Commands that depend on records which the store refuses or loses.

use std::sync::Arc;
use std::time::Duration;

use argon_engine::{Error, Origin};
use argon_storage::LogStore;
use argon_storage::testing::{AppendFault, FaultStore, SharedStore, SubmitFault};

use crate::{Proxy, proxies, value};

/// What a command sees of document 1 that is under way, told only once it is known to be durable.
async fn seen(proxy: &Proxy) -> Result<Option<i64>, Error> {
    let branch = proxy.engine.database_for_write("shop").await?;
    proxy
        .engine
        .write(&branch, &Origin::default(), |writer| {
            Ok(value(writer.state(), 1))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_depends_on_a_record_that_lost_decides_anew() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 0).await.unwrap();
    assert_eq!(b.value("shop", 1).await, Some(0));
    let a = Arc::new(a);
    for round in 1..30 {
        // Its record is under way while another's is appended.
        a.link.set_delay(Duration::from_millis(5));
        let lost = a.engine.status().appends_lost;
        let losing = {
            let a = Arc::clone(&a);
            tokio::spawn(async move { a.put("shop", 1, -round).await })
        };
        while a.engine.status().in_flight == 0 && !losing.is_finished() {
            tokio::task::yield_now().await;
        }
        b.put("shop", 1, round).await.unwrap();
        a.link.set_delay(Duration::ZERO);
        let depends = seen(&a).await.unwrap();
        assert!(
            depends == Some(round) || depends == Some(-round),
            "{depends:?}"
        );
        losing.await.unwrap().unwrap();
        // On a slow machine it may have been through before the other's began.
        let is_later = a.engine.status().appends_lost > lost;
        let last = if is_later { -round } else { round };
        assert_eq!(b.value("shop", 1).await, Some(last));
    }
    assert!(a.engine.status().appends_lost > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_lost_is_ever_told() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.put("shop", 1, 0).await.unwrap();
    let a = Arc::new(a);
    for round in 1..30 {
        a.link.order([Some(AppendFault::Lost)]);
        a.link.set_delay(Duration::from_millis(2));
        let lost = {
            let a = Arc::clone(&a);
            tokio::spawn(async move { a.put("shop", 1, -round).await })
        };
        while a.engine.status().in_flight == 0 && !lost.is_finished() {
            tokio::task::yield_now().await;
        }
        let depends = seen(&a).await.unwrap();
        assert!(lost.await.unwrap().is_err());
        assert_eq!(depends, Some(round - 1));
        a.link.set_delay(Duration::ZERO);
        b.put("shop", 1, round).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_takes_nobody_with_it_on_a_store_of_ones_own() {
    let inner = argon_storage::open("memory:", &argon_storage::OpenOptions::default())
        .await
        .unwrap();
    let store = Arc::new(FaultStore::new(inner));
    let engine = argon_engine::Engine::open(
        Arc::clone(&store) as Arc<dyn LogStore>,
        argon_engine::Config::default(),
    )
    .await
    .unwrap();
    let engine = Arc::new(engine);
    let put = |id: i32| {
        let engine = Arc::clone(&engine);
        async move {
            let branch = engine.database_for_write("shop").await.unwrap();
            engine
                .write(&branch, &Origin::default(), |writer| {
                    crate::put(writer, id, i64::from(id))
                })
                .await
        }
    };
    put(0).await.unwrap();
    for round in 0..20 {
        store.order([SubmitFault::OutOfSpace]);
        let writes: Vec<_> = (0..8).map(|n| tokio::spawn(put(round * 8 + n))).collect();
        let mut refused = 0;
        for write in writes {
            match write.await.unwrap() {
                Ok(()) => {}
                Err(Error::Storage(argon_storage::Error::OutOfSpace { .. })) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_process_writes_nothing_over_what_came_meanwhile() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    a.increment("shop", 1).await.unwrap();
    let a = Arc::new(a);
    a.link.set_held(true);
    let paused: Vec<_> = (0..8)
        .map(|_| {
            let a = Arc::clone(&a);
            tokio::spawn(async move { a.increment("shop", 1).await.unwrap() })
        })
        .collect();
    for _ in 0..20 {
        b.increment("shop", 1).await.unwrap();
    }
    a.link.set_held(false);
    for one in paused {
        one.await.unwrap();
    }
    assert_eq!(a.value("shop", 1).await, Some(29));
    assert_eq!(b.value("shop", 1).await, Some(29));
}
