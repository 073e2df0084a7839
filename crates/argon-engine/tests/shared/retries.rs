//! Retryable writes whose second attempt reaches another process.

use std::sync::Arc;
use std::time::Duration;

use argon_engine::{Error, Origin, Retry};
use argon_mql::{DocBuf, ValueRef};
use argon_storage::testing::{AppendFault, SharedStore};
use bytes::Bytes;

use crate::{Proxy, proxies, value};

/// Adds one to a counter as a retryable write, and answers what it was before.
async fn increment(proxy: &Proxy, txn_number: i64) -> Result<i64, Error> {
    let retry = Retry {
        lsid: Bytes::from_static(b"a session's identity"),
        txn_number,
        stmt_id: 0,
    };
    let branch = proxy.engine.database_for_write("shop").await?;
    proxy
        .engine
        .write(&branch, &Origin::default(), |writer| {
            if let Some(earlier) = writer.earlier_outcome(&retry)? {
                let before = argon_mql::Doc::new(&earlier).get("before");
                let Some(ValueRef::Int64(before)) = before else {
                    panic!("not what was remembered: {earlier:?}");
                };
                return Ok(before);
            }
            let before = value(writer.state(), 1).unwrap_or(0);
            crate::put(writer, 1, before + 1)?;
            let mut outcome = DocBuf::new();
            outcome.append("before", ValueRef::Int64(before));
            writer.remember(&retry, outcome.finish());
            Ok(before)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_elsewhere_finds_the_outcome() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    assert_eq!(increment(&a, 1).await.unwrap(), 0);
    assert_eq!(b.value("shop", 1).await, Some(1));
    for txn_number in 2..20 {
        let before = increment(&a, txn_number).await.unwrap();
        // As if the answer had been lost on its way to the client.
        assert_eq!(increment(&b, txn_number).await.unwrap(), before);
        let too_old = increment(&b, txn_number - 1).await;
        assert!(matches!(too_old, Err(Error::TransactionTooOld { .. })));
    }
    assert_eq!(b.value("shop", 1).await, Some(19));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_found_or_made_by_the_retry() {
    let store = Arc::new(SharedStore::default());
    let [a, b]: [Proxy; 2] = proxies(&store).await;
    increment(&a, 1).await.unwrap();
    let late = AppendFault::Late(Duration::from_millis(3));
    for (txn_number, fault) in
        (2..).zip([AppendFault::AnswerLost, AppendFault::Lost, late].repeat(10))
    {
        a.link.order([Some(fault)]);
        assert!(increment(&a, txn_number).await.is_err());
        // Some drivers go back to the same server.
        let retried = if txn_number % 2 == 0 { &a } else { &b };
        assert_eq!(
            increment(retried, txn_number).await.unwrap(),
            txn_number - 1
        );
    }
    for proxy in [&a, &b] {
        assert_eq!(proxy.value("shop", 1).await, Some(31));
    }
}
