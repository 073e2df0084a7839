//! A process that dies between two steps of creating or dropping something: others find all of it or nothing, can use its
//! name, and clean up after it.

use std::sync::Arc;
use std::time::Duration;

use argon_storage::testing::{document, fork, project, record, record_of};
use argon_storage::{BranchMeta, Entry, Error, LogStore, Lsn};
use argon_testkit::mongod::Mongod;
use bson::{RawDocumentBuf, rawdoc};

use super::{one_member, store, uri};

/// The steps of a verb are fewer than this.
const STEPS_MAX: i32 = 40;

/// A store whose process dies when it has made `steps` more changes: from then on nothing of it arrives.
async fn dying(mongod: &Mongod, steps: i32) -> Arc<dyn LogStore> {
    let store = store(&format!("{}&appName=dying", uri(mongod))).await;
    let fail = rawdoc! {
        "configureFailPoint": "failCommand", "mode": {"skip": steps},
        "data": {
            "failCommands": ["insert", "update", "delete"], "closeConnection": true, "appName": "dying",
        },
    };
    mongod.connect().unwrap().run_ok("admin", &fail).unwrap();
    store
}

/// How many changes of dying processes have not arrived so far.
fn lost(mongod: &Mongod) -> i64 {
    let ask = rawdoc! {"getParameter": 1, "failpoint.failCommand": 1};
    let reply = mongod.connect().unwrap().run_ok("admin", &ask).unwrap();
    let failpoint = reply.get_document("failpoint.failCommand").unwrap();
    let times = failpoint.get("timesEntered").unwrap().unwrap();
    times.as_i64().or(times.as_i32().map(i64::from)).unwrap()
}

