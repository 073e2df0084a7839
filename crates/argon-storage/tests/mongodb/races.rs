//! Several processes that append to the same branches.

use std::sync::Arc;

use argon_storage::testing::{document, fork, record, record_of};
use argon_storage::{ClusterTime, Entry, Error, Lsn, WriterId};

use super::workers::{prove, write};
use super::{one_member, two, uri};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn positions_go_to_one_of_those_that_want_them() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    let branch = fork(&main, "b", Lsn::ZERO);
    one.create_branch(&branch).await.unwrap();
    let mut tasks = Vec::new();
    for (store, branch) in [
        (&one, &main),
        (&other, &main),
        (&one, &branch),
        (&other, &branch),
    ] {
        let (store, branch) = (Arc::clone(store), branch.id);
        let writer = WriterId::random();
        let task = tokio::spawn(write(store, branch, (writer, 60), Arc::default()));
        tasks.push((branch, writer, task));
    }
    let mut told = Vec::new();
    for (branch, writer, task) in tasks {
        told.push((branch, (writer, task.await.unwrap())));
    }
    let of = |id| -> Vec<_> {
        let (mine, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut told)
            .into_iter()
            .partition(|(branch, _)| *branch == id);
        told = rest;
        mine.into_iter().map(|(_, told)| told).collect()
    };
    let mut of = of;
    for branch in [main.id, branch.id] {
        let told = of(branch);
        prove(&*one, branch, &told).await;
        prove(&*other, branch, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_refused_record_is_refused_until_resumed() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    one.append(&record(main.id, Lsn(1), 10)).await.unwrap();
    assert_eq!(other.head(main.id).await.unwrap(), Lsn(1));
    let mut theirs = record(main.id, Lsn(2), 20);
    theirs.writer = WriterId::random();
    other.append(&theirs).await.unwrap();

    let two = one.submit(&record(main.id, Lsn(2), 30)).unwrap();
    let three = one.submit(&record(main.id, Lsn(3), 30)).unwrap();
    let error = two.await.unwrap_err();
    assert!(
        matches!(error, Error::Taken { head: Lsn(2), .. }),
        "{error}"
    );
    assert!(matches!(three.await.unwrap_err(), Error::Gap { .. }));
    // It would fit by its number.
    let error = one.append(&record(main.id, Lsn(3), 30)).await.unwrap_err();
    assert!(matches!(error, Error::Gap { .. }), "{error}");
    one.resume(main.id);
    one.append(&record(main.id, Lsn(3), 40)).await.unwrap();
    let found = other
        .read(main.id, Lsn(1), Lsn::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!(found, [theirs, record(main.id, Lsn(3), 40)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_records_do_not_mix_their_parts() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    let large = |seed: u64| {
        let put = |seed| Entry::Put {
            collection: "users".into(),
            document: document(14 << 20, seed),
        };
        let mut record = record_of(main.id, Lsn(1), vec![put(seed), put(seed + 1)]);
        record.writer = WriterId::random();
        record.cluster_time = ClusterTime::new(1_700_000_000, 1);
        record
    };
    let (mine, theirs) = (large(1), large(3));
    let (first, second) = tokio::join!(one.append(&mine), other.append(&theirs));
    let expected = match (first, second) {
        (Ok(()), Err(Error::Taken { .. })) => mine,
        (Err(Error::Taken { .. }), Ok(())) => theirs,
        other => panic!("{other:?}"),
    };
    for store in [&one, &other] {
        let found = store
            .read(main.id, Lsn::ZERO, Lsn::MAX, usize::MAX)
            .await
            .unwrap();
        assert!(found == std::slice::from_ref(&expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_as_deep_as_mongodb_takes_them_are_kept() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    let mut nested = bson::rawdoc! {"end": true};
    for _ in 0..179 {
        nested = bson::rawdoc! {"in": nested};
    }
    let put = Entry::Put {
        collection: "users".into(),
        document: nested.into_bytes().into(),
    };
    let record = record_of(main.id, Lsn(1), vec![put]);
    one.append(&record).await.unwrap();
    let found = other.read(main.id, Lsn::ZERO, Lsn(1), 1).await.unwrap();
    assert_eq!(found, [record]);
}
