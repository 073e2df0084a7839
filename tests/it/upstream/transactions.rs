//! Sessions and transactions through Argon.

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;

use super::{Rig, drive};

#[test]
fn transactions_commit_and_abort() {
    let rig = Rig::start("", &["--new-databases", "upstream"]);
    drive(async {
        let client = Client::with_uri_str(rig.argon.uri()).await.unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        collection.insert_one(doc! {"_id": 0}).await.unwrap();
        let mut session = client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        collection
            .insert_one(doc! {"_id": 1})
            .session(&mut session)
            .await
            .unwrap();
        let seen = collection
            .count_documents(doc! {})
            .session(&mut session)
            .await
            .unwrap();
        assert_eq!(seen, 2);
        assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 1);
        session.commit_transaction().await.unwrap();
        // A commit may be repeated.
        session.commit_transaction().await.unwrap();
        assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 2);

        session.start_transaction().await.unwrap();
        collection
            .insert_one(doc! {"_id": 2})
            .session(&mut session)
            .await
            .unwrap();
        session.abort_transaction().await.unwrap();
        assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 2);
    });
}

#[test]
fn conflicts_carry_the_labels_of_the_server() {
    let rig = Rig::start("", &["--new-databases", "upstream"]);
    drive(async {
        let client = Client::with_uri_str(rig.argon.uri()).await.unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        collection.insert_one(doc! {"_id": 0}).await.unwrap();
        let mut first = client.start_session().await.unwrap();
        let mut second = client.start_session().await.unwrap();
        first.start_transaction().await.unwrap();
        second.start_transaction().await.unwrap();
        let change = doc! {"$inc": {"n": 1}};
        collection
            .update_one(doc! {}, change.clone())
            .session(&mut first)
            .await
            .unwrap();
        let conflict = collection
            .update_one(doc! {}, change)
            .session(&mut second)
            .await
            .unwrap_err();
        assert!(
            conflict.contains_label("TransientTransactionError"),
            "{conflict}"
        );
        first.commit_transaction().await.unwrap();
    });
}

/// A transaction that holds a document keeps others waiting; its own commands must not wait for their connections.
#[test]
fn a_transaction_ends_although_others_wait_for_it_on_every_connection() {
    let rig = Rig::start("maxPoolSize=2", &["--new-databases", "upstream"]);
    drive(async {
        let client = Client::with_uri_str(rig.argon.uri()).await.unwrap();
        let collection = client.database("shop").collection::<Document>("c");
        collection
            .insert_one(doc! {"_id": 0, "n": 0})
            .await
            .unwrap();
        let mut session = client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let change = || doc! {"$inc": {"n": 1}};
        collection
            .update_one(doc! {"_id": 0}, change())
            .session(&mut session)
            .await
            .unwrap();
        let others: Vec<_> = (0..8)
            .map(|_| {
                let collection = collection.clone();
                tokio::spawn(async move {
                    collection
                        .update_one(doc! {"_id": 0}, doc! {"$inc": {"n": 1}})
                        .await
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        collection
            .update_one(doc! {"_id": 0}, change())
            .session(&mut session)
            .await
            .unwrap();
        session.commit_transaction().await.unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        let document = collection.find_one(doc! {}).await.unwrap().unwrap();
        assert_eq!(document.get_i32("n").unwrap(), 10);
    });
}

/// A causal session carries the newest time it saw, be it of a project, to whatever it asks next.
#[test]
fn a_session_may_go_from_a_project_to_the_upstream_and_back() {
    let rig = Rig::start("", &[]);
    drive(async {
        let direct = format!("mongodb://{}/", rig.mongod.addr());
        let direct = Client::with_uri_str(direct).await.unwrap();
        direct
            .database("old")
            .collection("c")
            .insert_one(doc! {"_id": 0})
            .await
            .unwrap();
        let client = Client::with_uri_str(rig.argon.uri()).await.unwrap();
        let mut session = client
            .start_session()
            .causal_consistency(true)
            .await
            .unwrap();
        for id in 1..20 {
            for database in ["project", "old"] {
                let collection = client.database(database).collection::<Document>("c");
                collection
                    .insert_one(doc! {"_id": id})
                    .session(&mut session)
                    .await
                    .unwrap();
                let found = collection
                    .find_one(doc! {"_id": id})
                    .read_concern(ReadConcern::majority())
                    .session(&mut session)
                    .await
                    .unwrap();
                assert!(found.is_some(), "{database} {id}");
            }
        }
    });
}
