//! The warehouse: what an application does with one database.

use anyhow::{Context, Result, bail};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::stream::{StreamExt, TryStreamExt};
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::error::ErrorKind;
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Client, Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};

use crate::check::{equal, fails};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pallet {
    #[serde(rename = "_id")]
    id: ObjectId,
    sku: String,
    shelf: i32,
    weight: f64,
    arrived: DateTime,
    labels: Vec<String>,
    origin: Option<Origin>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Origin {
    country: String,
    batch: i64,
}

fn pallet(number: i32) -> Pallet {
    Pallet {
        id: ObjectId::new(),
        sku: format!("sku-{}", number % 10),
        shelf: number,
        weight: f64::from(number) / 4.0,
        arrived: DateTime::from_millis(1_763_629_200_000 + i64::from(number)),
        labels: (0..number % 4).map(|label| format!("l{label}")).collect(),
        origin: (number % 2 == 0).then(|| Origin {
            country: "CZ".to_owned(),
            batch: i64::from(number) << 33,
        }),
    }
}

/// Does everything on `db`, which has to be empty.
pub(crate) async fn run(client: &Client, db: &Database) -> Result<()> {
    crud(db).await?;
    cursors(db).await?;
    indexes(db).await?;
    aggregation(db).await?;
    sessions(client, db).await?;
    files(db).await?;
    concurrent(db).await
}

async fn crud(db: &Database) -> Result<()> {
    let pallets: Collection<Pallet> = db.collection("pallets");
    let all: Vec<Pallet> = (0..100).map(pallet).collect();
    equal(
        "insert_many",
        pallets.insert_many(&all).await?.inserted_ids.len(),
        100,
    )?;
    let read: Vec<Pallet> = pallets
        .find(doc! {})
        .sort(doc! {"shelf": 1})
        .await?
        .try_collect()
        .await?;
    equal("typed documents come back", read, all.clone())?;
    equal(
        "find_one",
        pallets.find_one(doc! {"shelf": 42}).await?,
        Some(all[42].clone()),
    )?;
    equal(
        "nothing",
        pallets.find_one(doc! {"shelf": 420}).await?,
        None,
    )?;
    let filter = doc! {"origin.country": "CZ", "weight": {"$gt": 20.0}, "labels": "l1"};
    equal("nested filter", pallets.count_documents(filter).await?, 5)?;

    let result = pallets
        .update_many(
            doc! {"sku": "sku-3"},
            doc! {"$set": {"weight": 1.0}, "$addToSet": {"labels": "light"}},
        )
        .await?;
    equal(
        "update_many",
        (result.matched_count, result.modified_count),
        (10, 10),
    )?;
    let moved = pallets
        .find_one_and_update(doc! {"shelf": 7}, doc! {"$inc": {"shelf": 1000}})
        .return_document(ReturnDocument::After)
        .await?;
    equal(
        "find_one_and_update",
        moved.map(|pallet| pallet.shelf),
        Some(1007),
    )?;
    let replaced = pallets
        .replace_one(doc! {"shelf": 5000}, pallet(5000))
        .upsert(true)
        .await?;
    equal("upsert", replaced.upserted_id.is_some(), true)?;
    equal(
        "delete_many",
        pallets
            .delete_many(doc! {"shelf": {"$gte": 1000}})
            .await?
            .deleted_count,
        2,
    )?;
    let mut skus = pallets.distinct("sku", doc! {"shelf": {"$lt": 3}}).await?;
    skus.sort_by_key(ToString::to_string);
    equal(
        "distinct",
        skus,
        ["sku-0", "sku-1", "sku-2"].map(Bson::from).to_vec(),
    )?;

    // A failure in the middle, ordered and not.
    let numbers: Collection<Document> = db.collection("numbers");
    let documents = || [1, 2, 1, 3].map(|id| doc! {"_id": id});
    let duplicate = format!(
        "E11000 duplicate key error collection: {}.numbers index: _id_ dup key: {{ _id: 1 }}",
        db.name()
    );
    fails(
        "ordered",
        numbers.insert_many(documents()).await,
        11000,
        &duplicate,
    )?;
    equal("stopped", numbers.count_documents(doc! {}).await?, 2)?;
    let Err(error) = numbers.insert_many(documents()).ordered(false).await else {
        bail!("WRONG unordered: no error");
    };
    let ErrorKind::InsertMany(failure) = &*error.kind else {
        bail!("WRONG unordered: {error}");
    };
    let at: Vec<usize> = failure
        .write_errors
        .iter()
        .flatten()
        .map(|error| error.index)
        .collect();
    equal("unordered", at, vec![0, 1, 2])?;
    equal("went on", numbers.count_documents(doc! {}).await?, 3)?;

    fails(
        "unknown command",
        db.run_command(doc! {"frobnicate": 1}).await,
        59,
        "no such command: 'frobnicate'",
    )?;
    fails(
        "unknown field",
        db.run_command(doc! {"find": "x", "frob": 1}).await,
        40415,
        "frob",
    )?;
    fails(
        "unknown operator",
        numbers.find_one(doc! {"a": {"$frob": 1}}).await,
        2,
        "$frob",
    )?;
    fails(
        "immutable",
        numbers
            .update_one(doc! {"_id": 1}, doc! {"$set": {"_id": 9}})
            .await,
        66,
        "_id",
    )
}

async fn cursors(db: &Database) -> Result<()> {
    let rows: Collection<Document> = db.collection("rows");
    rows.insert_many((0..3000).map(|i| doc! {"_id": i, "text": "t".repeat(100)}))
        .await?;
    let mut cursor = rows
        .find(doc! {})
        .sort(doc! {"_id": -1})
        .batch_size(64)
        .await?;
    let mut expected = 3000;
    while cursor.advance().await? {
        expected -= 1;
        let id = cursor.current().get_i32("_id").context("an _id")?;
        if id != expected {
            equal("in order", id, expected)?;
        }
    }
    equal("all batches", expected, 0)?;
    let early: Vec<_> = rows
        .find(doc! {})
        .batch_size(10)
        .await?
        .take(25)
        .collect()
        .await;
    equal(
        "dropped early",
        early.iter().filter(|row| row.is_ok()).count(),
        25,
    )?;
    let raw = db
        .run_command(doc! {"find": "rows", "batchSize": 2})
        .await?;
    let id = raw.get_document("cursor")?.get_i64("id")?;
    let killed = db
        .run_command(doc! {"killCursors": "rows", "cursors": [id]})
        .await?;
    equal(
        "killCursors",
        killed.get_array("cursorsKilled")?.clone(),
        vec![Bson::Int64(id)],
    )?;
    fails(
        "killed",
        db.run_command(doc! {"getMore": id, "collection": "rows"})
            .await,
        43,
        "not found",
    )
}

async fn indexes(db: &Database) -> Result<()> {
    let users: Collection<Document> = db.collection("users");
    let unique = IndexOptions::builder().unique(true).build();
    let index = IndexModel::builder()
        .keys(doc! {"mail": 1})
        .options(unique)
        .build();
    equal(
        "create_index",
        users.create_index(index).await?.index_name,
        "mail_1".to_owned(),
    )?;
    users
        .create_index(
            IndexModel::builder()
                .keys(doc! {"age": -1, "mail": 1})
                .build(),
        )
        .await?;
    let mut names = users.list_index_names().await?;
    names.sort();
    equal(
        "list_index_names",
        names,
        ["_id_", "age_-1_mail_1", "mail_1"]
            .map(str::to_owned)
            .to_vec(),
    )?;
    users
        .insert_many((0..50).map(|i| doc! {"mail": format!("u{i}"), "age": i % 7}))
        .await?;
    fails(
        "unique",
        users.insert_one(doc! {"mail": "u7"}).await,
        11000,
        "index: mail_1 dup key: { mail: \"u7\" }",
    )?;
    fails(
        "unique on update",
        users
            .update_one(doc! {"mail": "u1"}, doc! {"$set": {"mail": "u2"}})
            .await,
        11000,
        "mail_1",
    )?;
    let sorted: Vec<Document> = users
        .find(doc! {"age": 3})
        .sort(doc! {"mail": 1})
        .limit(2)
        .projection(doc! {"_id": 0, "mail": 1})
        .await?
        .try_collect()
        .await?;
    equal(
        "by index",
        sorted,
        vec![doc! {"mail": "u10"}, doc! {"mail": "u17"}],
    )?;
    users.drop_index("mail_1").await?;
    fails("dropped", users.drop_index("mail_1").await, 27, "mail_1")
}

async fn aggregation(db: &Database) -> Result<()> {
    let sales: Collection<Document> = db.collection("sales");
    let shops: Collection<Document> = db.collection("shops");
    shops
        .insert_many((0..3).map(|i| doc! {"_id": i, "town": format!("T{i}")}))
        .await?;
    sales
        .insert_many(
            (0..60).map(
                |i| doc! {"_id": i, "shop": i % 4, "sum": i64::from(i), "lines": [{"q": i % 3}]},
            ),
        )
        .await?;
    let pipeline = [
        doc! {"$group": {"_id": "$shop", "sum": {"$sum": "$sum"}, "n": {"$sum": 1}}},
        doc! {"$lookup": {"from": "shops", "localField": "_id", "foreignField": "_id", "as": "shop"}},
        doc! {"$unwind": "$shop"},
        doc! {"$project": {"_id": 0, "town": "$shop.town", "sum": 1, "n": 1}},
        doc! {"$sort": {"town": 1}},
    ];
    let towns: Vec<Document> = sales.aggregate(pipeline).await?.try_collect().await?;
    let expected = (0..3).map(|i| doc! {"sum": 420_i64 + 15 * i, "n": 15, "town": format!("T{i}")});
    equal("$group, $lookup, $unwind", towns, expected.collect())?;
    let facets = doc! {"$facet": {"n": [{"$count": "n"}], "q": [{"$unwind": "$lines"}, {"$sortByCount": "$lines.q"}, {"$sort": {"_id": 1}}]}};
    let facets: Vec<Document> = sales.aggregate([facets]).await?.try_collect().await?;
    let counts = [0, 1, 2].map(|q| doc! {"_id": q, "count": 20}).to_vec();
    equal("$facet", facets, vec![doc! {"n": [{"n": 60}], "q": counts}])?;
    let many: Vec<_> = sales
        .aggregate([doc! {"$match": {}}])
        .batch_size(7)
        .await?
        .collect()
        .await;
    equal("over batches", many.len(), 60)
}

async fn sessions(client: &Client, db: &Database) -> Result<()> {
    let c: Collection<Document> = db.collection("sessions");
    let mut session = client.start_session().causal_consistency(true).await?;
    c.insert_one(doc! {"_id": 1}).session(&mut session).await?;
    let read = c.find_one(doc! {"_id": 1}).session(&mut session).await?;
    equal("reads its write", read, Some(doc! {"_id": 1}))?;
    equal("operationTime", session.operation_time().is_some(), true)?;
    equal("$clusterTime", session.cluster_time().is_some(), true)?;
    // The same numbered command twice: what a driver sends again after a lost reply.
    let numbered = doc! {"update": "sessions", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}], "txnNumber": 9000_i64};
    for _ in 0..3 {
        let reply = db
            .run_command(numbered.clone())
            .session(&mut session)
            .await?;
        equal("retried", reply.get_i32("nModified")?, 1)?;
    }
    let read = c.find_one(doc! {"_id": 1}).session(&mut session).await?;
    equal("applied once", read, Some(doc! {"_id": 1, "n": 1}))?;
    // The session must not go back to the pool, where the driver would count from a lower number.
    client
        .database("admin")
        .run_command(doc! {"endSessions": [session.id().clone()]})
        .await?;
    std::mem::forget(session);
    Ok(())
}

