//! What every log store promises that outlives its process.

#![expect(clippy::unwrap_used, reason = "a broken contract ends the test")]

use bytes::Bytes;

use super::{document, fork, project, record, record_of};
use crate::{Entry, Lsn, OpenOptions, open};

/// Checks that a store reopened at the address holds what was acknowledged. The address is new and
/// empty.
///
/// # Panics
/// If the contract is broken.
pub async fn durable_contract(uri: &str, options: &OpenOptions) {
    let (shop, main) = project("shop");
    let kept = fork(&main, "kept", Lsn(5));
    let dropped = fork(&main, "dropped", Lsn(5));
    let mut expected = Vec::new();

    let store = open(uri, options).await.unwrap();
    store.create_project(&shop, &main).await.unwrap();
    for lsn in 1..=10 {
        expected.push(record(main.id, Lsn(lsn), 100));
        store.append(&expected[expected.len() - 1]).await.unwrap();
    }
    store.create_branch(&kept).await.unwrap();
    store.create_branch(&dropped).await.unwrap();
    store.append(&record(kept.id, Lsn(6), 100)).await.unwrap();
    store
        .append(&record(dropped.id, Lsn(6), 100))
        .await
        .unwrap();
    store.drop_branch(dropped.id).await.unwrap();
    store
        .put_setting("clock", Bytes::from_static(b"7"))
        .await
        .unwrap();
    let put = |seed| Entry::Put {
        collection: "users".into(),
        document: document(13 << 20, seed),
    };
    expected.push(record_of(main.id, Lsn(11), vec![put(1), put(2)]));
    store.append(&expected[10]).await.unwrap();
    // Not closed: dropping it is enough.
    drop(store);

    for round in 0..3 {
        let store = open(uri, options).await.unwrap();
        assert_eq!(store.projects().await.unwrap(), std::slice::from_ref(&shop));
        let mut branches = store.branches().await.unwrap();
        branches.sort_by_key(|branch| branch.name.clone());
        assert_eq!(branches, [kept.clone(), main.clone()]);
        assert_eq!(
            store.setting("clock").await.unwrap(),
            Some(Bytes::from_static(b"7"))
        );
        assert!(
            store
                .read(main.id, Lsn(0), Lsn::MAX, usize::MAX)
                .await
                .unwrap()
                == expected
        );
        let own = store
            .read(kept.id, Lsn(0), Lsn::MAX, usize::MAX)
            .await
            .unwrap();
        assert_eq!(own.len(), 1 + round);

        // And goes on where it was.
        let head = store.head(kept.id).await.unwrap();
        assert_eq!(head, Lsn(6 + round as u64));
        store
            .append(&record(kept.id, head.next(), 100))
            .await
            .unwrap();
        store.close().await.unwrap();
    }
}
