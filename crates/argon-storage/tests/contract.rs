//! Every log store passes the contract.

use argon_storage::OpenOptions;
use argon_storage::testing::{contract, durable_contract};
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::replica_set::ReplicaSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    contract(|| ("memory:".into(), OpenOptions::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract(|| {
        number.set(number.get() + 1);
        let uri = format!("embedded:{}/{}", directory.path().display(), number.get());
        (uri, OpenOptions::default())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("embedded:{}/data", directory.path().display());
    durable_contract(&uri, &OpenOptions::default()).await;
}

async fn mongodb_contract(uri: &str) {
    let number = std::cell::Cell::new(0);
    let place = || {
        number.set(number.get() + 1);
        let options = OpenOptions {
            mongodb_database: format!("argon{}", number.get()),
            ..OpenOptions::default()
        };
        (uri.to_owned(), options)
    };
    contract(place).await;
    let (uri, options) = place();
    durable_contract(&uri, &options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_standalone() {
    let mongod = Mongod::start(Options::default()).unwrap();
    mongodb_contract(&format!("mongodb://{}/", mongod.addr())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_replica_set() {
    let set = ReplicaSet::start(3).unwrap();
    mongodb_contract(&set.uri()).await;
}
