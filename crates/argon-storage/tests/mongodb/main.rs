//! The store in MongoDB: several processes on it, and everything that goes wrong between them and it. Needs a `mongod`.

#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

mod catalog;
mod crashes;
mod failures;
mod races;
mod workers;

use std::sync::Arc;

use argon_storage::testing::project;
use argon_storage::{BranchMeta, LogStore, OpenOptions, open};
use argon_testkit::mongod::{Mongod, Options};

/// A replica set of one member, for what needs no others.
fn one_member() -> Mongod {
    Mongod::start_with(
        Options {
            replica_set: true,
            volatile: true,
        },
        &["--setParameter", "enableTestCommands=1"],
    )
    .unwrap()
}

fn uri(mongod: &Mongod) -> String {
    format!("mongodb://{}/?replicaSet=rs", mongod.addr())
}

/// A store of its own, as another process would have it.
async fn store(uri: &str) -> Arc<dyn LogStore> {
    open(uri, &OpenOptions::default()).await.unwrap()
}

/// Two stores on one deployment, and a project's main branch.
async fn two(uri: &str) -> (Arc<dyn LogStore>, Arc<dyn LogStore>, BranchMeta) {
    let (one, other) = (store(uri).await, store(uri).await);
    let (shop, main) = project("shop");
    one.create_project(&shop, &main).await.unwrap();
    (one, other, main)
}
