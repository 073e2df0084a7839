//! Main and two branches, at the same time and apart.

use std::env;

use anyhow::{Context, Result};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};

use crate::application;
use crate::check::{equal, fails};

/// The variable that names the engine of the branches, if it is not the default.
const ENGINE: &str = "ARGON_ENGINE";

pub(crate) async fn run(uri: &str) -> Result<()> {
    let client = Client::with_uri_str(uri).await?;
    let main = client.database("rustapp");
    if has_history() {
        main.run_command(doc! {"createProject": 1}).await?;
    }
    for name in ["one", "two"] {
        main.run_command(fork(name, "main")).await?;
    }
    let tasks: Vec<_> = ["rustapp", "rustapp~one", "rustapp~two"]
        .into_iter()
        .map(|name| {
            let client = client.clone();
            tokio::spawn(async move { application::run(&client, &client.database(name)).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    apart(&client).await
}

async fn apart(client: &Client) -> Result<()> {
    let main = client.database("rustapp");
    let reply = main.run_command(fork("Fix: the sums", "two")).await?;
    let fix = client.database(reply.get_str("database")?);
    let sales = |name: &str| client.database(name).collection::<Document>("sales");
    let fixed: Collection<Document> = fix.collection("sales");
    let head = if has_history() {
        Some(head(client).await?)
    } else {
        None
    };

    fixed
        .update_many(doc! {}, doc! {"$mul": {"sum": 10}})
        .await?;
    sales("rustapp~two").delete_many(doc! {"shop": 0}).await?;
    sales("rustapp").drop().await?;
    equal(
        "one",
        sales("rustapp~one").count_documents(doc! {}).await?,
        60,
    )?;
    equal(
        "two",
        sales("rustapp~two").count_documents(doc! {}).await?,
        45,
    )?;
    equal("main", sales("rustapp").count_documents(doc! {}).await?, 0)?;
    equal(
        "fix",
        fixed.count_documents(doc! {"_id": 59, "sum": 590}).await?,
        1,
    )?;
    equal(
        "not on two",
        sales("rustapp~two")
            .count_documents(doc! {"sum": {"$gt": 59}})
            .await?,
        0,
    )?;

    if let Some(head) = head {
        let then = sales(&format!("rustapp~main~{head}"));
        equal("then", then.count_documents(doc! {}).await?, 60)?;
        equal(
            "is read-only",
            then.insert_one(doc! {}).await.is_err(),
            true,
        )?;
    }
    let nowhere = sales("rustapp~nowhere");
    fails(
        "unknown branch",
        nowhere.find_one(doc! {}).await,
        26,
        "createBranch",
    )?;
    fails(
        "unknown branch, write",
        nowhere.insert_one(doc! {}).await,
        26,
        "createBranch",
    )?;
    let dropped = main.run_command(doc! {"dropBranch": "two"}).await;
    equal("a parent stays", dropped.is_err(), true)?;
    main.run_command(doc! {"dropBranch": "Fix: the sums"})
        .await?;
    main.run_command(doc! {"dropBranch": "two"}).await?;
    let mut names = client.list_database_names().await?;
    names.retain(|name| name.starts_with("rustapp"));
    names.sort();
    equal(
        "list_database_names",
        names,
        vec!["rustapp".to_owned(), "rustapp~one".to_owned()],
    )
}

/// The command that forks a branch, of the engine under test.
fn fork(name: &str, from: &str) -> Document {
    let mut command = doc! {"createBranch": name, "from": from};
    let engine = env::var(ENGINE).unwrap_or_default();
    if !engine.is_empty() {
        command.insert("engine", engine);
    }
    command
}

/// Only a log has a past to look at.
fn has_history() -> bool {
    env::var(ENGINE).as_deref() != Ok("prefix")
}

/// The LSN of the head of main.
async fn head(client: &Client) -> Result<i64> {
    let reply = client
        .database("rustapp")
        .run_command(doc! {"listBranches": 1})
        .await?;
    let branches = reply.get_document("cursor")?.get_array("firstBatch")?;
    let main = branches
        .iter()
        .filter_map(|branch| branch.as_document())
        .find(|branch| branch.get_str("name").is_ok_and(|name| name == "main"))
        .context("a branch main")?;
    Ok(main.get_i64("headLsn")?)
}
