//! TTL indexes: what expires, and what does not.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use argon_engine::{Config, Engine, Error, Origin};
use argon_mql::index::IndexSpec;
use argon_mql::{Doc, DocBuf, ValueRef};
use bytes::Bytes;

fn spec(direction: i32) -> Arc<IndexSpec> {
    let mut doc = DocBuf::new();
    doc.append("v", ValueRef::Int32(2));
    let key = doc.open_document("key");
    doc.append("t", ValueRef::Int32(direction));
    doc.close(key);
    doc.append("name", ValueRef::String("ttl".into()));
    doc.append("expireAfterSeconds", ValueRef::Int32(60));
    Arc::new(IndexSpec::parse(Doc::new(&doc.finish())).unwrap())
}

fn document(id: i32, value: ValueRef<'_>) -> Bytes {
    let mut doc = DocBuf::new();
    doc.append("_id", ValueRef::Int32(id));
    doc.append("t", value);
    doc.finish()
}

/// The documents left of some, with an index in `direction`.
async fn left(direction: i32) -> Vec<i32> {
    const PAST: ValueRef<'static> = ValueRef::DateTime(1_000);
    const FUTURE: ValueRef<'static> = ValueRef::DateTime(1 << 50);
    let options = argon_storage::OpenOptions::default();
    let store = argon_storage::open("memory:", &options).await.unwrap();
    let config = Config {
        cache_bytes: 1 << 30,
        ..Config::default()
    };
    let engine = Engine::open(store, config).await.unwrap();
    let branch = engine.database_for_write("p").await.unwrap();
    let both = DocBuf::array([FUTURE, PAST]);
    let late = DocBuf::array([FUTURE, ValueRef::Int32(1)]);
    engine
        .write::<_, Error>(&branch, &Origin::default(), |writer| {
            writer.create_collection("c", DocBuf::new().finish())?;
            writer.create_index("c", &spec(direction))?;
            let values = [
                PAST,
                FUTURE,
                ValueRef::DateTime(-1_000),
                ValueRef::Array(Doc::new(&both)),
                ValueRef::Array(Doc::new(&late)),
                ValueRef::Int32(1),
                ValueRef::Null,
                ValueRef::MinKey,
                ValueRef::MaxKey,
            ];
            for (id, value) in (0..).zip(values) {
                writer.insert("c", document(id, value))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(engine.expire().await.unwrap(), 3);
    assert_eq!(engine.expire().await.unwrap(), 0);
    let database = engine.database("p").await.unwrap().unwrap();
    let state = engine.read(&database, None).await.unwrap();
    let collection = state.collection("c").unwrap();
    collection
        .after(None)
        .filter_map(|(_, document)| match Doc::new(document).get("_id") {
            Some(ValueRef::Int32(id)) => Some(id),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_that_are_past_expire_and_nothing_else() {
    assert_eq!(left(1).await, [1, 4, 5, 6, 7, 8]);
    assert_eq!(left(-1).await, [1, 4, 5, 6, 7, 8]);
}
