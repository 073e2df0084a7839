//! Branches over the memory store: isolation, replay, eviction, retries.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use argon_engine::name::Point;
use argon_engine::state::State;
use argon_engine::{Config, Database, Engine, Error, IfExists, Lsn, Origin, Retry, Writer};
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use argon_storage::LogStore;
use bytes::Bytes;

async fn store() -> Arc<dyn LogStore> {
    argon_storage::open("memory:", &argon_storage::OpenOptions::default())
        .await
        .unwrap()
}

async fn engine_on(store: &Arc<dyn LogStore>) -> Engine {
    let config = Config {
        cache_bytes: 1 << 30,
        ..Config::default()
    };
    Engine::open(Arc::clone(store), config).await.unwrap()
}

fn document(id: i32, value: &str) -> Bytes {
    let mut doc = DocBuf::new();
    doc.append("_id", ValueRef::Int32(id));
    doc.append("v", ValueRef::String(value.into()));
    doc.finish()
}

fn options() -> Bytes {
    DocBuf::new().finish()
}

fn put(writer: &mut Writer, id: i32, value: &str) -> Result<(), Error> {
    if writer.collection("c").is_none() {
        writer.create_collection("c", options())?;
    }
    let found = writer
        .collection("c")
        .and_then(|c| c.find_id(ValueRef::Int32(id)));
    match found {
        Some(record) => writer.replace("c", record, document(id, value)),
        None => writer.insert("c", document(id, value)).map(|_| ()),
    }
}

async fn write(engine: &Engine, database: &str, id: i32, value: &str) {
    let branch = engine.database_for_write(database).await.unwrap();
    engine
        .write(&branch, &Origin::default(), |writer| put(writer, id, value))
        .await
        .unwrap();
}

async fn contents(engine: &Engine, database: &str) -> Vec<(i32, String)> {
    match engine.database(database).await.unwrap() {
        Some(database) => shown(&engine.read(&database, None).await.unwrap()),
        None => Vec::new(),
    }
}

fn shown(state: &State) -> Vec<(i32, String)> {
    let Some(collection) = state.collection("c") else {
        return Vec::new();
    };
    collection
        .after(None)
        .map(|(_, document)| {
            let doc = Doc::new(document);
            let Some(ValueRef::Int32(id)) = doc.get("_id") else {
                panic!("no _id")
            };
            (id, doc.get("v").unwrap().as_str().unwrap().to_owned())
        })
        .collect()
}

