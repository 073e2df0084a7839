//! Several engines, each as in a process of its own, on one store that they share.

#![expect(clippy::unwrap_used, reason = "tests")]

mod catalog;
mod contention;
mod faults;
mod history;
mod reads;
mod retries;

use std::sync::Arc;
use std::time::Duration;

use argon_engine::state::State;
use argon_engine::{Config, Engine, Error, Origin, ReadConsistency, Writer};
use argon_mql::{Doc, DocBuf, ValueRef};
use argon_storage::LogStore;
use argon_storage::testing::{Process, SharedStore};
use bytes::Bytes;

/// A process: its engine and its way to the store.
struct Proxy {
    engine: Arc<Engine>,
    link: Arc<Process>,
}

impl Proxy {
    async fn start(store: &Arc<SharedStore>) -> Proxy {
        Proxy::start_with(store, ReadConsistency::Strong).await
    }

    async fn start_with(store: &Arc<SharedStore>, read_consistency: ReadConsistency) -> Proxy {
        let link = store.process();
        let store: Arc<dyn LogStore> = Arc::clone(&link) as _;
        let config = Config {
            read_consistency,
            ..Config::default()
        };
        let engine = Arc::new(Engine::open(store, config).await.unwrap());
        Proxy { engine, link }
    }

    /// Starts following the store's news.
    fn follow(&self) {
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move { engine.follow().await });
    }

    async fn put(&self, database: &str, id: i32, value: i64) -> Result<(), Error> {
        let branch = self.engine.database_for_write(database).await?;
        self.engine
            .write(&branch, &Origin::default(), |writer| put(writer, id, value))
            .await
    }

    /// Adds one to a counter and answers what it was before.
    async fn increment(&self, database: &str, id: i32) -> Result<i64, Error> {
        let branch = self.engine.database_for_write(database).await?;
        self.engine
            .write(&branch, &Origin::default(), |writer| {
                let before = value(writer.state(), id).unwrap_or(0);
                put(writer, id, before + 1)?;
                Ok(before)
            })
            .await
    }

    async fn state(&self, database: &str) -> Result<Option<Arc<State>>, Error> {
        self.engine.open_database(database, None).await
    }

    async fn value(&self, database: &str, id: i32) -> Option<i64> {
        let state = self.state(database).await.unwrap();
        state.and_then(|state| value(&state, id))
    }
}

async fn proxies<const N: usize>(store: &Arc<SharedStore>) -> [Proxy; N] {
    let mut proxies = Vec::new();
    for _ in 0..N {
        proxies.push(Proxy::start(store).await);
    }
    proxies.try_into().ok().unwrap()
}

/// The value of document `id` of collection `c`.
fn value(state: &State, id: i32) -> Option<i64> {
    let collection = state.collection("c")?;
    let record = collection.find_id(ValueRef::Int32(id))?;
    match Doc::new(collection.document(record)?).get("v") {
        Some(ValueRef::Int64(value)) => Some(value),
        other => panic!("no value: {other:?}"),
    }
}

fn document(id: i32, value: i64) -> Bytes {
    let mut doc = DocBuf::new();
    doc.append("_id", ValueRef::Int32(id));
    doc.append("v", ValueRef::Int64(value));
    doc.finish()
}

fn put(writer: &mut Writer, id: i32, value: i64) -> Result<(), Error> {
    if writer.collection("c").is_none() {
        writer.create_collection("c", DocBuf::new().finish())?;
    }
    let found = writer
        .collection("c")
        .and_then(|c| c.find_id(ValueRef::Int32(id)));
    match found {
        Some(record) => writer.replace("c", record, document(id, value)),
        None => writer.insert("c", document(id, value)).map(|_| ()),
    }
}

/// Waits for a condition that comes true by itself.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..30_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never happened: {what}");
}