/// Returns once a change more than the `before` first has not arrived.
async fn dead(mongod: &Mongod, before: i64) {
    while lost(mongod) == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn bury(mongod: &Mongod, dead: Arc<dyn LogStore>) {
    drop(dead);
    let off = rawdoc! {"configureFailPoint": "failCommand", "mode": "off"};
    mongod.connect().unwrap().run_ok("admin", &off).unwrap();
}

/// Runs `verb` with a process that dies after no step, one step, and so on, until it lives to see the end. After each,
/// `check` is told whether the verb was done.
async fn die_at_each_step<T>(
    mongod: &Mongod,
    mut prepare: impl AsyncFnMut(i32) -> T,
    verb: impl AsyncFn(&dyn LogStore, &T) -> Result<(), Error>,
    mut check: impl AsyncFnMut(T, bool),
) {
    for steps in 0..STEPS_MAX {
        let about = prepare(steps).await;
        let before = lost(mongod);
        let store = dying(mongod, steps).await;
        let done = tokio::select! {
            outcome = verb(&*store, &about) => outcome.is_ok(),
            () = dead(mongod, before) => false,
        };
        bury(mongod, store);
        check(about, done).await;
        if done {
            assert!(steps > 1, "there was nothing to die in");
            return;
        }
    }
    panic!("it never ends");
}

/// Has creations that nobody ends look old, so that others take them for dead.
fn age(mongod: &Mongod) {
    for collection in ["projects", "branches"] {
        let old = rawdoc! {"update": collection, "updates": [{
            "q": {"state.at": {"$exists": true}},
            "u": {"$set": {"state.at": bson::DateTime::from_millis(0)}},
            "multi": true,
        }]};
        mongod.connect().unwrap().run_ok("argon", &old).unwrap();
    }
}

fn count(mongod: &Mongod, collection: &str, query: RawDocumentBuf) -> i32 {
    let count = rawdoc! {"count": collection, "query": query};
    let reply = mongod.connect().unwrap().run_ok("argon", &count).unwrap();
    reply.get_i32("n").unwrap()
}

/// Waits until nothing half is left: whoever opens the store cleans up behind the dead.
async fn until_clean(mongod: &Mongod, living: usize) {
    age(mongod);
    let store = store(&uri(mongod)).await;
    let is_clean = || {
        let half = || rawdoc! {"state": {"$exists": true}};
        let dirt = count(mongod, "projects", half())
            + count(mongod, "branches", half())
            + count(mongod, "garbage", rawdoc! {})
            + count(mongod, "wal_parts", rawdoc! {});
        // A main branch may be there without its project.
        dirt == 0 && usize::try_from(count(mongod, "branches", rawdoc! {})) == Ok(living)
    };
    while !is_clean() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let branches = store.branches().await.unwrap();
    assert_eq!(branches.len(), living);
    let projects = store.projects().await.unwrap().len();
    let documents = usize::try_from(count(mongod, "projects", rawdoc! {})).unwrap();
    assert_eq!(documents, projects);
    // Of what was dropped, only seals are left.
    let mut ids = bson::RawArrayBuf::new();
    for branch in &branches {
        ids.push(bson::Binary {
            subtype: bson::spec::BinarySubtype::Uuid,
            bytes: branch.id.as_bytes().to_vec(),
        });
    }
    let strays = rawdoc! {"branch_id": {"$nin": ids}, "operation": {"$ne": "seal"}};
    assert_eq!(count(mongod, "wal_entries", strays), 0);
}

async fn is_there(store: &dyn LogStore, branch: &BranchMeta) -> bool {
    store.branches().await.unwrap().contains(branch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_creating_a_project() {
    let mongod = one_member();
    let other = store(&uri(&mongod)).await;
    let mut living = 0;
    let create = async |store: &dyn LogStore, (name, main): &(_, BranchMeta)| {
        store.create_project(name, main).await
    };
    die_at_each_step(
        &mongod,
        async |step| project(&format!("p{step}")),
        create,
        async |(made, main), done| {
            let listed = other.projects().await.unwrap().contains(&made);
            assert_eq!(listed, is_there(&*other, &main).await);
            assert!(listed || !done);
            age(&mongod);
            let (again, again_main) = project(&made.name);
            match other.create_project(&again, &again_main).await {
                Ok(()) => assert!(!listed),
                Err(Error::Exists { .. }) => assert!(listed),
                Err(error) => panic!("{error}"),
            }
            let main = if listed { main } else { again_main };
            other.append(&record(main.id, Lsn(1), 10)).await.unwrap();
            living += 1;
        },
    )
    .await;
    until_clean(&mongod, living).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_creating_a_branch() {
    let mongod = one_member();
    let other = store(&uri(&mongod)).await;
    let (shop, main) = project("shop");
    other.create_project(&shop, &main).await.unwrap();
    let mut living = 1;
    die_at_each_step(
        &mongod,
        async |step| fork(&main, &format!("b{step}"), Lsn(0)),
        async |store, branch| store.create_branch(branch).await,
        async |branch, done| {
            let listed = is_there(&*other, &branch).await;
            assert!(listed || !done);
            age(&mongod);
            let again = fork(&main, &branch.name, Lsn(0));
            match other.create_branch(&again).await {
                Ok(()) => assert!(!listed),
                Err(Error::Exists { .. }) => assert!(listed),
                Err(error) => panic!("{error}"),
            }
            let branch = if listed { branch } else { again };
            other.append(&record(branch.id, Lsn(1), 10)).await.unwrap();
            living += 1;
        },
    )
    .await;
    until_clean(&mongod, living).await;
}

/// A branch with a record, and one in parts.
async fn filled(store: &dyn LogStore, main: &BranchMeta, name: &str) -> BranchMeta {
    let branch = fork(main, name, Lsn(0));
    store.create_branch(&branch).await.unwrap();
    store.append(&record(branch.id, Lsn(1), 10)).await.unwrap();
    let put = |seed| Entry::Put {
        collection: "users".into(),
        document: document(6 << 20, seed),
    };
    let large = record_of(branch.id, Lsn(2), (0..4).map(put).collect());
    store.append(&large).await.unwrap();
    branch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_dropping_a_branch() {
    let mongod = one_member();
    let other = store(&uri(&mongod)).await;
    let (shop, main) = project("shop");
    other.create_project(&shop, &main).await.unwrap();
    die_at_each_step(
        &mongod,
        async |step| filled(&*other, &main, &format!("b{step}")).await,
        async |store, branch| store.drop_branch(branch.id).await,
        async |branch, done| {
            if is_there(&*other, &branch).await {
                assert!(!done);
                // All of it: it can be read, written to, and dropped.
                let records = other.read(branch.id, Lsn(0), Lsn::MAX, usize::MAX).await;
                assert_eq!(records.unwrap().len(), 2);
                other.append(&record(branch.id, Lsn(6), 10)).await.unwrap();
                other.drop_branch(branch.id).await.unwrap();
            }
            let again = fork(&main, &branch.name, Lsn(0));
            other.create_branch(&again).await.unwrap();
            other.drop_branch(again.id).await.unwrap();
        },
    )
    .await;
    until_clean(&mongod, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_dropping_a_project() {
    let mongod = one_member();
    let other = store(&uri(&mongod)).await;
    die_at_each_step(
        &mongod,
        async |step| {
            let (shop, main) = project(&format!("p{step}"));
            other.create_project(&shop, &main).await.unwrap();
            let branch = filled(&*other, &main, "b").await;
            (shop, main, branch)
        },
        async |store, (shop, _, _)| store.drop_project(shop.id).await,
        async |(shop, main, branch), done| {
            let listed = other.projects().await.unwrap().contains(&shop);
            assert_eq!(listed, is_there(&*other, &main).await);
            assert_eq!(listed, is_there(&*other, &branch).await);
            assert!(!listed || !done);
            if listed {
                other.drop_project(shop.id).await.unwrap();
            }
            let (again, again_main) = project(&shop.name);
            other.create_project(&again, &again_main).await.unwrap();
            other.drop_project(again.id).await.unwrap();
        },
    )
    .await;
    until_clean(&mongod, 0).await;
}
