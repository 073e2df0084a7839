//! The deployment, or the way to it, fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argon_storage::testing::{project, record};
use argon_storage::{BranchMeta, Error, LogStore, Lsn, OpenOptions, WriterId, open};
use argon_testkit::mongod::Mongod;
use argon_testkit::network::{Network, Weather};
use argon_testkit::replica_set::ReplicaSet;
use bson::{RawDocumentBuf, rawdoc};
use tokio::task::block_in_place;

use super::workers::{prove, write};
use super::{one_member, store, uri};

/// Has the next inserts (and updates) fail, `times` of them.
fn fail(mongod: &Mongod, times: i32, mut how: RawDocumentBuf) {
    let mut commands = bson::RawArrayBuf::new();
    commands.push("insert");
    how.append(bson::cstr!("failCommands"), commands);
    let command = rawdoc! {
        "configureFailPoint": "failCommand", "mode": {"times": times}, "data": how,
    };
    mongod.connect().unwrap().run_ok("admin", &command).unwrap();
}

async fn started(uri: &str) -> (Arc<dyn LogStore>, BranchMeta) {
    let store = store(uri).await;
    let (shop, main) = project("shop");
    store.create_project(&shop, &main).await.unwrap();
    (store, main)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_are_found_out() {
    let mongod = one_member();
    let (store, main) = started(&uri(&mongod)).await;
    let failures = [
        // Executed, and nobody knows whether it is durable.
        rawdoc! {"writeConcernError": {"code": 91, "errmsg": "shutting down"}},
        rawdoc! {"writeConcernError": {"code": 64, "errmsg": "timed out"}},
        // Not executed, and nobody knows.
        rawdoc! {"closeConnection": true},
        rawdoc! {"errorCode": 11602},
        rawdoc! {"errorCode": 189},
        // Not executed.
        rawdoc! {"errorCode": 10107},
    ];
    let mut head = Lsn::ZERO;
    for failure in failures {
        for times in [1, 3] {
            fail(&mongod, times, failure.clone());
            let tickets: Vec<_> = (1..=5)
                .map(|number| {
                    store
                        .submit(&record(main.id, head.advance(number), 50))
                        .unwrap()
                })
                .collect();
            for ticket in tickets {
                ticket.await.unwrap();
            }
            head = head.advance(5);
            assert_eq!(store.head(main.id).await.unwrap(), head, "{failure:?}");
        }
    }
    let records = store.read(main.id, Lsn(0), Lsn::MAX, usize::MAX).await;
    let expected: Vec<_> = (1..=head.0)
        .map(|lsn| record(main.id, Lsn(lsn), 50))
        .collect();
    assert_eq!(records.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_without_room_refuses_writes_and_recovers() {
    let mongod = one_member();
    let (store, main) = started(&uri(&mongod)).await;
    fail(&mongod, 1, rawdoc! {"errorCode": 14031});
    let error = store
        .append(&record(main.id, Lsn(1), 10))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(0));
    store.resume(main.id);
    store.append(&record(main.id, Lsn(1), 10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_is_away_is_waited_for_and_then_not() {
    let mongod = one_member();
    let network = Network::around(
        &[mongod.addr()],
        "replicaSet=rs&serverSelectionTimeoutMS=1500",
    )
    .unwrap();
    let (store, main) = started(&network.uri()).await;
    store.append(&record(main.id, Lsn(1), 10)).await.unwrap();

    network.set(Weather::Refused);
    let error = store
        .append(&record(main.id, Lsn(2), 10))
        .await
        .unwrap_err();
    // The connection may have ended under the first attempt, which leaves it open.
    assert!(
        matches!(error, Error::Unavailable { .. } | Error::Unknown { .. }),
        "{error}"
    );
    let error = store.head(main.id).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(!store.status().reachable);
    store.resume(main.id);
    let error = store
        .append(&record(main.id, Lsn(2), 10))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");

    // Back within the time that a write waits.
    store.resume(main.id);
    let waiting = store.submit(&record(main.id, Lsn(2), 10)).unwrap();
    network.set(Weather::Fine);
    match waiting.await {
        Ok(()) => {}
        // A very slow machine.
        Err(Error::Unavailable { .. }) => {
            store.resume(main.id);
            while store.append(&record(main.id, Lsn(2), 10)).await.is_err() {
                store.resume(main.id);
            }
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(store.head(main.id).await.unwrap(), Lsn(2));
    assert!(store.status().reachable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_will_not_do_is_refused_with_a_reason() {
    let refused = async |uri: &str, database: &str| {
        let options = OpenOptions {
            mongodb_database: database.into(),
            ..OpenOptions::default()
        };
        open(uri, &options).await.unwrap_err().to_string()
    };
    let nobody = "mongodb://ada:secret@127.0.0.1:9/?serverSelectionTimeoutMS=300";
    let error = refused(nobody, "argon").await;
    assert!(
        error.contains("cannot be reached") && error.contains("127.0.0.1:9"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    let error = refused("mongodb://", "argon").await;
    assert!(error.contains("mongodb://"), "{error}");
    let error = refused("mongodb://127.0.0.1/", "admin").await;
    assert!(error.contains("MongoDB's own"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn elections_kills_and_cut_cables_lose_and_double_nothing() {
    let mut set = block_in_place(|| ReplicaSet::start(3)).unwrap();
    let query = "replicaSet=rs&serverSelectionTimeoutMS=60000";
    let network = Network::around(&set.addrs(), query).unwrap();
    let (one, main) = started(&network.uri()).await;
    let other = store(&set.uri()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for store in [&one, &one, &other, &other] {
        let writer = WriterId::random();
        let (store, stop) = (Arc::clone(store), Arc::clone(&stop));
        let told = write(store, main.id, (writer, usize::MAX), stop);
        tasks.push((writer, tokio::spawn(told)));
    }
    let mut head = Lsn::ZERO;
    for event in 0..6 {
        match event {
            0 => drop(block_in_place(|| set.step_down()).unwrap()),
            1 => network.set(Weather::Silent),
            2 => network.set(Weather::Refused),
            3 => {
                network.set(Weather::Fine);
                block_in_place(|| {
                    let primary = set.primary().unwrap();
                    set.kill(primary).unwrap();
                    set.primary().unwrap();
                    set.restart(primary).unwrap();
                });
            }
            4 => block_in_place(|| {
                let primary = set.primary().unwrap();
                set.pause(primary).unwrap();
                let rest: Vec<usize> = (0..3).filter(|member| *member != primary).collect();
                set.primary_among(&rest).unwrap();
                set.resume(primary).unwrap();
            }),
            _ => network.set(Weather::Slow(Duration::from_millis(20))),
        }
        // Others go on whatever happens to one.
        let further = head.advance(20);
        while head < further {
            head = other.head(main.id).await.unwrap();
        }
    }
    network.set(Weather::Fine);
    stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for (writer, task) in tasks {
        told.push((writer, task.await.unwrap()));
    }
    assert!(told.iter().all(|(_, told)| !told.stored.is_empty()));
    prove(&*one, main.id, &told).await;
    prove(&*other, main.id, &told).await;
}