fn pairs(expected: &[(i32, &str)]) -> Vec<(i32, String)> {
    expected
        .iter()
        .map(|(id, value)| (*id, (*value).to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_share_the_past_and_nothing_after() {
    let store = store().await;
    let engine = engine_on(&store).await;
    write(&engine, "shop", 1, "one").await;
    engine
        .create_branch("shop", "feature/x", "main", None)
        .await
        .unwrap();
    write(&engine, "shop", 2, "main only").await;
    write(&engine, "shop~feature-x", 1, "changed").await;
    write(&engine, "shop~feature-x", 3, "branch only").await;
    engine
        .create_branch("shop", "deep", "feature/x", None)
        .await
        .unwrap();
    write(&engine, "shop~deep", 4, "deep only").await;

    let check = async |engine: &Engine| {
        assert_eq!(
            contents(engine, "shop").await,
            pairs(&[(1, "one"), (2, "main only")])
        );
        assert_eq!(
            contents(engine, "shop~feature-x").await,
            pairs(&[(1, "changed"), (3, "branch only")])
        );
        assert_eq!(
            contents(engine, "shop~deep").await,
            pairs(&[(1, "changed"), (3, "branch only"), (4, "deep only")])
        );
    };
    check(&engine).await;
    engine.evict_all();
    check(&engine).await;
    // A new process knows what the log knows.
    check(&engine_on(&store).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_can_be_read_and_forked_but_not_written() {
    let store = store().await;
    let engine = engine_on(&store).await;
    for id in 1..=5 {
        write(&engine, "shop", id, "v").await;
    }
    // The first write makes collection and document: LSNs 1 and 2.
    assert_eq!(contents(&engine, "shop~main~4").await.len(), 3);
    // Inside the first record there is nothing to see yet.
    assert_eq!(contents(&engine, "shop~main~1").await.len(), 0);
    let error = engine
        .database_for_write("shop~main~4")
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::ReadOnlyPoint(_)), "{error}");
    let point = Some(Point::Lsn(Lsn(3)));
    engine
        .create_branch("shop", "old", "main", point)
        .await
        .unwrap();
    write(&engine, "shop~old", 9, "new").await;
    assert_eq!(
        contents(&engine, "shop~old").await,
        pairs(&[(1, "v"), (2, "v"), (9, "new")])
    );
    // A point before the fork belongs to the parent's log.
    assert_eq!(contents(&engine, "shop~old~2").await, pairs(&[(1, "v")]));
    let beyond = engine.database("shop~main~99").await.unwrap().unwrap();
    assert!(matches!(
        engine.read(&beyond, None).await,
        Err(Error::BeyondHead { .. })
    ));
    assert_eq!(
        contents(&engine, "shop~main~19700101T000000Z").await.len(),
        0
    );
    assert_eq!(
        contents(&engine, "shop~main~29991231T235959Z").await.len(),
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_write_is_answered_from_the_log() {
    let store = store().await;
    let engine = engine_on(&store).await;
    let attempt = async |engine: &Engine, number: i64, id: i32| {
        let retry = Retry {
            lsid: Bytes::from_static(b"session"),
            txn_number: number,
            stmt_id: 0,
        };
        let branch = engine.database_for_write("shop").await.unwrap();
        engine
            .write(&branch, &Origin::default(), |writer| {
                if let Some(outcome) = writer.earlier_outcome(&retry)? {
                    return Ok(outcome);
                }
                put(writer, id, "v")?;
                let outcome = document(id, "outcome");
                writer.remember(&retry, outcome.clone());
                Ok(outcome)
            })
            .await
    };
    let first = attempt(&engine, 7, 1).await.unwrap();
    assert_eq!(attempt(&engine, 7, 2).await.unwrap(), first);
    let engine = engine_on(&store).await;
    assert_eq!(attempt(&engine, 7, 3).await.unwrap(), first);
    assert!(matches!(
        attempt(&engine, 6, 4).await,
        Err(Error::TransactionTooOld { asked: 6, known: 7 })
    ));
    assert_eq!(contents(&engine, "shop").await, pairs(&[(1, "v")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_decision_changes_nothing() {
    let engine = engine_on(&store().await).await;
    write(&engine, "shop", 1, "one").await;
    let branch = engine.database_for_write("shop").await.unwrap();
    let error = engine
        .write(&branch, &Origin::default(), |writer| {
            put(writer, 2, "two")?;
            writer.insert("c", document(1, "again")).map(|_| ())
        })
        .await
        .unwrap_err();
    let Error::Language(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.code(), ErrorCode::DuplicateKey);
    assert_eq!(
        error.message(),
        "E11000 duplicate key error collection: shop.c index: _id_ dup key: { _id: 1 }"
    );
    assert_eq!(contents(&engine, "shop").await, pairs(&[(1, "one")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_trees_are_kept() {
    let engine = engine_on(&store().await).await;
    engine
        .create_project("shop", IfExists::Refuse)
        .await
        .unwrap();
    let again = engine
        .create_project("shop", IfExists::Refuse)
        .await
        .err()
        .unwrap();
    assert!(matches!(again, Error::Exists(_)));
    assert!(engine.create_project("SHOP", IfExists::Keep).await.is_err());
    assert!(
        engine
            .create_project("admin", IfExists::Keep)
            .await
            .is_err()
    );
    engine
        .create_branch("shop", "a", "main", None)
        .await
        .unwrap();
    assert!(
        engine
            .create_branch("shop", "A", "main", None)
            .await
            .is_err()
    );
    engine.create_branch("shop", "b", "a", None).await.unwrap();
    assert!(matches!(
        engine.drop_branch("shop", "a").await,
        Err(Error::HasChildren(..))
    ));
    assert!(matches!(
        engine.drop_branch("shop", "main").await,
        Err(Error::MainBranch(_))
    ));
    engine.drop_branch("shop", "b").await.unwrap();
    engine.drop_branch("shop", "a").await.unwrap();
    let error = engine.database("shop~a").await.err().unwrap();
    assert!(error.to_string().contains("createBranch: 'a'"), "{error}");
    engine.drop_project("shop").await.unwrap();
    assert!(engine.database("shop").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_to_a_dropped_branch_fail_and_never_reach_its_namesake() {
    let engine = engine_on(&store().await).await;
    engine.create_project("shop", IfExists::Keep).await.unwrap();
    let old = engine
        .create_branch("shop", "x", "main", None)
        .await
        .unwrap();
    engine.drop_branch("shop", "x").await.unwrap();
    engine
        .create_branch("shop", "x", "main", None)
        .await
        .unwrap();
    let written = engine
        .write(&old, &Origin::default(), |writer| put(writer, 1, "lost"))
        .await;
    assert!(written.is_err());
    assert_eq!(contents(&engine, "shop~x").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_keeps_to_its_bounds_and_loses_nothing() {
    let store = store().await;
    let config = Config {
        cache_bytes: 64 << 10,
        auto_branch: true,
        ..Config::default()
    };
    let engine = Engine::open(store, config).await.unwrap();
    let value = "x".repeat(1000);
    for round in 0..40 {
        for branch in ["a", "b", "c", "d"] {
            write(&engine, &format!("shop~{branch}"), round, &value).await;
        }
    }
    assert!(
        engine.cached_bytes() < 128 << 10,
        "{}",
        engine.cached_bytes()
    );
    for branch in ["a", "b", "c", "d"] {
        assert_eq!(
            contents(&engine, &format!("shop~{branch}")).await.len(),
            40,
            "{branch}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_lose_nothing() {
    let store = store().await;
    let engine = Arc::new(engine_on(&store).await);
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                for n in 0..50 {
                    write(&engine, "shop", task * 1000 + n, "v").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut before = contents(&engine, "shop").await;
    assert_eq!(before.len(), 400);
    let mut after = contents(&engine_on(&store).await, "shop").await;
    assert_eq!(before, after, "natural order is replayed too");
    before.sort();
    after.dedup();
    assert_eq!(after.len(), 400);
    let _: Option<Database> = engine.database("nothing").await.unwrap();
}

#[tokio::test]
async fn branches_in_the_upstream_are_known_but_not_here() {
    use argon_engine::{BranchEngine, BranchId};

    let engine = engine_on(&store().await).await;
    let main = engine.adopt_upstream("shop").await.unwrap();
    assert_eq!(main.meta.engine, BranchEngine::Prefix);
    let before = engine.catalog_generation();
    let branch = engine
        .create_upstream_branch("shop", "feature/x", "main", BranchId::random())
        .await
        .unwrap();
    assert_ne!(engine.catalog_generation(), before);
    assert_eq!(&*branch.database, "shop~feature-x");

    let found = engine.upstream_branch("shop~feature-x").unwrap().unwrap();
    assert_eq!(found.branch.id(), branch.id());
    assert_eq!(found.beside, ["feature-x"]);
    assert!(engine.upstream_branch("shop").unwrap().is_some());
    assert!(engine.upstream_branch("shop~other").is_err());
    assert!(engine.upstream_branch("shop~main~12").is_err());
    assert!(engine.upstream_branch("other").unwrap().is_none());

    for name in ["shop", "shop~feature-x"] {
        let refused = engine.database(name).await;
        assert!(matches!(refused, Err(Error::KeptUpstream(_))), "{name}");
    }
    let forked = engine.create_branch("shop", "y", "main", None).await;
    assert!(matches!(forked, Err(Error::KeptUpstream(_))));

    engine.create_project("log", IfExists::Keep).await.unwrap();
    assert!(engine.adopt_upstream("log").await.is_err());
    assert!(engine.upstream_branch("log").unwrap().is_none());
    let copied = engine
        .create_upstream_branch("log", "y", "main", BranchId::random())
        .await;
    assert!(matches!(copied, Err(Error::KeptInLog(_))));

    engine.drop_branch("shop", "feature/x").await.unwrap();
    assert!(engine.upstream_branch("shop~feature-x").is_err());
}
