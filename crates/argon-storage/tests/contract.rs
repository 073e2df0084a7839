//! Every log store passes the contract.

use argon_storage::testing::{contract, durable_contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    contract(|| "memory:".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract(|| {
        number.set(number.get() + 1);
        format!("embedded:{}/{}", directory.path().display(), number.get())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    durable_contract(&format!("embedded:{}/data", directory.path().display())).await;
}
