//! Several processes that create and drop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use argon_storage::testing::{fork, project, record};
use argon_storage::{BranchId, Error, Lsn};
use argon_testkit::mongod::Mongod;
use bson::spec::BinarySubtype;
use bson::{Binary, rawdoc};

use super::{one_member, store, two, uri};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_is_given_once() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    for round in 0..10 {
        let name = format!("b{round}");
        let (mine, theirs) = (fork(&main, &name, Lsn(0)), fork(&main, &name, Lsn(0)));
        let outcomes = tokio::join!(one.create_branch(&mine), other.create_branch(&theirs));
        let created = match &outcomes {
            (Ok(()), Err(Error::Exists { .. })) => mine.id,
            (Err(Error::Exists { .. }), Ok(())) => theirs.id,
            _ => panic!("{outcomes:?}"),
        };
        for store in [&one, &other] {
            let branches = store.branches().await.unwrap();
            let named: Vec<_> = branches.iter().filter(|found| found.name == name).collect();
            assert_eq!(named.len(), 1);
            assert_eq!(named[0].id, created);
        }
    }
    let ((first, first_main), (second, second_main)) = (project("p"), project("p"));
    let outcomes = tokio::join!(
        one.create_project(&first, &first_main),
        other.create_project(&second, &second_main)
    );
    assert!(
        matches!(
            outcomes,
            (Ok(()), Err(Error::Exists { .. })) | (Err(Error::Exists { .. }), Ok(()))
        ),
        "{outcomes:?}"
    );
    assert_eq!(one.projects().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_parent_is_not_dropped_under_a_child() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    for round in 0..20 {
        let parent = fork(&main, &format!("parent{round}"), Lsn(0));
        one.create_branch(&parent).await.unwrap();
        let child = fork(&parent, &format!("child{round}"), Lsn(0));
        let (created, dropped) =
            tokio::join!(one.create_branch(&child), other.drop_branch(parent.id));
        let branches = one.branches().await.unwrap();
        let is_there = |id| branches.iter().any(|branch| branch.id == id);
        assert_eq!(
            created.is_ok(),
            is_there(child.id),
            "{created:?} {dropped:?}"
        );
        assert_eq!(
            dropped.is_ok(),
            !is_there(parent.id),
            "{created:?} {dropped:?}"
        );
        assert!(
            is_there(parent.id) || !is_there(child.id),
            "{created:?} {dropped:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_branch_takes_nothing_from_anyone() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    let branch = fork(&main, "b", Lsn(0));
    one.create_branch(&branch).await.unwrap();
    // Somebody who never pauses, in another process.
    let writer = {
        let (store, branch) = (Arc::clone(&one), branch.id);
        tokio::spawn(async move {
            let mut next = Lsn(1);
            loop {
                let tickets: Vec<_> = (0..50)
                    .map_while(|_| {
                        let ticket = store.submit(&record(branch, next, 100)).ok()?;
                        next = next.next();
                        Some(ticket)
                    })
                    .collect();
                if tickets.is_empty() {
                    return store.append(&record(branch, next, 100)).await.unwrap_err();
                }
                for ticket in tickets {
                    if let Err(error) = ticket.await {
                        return error;
                    }
                }
            }
        })
    };
    while other.head(branch.id).await.unwrap() < Lsn(100) {}
    other.drop_branch(branch.id).await.unwrap();
    let error = writer.await.unwrap();
    assert!(matches!(error, Error::BranchGone { .. }), "{error}");

    let again = fork(&main, "b", Lsn(0));
    other.create_branch(&again).await.unwrap();
    for store in [&one, &other] {
        store.resume(branch.id);
        let gone = |error: Error| assert!(matches!(error, Error::BranchGone { .. }), "{error}");
        gone(store.head(branch.id).await.unwrap_err());
        gone(
            store
                .append(&record(branch.id, Lsn(101), 10))
                .await
                .unwrap_err(),
        );
        gone(
            store
                .read(branch.id, Lsn(0), Lsn(100), 1)
                .await
                .unwrap_err(),
        );
    }
    // All that is left of it is the seal.
    while records(&mongod, branch.id) > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = store(&uri(&mongod)).await;
    let error = late
        .append(&record(branch.id, Lsn(1), 10))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::BranchGone { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_project_is_dropped_with_all_that_is_in_it() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let creating = {
        let (store, main, stop) = (Arc::clone(&one), main.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            for number in 0.. {
                let branch = fork(&main, &format!("b{number}"), Lsn(0));
                match store.create_branch(&branch).await {
                    Ok(()) => {}
                    Err(Error::ProjectGone { .. } | Error::BranchGone { .. }) => return,
                    Err(error) => panic!("{error}"),
                }
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        })
    };
    while other.branches().await.unwrap().len() < 5 {}
    other.drop_project(main.project).await.unwrap();
    assert!(other.projects().await.unwrap().is_empty());
    assert!(one.branches().await.unwrap().is_empty());
    let (again, again_main) = project("shop");
    one.create_project(&again, &again_main).await.unwrap();
    creating.await.unwrap();
    assert_eq!(other.branches().await.unwrap(), [again_main]);
    let error = one.append(&record(main.id, Lsn(1), 10)).await.unwrap_err();
    assert!(matches!(error, Error::BranchGone { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_told_of_changes() {
    let mongod = one_member();
    let (one, other, main) = two(&uri(&mongod)).await;
    let mut news = other.news().unwrap();
    // It says so once it is listening.
    assert_eq!(news.recv().await.unwrap(), argon_storage::News::Anything);
    one.append(&record(main.id, Lsn(1), 10)).await.unwrap();
    let appended = argon_storage::News::Appended {
        branch: main.id,
        last: Lsn(1),
    };
    while news.recv().await.unwrap() != appended {}
    one.create_branch(&fork(&main, "b", Lsn(0))).await.unwrap();
    while news.recv().await.unwrap() != argon_storage::News::Catalog {}
}

/// How many records of `branch` are in the collection.
fn records(mongod: &Mongod, branch: BranchId) -> i32 {
    let id = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: branch.as_bytes().to_vec(),
    };
    let count = rawdoc! {"count": "wal_entries", "query": {"branch_id": id}};
    let reply = mongod.connect().unwrap().run_ok("argon", &count).unwrap();
    reply.get_i32("n").unwrap()
}
