//! Random appends, forks, drops and reopenings beside a model that cannot forget.

use std::collections::BTreeMap;

use argon_storage::log::embedded::EmbeddedStore;
use argon_storage::testing::{fork, record_of};
use argon_storage::{BranchId, BranchMeta, Entry, LogStore, Lsn, OpenOptions, Record};

use super::start;

const STEPS: usize = 1000;
const BRANCHES_MAX: usize = 8;

/// A small generator, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

type Model = BTreeMap<BranchId, (BranchMeta, Vec<Record>)>;

async fn check(store: &EmbeddedStore, model: &Model, random: &mut Random, what: &str) {
    assert_eq!(store.branches().await.unwrap().len(), model.len(), "{what}");
    for (id, (meta, records)) in model {
        let head = records.last().map_or(meta.base(), Record::last);
        assert_eq!(store.head(*id).await.unwrap(), head, "{what}");
        let found = store
            .read(*id, Lsn::ZERO, Lsn::MAX, usize::MAX)
            .await
            .unwrap();
        assert!(found == *records, "{what}: {} has other records", meta.name);
        if let Some(middle) = records.get(random.below(records.len().max(1))) {
            let found = store
                .read(*id, middle.first.previous(), middle.last(), 1)
                .await
                .unwrap();
            assert!(
                found == std::slice::from_ref(middle),
                "{what}: {}",
                middle.first
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_agrees_with_a_model() {
    for seed in 1..=3 {
        let random = &mut Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            segment_bytes: 100_000,
            ..OpenOptions::default()
        };
        let mut store = EmbeddedStore::open(directory.path(), &options).unwrap();
        let main = start(&store).await;
        let mut model = Model::from([(main.id, (main.clone(), Vec::new()))]);
        for step in 0..STEPS {
            let what = format!("seed {seed}, step {step}");
            let ids: Vec<BranchId> = model.keys().copied().collect();
            let id = ids[random.below(ids.len())];
            match random.below(100) {
                0..=1 => {
                    drop(store);
                    store = EmbeddedStore::open(directory.path(), &options).unwrap();
                    check(&store, &model, random, &what).await;
                }
                2 => {
                    // Everything before it is durable then, so heads can be compared.
                    store
                        .put_setting("step", what.clone().into())
                        .await
                        .unwrap();
                    check(&store, &model, random, &what).await;
                }
                3..=7 if ids.len() < BRANCHES_MAX => {
                    let (meta, records) = &model[&id];
                    let head = records.last().map_or(meta.base(), Record::last);
                    let branch = fork(meta, &what, head);
                    store.create_branch(&branch).await.unwrap();
                    model.insert(branch.id, (branch, Vec::new()));
                }
                8..=12 => {
                    let is_parent = model
                        .values()
                        .any(|(meta, _)| meta.parent.is_some_and(|parent| parent.branch == id));
                    let dropped = store.drop_branch(id).await;
                    assert_eq!(dropped.is_ok(), id != main.id && !is_parent, "{what}");
                    if dropped.is_ok() {
                        model.remove(&id);
                    }
                }
                _ => {
                    let (meta, records) = model.get_mut(&id).unwrap();
                    let first = records.last().map_or(meta.base(), Record::last).next();
                    let sizes = [0, 50, 700, 5_000, 40_000];
                    let entries = (0..=random.below(4))
                        .map(|_| Entry::Put {
                            collection: "users".into(),
                            document: argon_storage::testing::document(
                                sizes[random.below(sizes.len())],
                                step as u64,
                            ),
                        })
                        .collect();
                    let record = record_of(id, first, entries);
                    // Mostly not awaited: what comes next is then in the same group, or the next.
                    let ticket = store.submit(&record).unwrap();
                    if random.below(4) == 0 {
                        ticket.await.unwrap();
                    }
                    records.push(record);
                }
            }
        }
        store.put_setting("step", "end".into()).await.unwrap();
        check(&store, &model, random, &format!("seed {seed}, end")).await;
    }
}