async fn files(db: &Database) -> Result<()> {
    let content: Vec<u8> = (0..2_500_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let bucket = db.gridfs_bucket(None);
    let mut upload = bucket.open_upload_stream("scan.raw").await?;
    upload.write_all(&content).await?;
    upload.close().await?;
    let id = upload.id().clone();
    let mut read = Vec::new();
    bucket
        .open_download_stream(id.clone())
        .await?
        .read_to_end(&mut read)
        .await?;
    equal("GridFS", read == content, true)?;
    let chunks = db.collection::<Document>("fs.chunks");
    equal(
        "its chunks",
        chunks
            .count_documents(doc! {"files_id": id.clone()})
            .await?,
        10,
    )?;
    bucket.delete(id).await?;
    equal("deleted", chunks.count_documents(doc! {}).await?, 0)
}

async fn concurrent(db: &Database) -> Result<()> {
    let c: Collection<Document> = db.collection("counter");
    c.insert_one(doc! {"_id": 0, "n": 0}).await?;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let c = c.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    c.update_one(doc! {"_id": 0}, doc! {"$inc": {"n": 1}})
                        .await?;
                }
                Ok::<_, mongodb::error::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    equal(
        "no increment is lost",
        c.find_one(doc! {}).await?,
        Some(doc! {"_id": 0, "n": 400}),
    )
}

/// Writes and reads a large document with each compressor.
pub(crate) async fn compression(uri: &str, database: &str) -> Result<()> {
    for name in ["zlib", "snappy", "zstd"] {
        let client = Client::with_uri_str(format!("{uri}?compressors={name}")).await?;
        let c: Collection<Document> = client.database(database).collection("compressed");
        let document = doc! {"_id": name, "text": name.repeat(20_000)};
        c.insert_one(&document).await?;
        equal(name, c.find_one(doc! {"_id": name}).await?, Some(document))?;
    }
    Ok(())
}
