//! What is left when everything is well again: what each branch holds, on every server, and in the log itself.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use argon_testkit::client::{Client, is_ok};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{cstr, rawdoc};

use crate::check::{Contents, FIRST};
use crate::client::{DATABASES, KEYS};
use crate::cluster::{Cluster, Mode};

/// How long the deployment may take to recover.
const RECOVERY: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the documents that clients work on, and the branches.
pub(crate) fn prepare(cluster: &Cluster) -> Result<()> {
    let mut client = cluster.server(0).connect()?;
    let [main, branches @ ..] = DATABASES;
    for key in 0..KEYS {
        for (collection, document) in [
            ("lists", rawdoc! {"_id": key, "v": []}),
            ("accounts", rawdoc! {"_id": key, "v": []}),
            ("counters", rawdoc! {"_id": key, "n": 0_i64}),
            ("registers", rawdoc! {"_id": key, "v": FIRST}),
        ] {
            client.run_ok(
                main,
                &rawdoc! {"insert": collection, "documents": [document]},
            )?;
        }
    }
    for database in branches {
        let name = database.split('~').nth(1).context("a branch")?;
        let mut create = rawdoc! {"createBranch": name, "from": "main"};
        if !cluster.mode().has_log() {
            create.append(cstr!("engine"), "prefix");
        }
        client.run_ok(main, &create)?;
    }
    Ok(())
}

/// What `database` holds, as a server says.
pub(crate) fn contents(client: &mut Client, database: &str) -> Result<Contents> {
    let mut contents = Contents::default();
    for (collection, lists) in [
        ("lists", &mut contents.lists),
        ("accounts", &mut contents.accounts),
    ] {
        for found in all(client, database, rawdoc! {"find": collection})? {
            let values = found.get_array("v")?.into_iter();
            let values = values
                .map(|value| value?.as_i64().context("a value"))
                .collect::<Result<_>>()?;
            lists.insert(found.get_i32("_id")?, values);
        }
    }
    for found in all(client, database, rawdoc! {"find": "counters"})? {
        contents
            .counters
            .insert(found.get_i32("_id")?, found.get_i64("n")?);
    }
    for found in all(client, database, rawdoc! {"find": "registers"})? {
        contents
            .registers
            .insert(found.get_i32("_id")?, found.get_i64("v")?);
    }
    for found in all(client, database, rawdoc! {"find": "documents"})? {
        contents.documents.insert(found.get_i64("_id")?);
    }
    Ok(contents)
}

/// Checks that every server holds the same: with what it has in memory, and when it begins anew with the store.
pub(crate) fn compare_servers(cluster: &Cluster) -> Result<()> {
    let mut first: Option<BTreeMap<&str, String>> = None;
    for replayed in [false, true] {
        for server in 0..cluster.len() {
            if replayed {
                cluster.kill(server)?;
                cluster.restart(server)?;
            }
            let mut client = connect(cluster, server)?;
            let mut holds = BTreeMap::new();
            for database in DATABASES {
                let what = patiently(|| held(cluster.mode(), &mut client, database))?;
                holds.insert(database, what);
            }
            match &first {
                None => first = Some(holds),
                Some(first) => ensure!(
                    *first == holds,
                    "server {server} ({}) holds something else than the first: {holds:?}, {first:?}",
                    if replayed {
                        "started anew"
                    } else {
                        "in memory"
                    }
                ),
            }
        }
    }
    Ok(())
}

/// What a server holds, byte for byte where it can tell.
fn held(mode: Mode, client: &mut Client, database: &str) -> Result<String> {
    if mode.has_log() {
        let reply = client.run_ok(database, &rawdoc! {"dbHash": 1})?;
        return Ok(reply.get_str("md5")?.to_owned());
    }
    Ok(format!("{:?}", contents(client, database)?))
}

/// Checks what is in the replica set itself. Tells what it saw.
pub(crate) fn check_store(cluster: &Cluster) -> Result<String> {
    match cluster.mode() {
        Mode::Embedded => Ok("one server with a directory".to_owned()),
        Mode::Strong | Mode::Causal => Ok(format!("{} records in the log", check_log(cluster)?)),
        Mode::Prefix => patiently(|| check_collections(cluster)),
    }
}

/// Checks that every collection of the database behind the branches belongs to main or to a branch that there is.
fn check_collections(cluster: &Cluster) -> Result<String> {
    let mut client = cluster.server(0).connect()?;
    let listed = all(&mut client, DATABASES[0], rawdoc! {"listBranches": 1})?;
    let mut prefixes = Vec::new();
    for branch in &listed {
        let name = branch.get_str("name")?;
        if name != "main" {
            prefixes.push(format!("branch_{}_", name.replace('-', "_")));
        }
    }
    let set = cluster.set().context("a replica set")?;
    let mut direct = set.connect(set.primary()?)?;
    let collections = all(&mut direct, DATABASES[0], rawdoc! {"listCollections": 1})?;
    for collection in &collections {
        let name = collection.get_str("name")?;
        ensure!(
            !name.starts_with("branch_") || prefixes.iter().any(|prefix| name.starts_with(prefix)),
            "{name} belongs to none of {prefixes:?}"
        );
    }
    Ok(format!(
        "{} collections of {} branches",
        collections.len(),
        listed.len()
    ))
}

/// Checks that each branch's log in `wal_entries` has every position once. Tells how many records there are.
fn check_log(cluster: &Cluster) -> Result<usize> {
    let set = cluster.set().context("a replica set")?;
    let mut client = set.connect(set.primary()?)?;
    let key = |document: &RawDocument, field: &str| -> Result<Vec<u8>> {
        let value = document
            .get(field)?
            .with_context(|| format!("no {field} in {document:?}"))?;
        Ok(value
            .as_binary()
            .with_context(|| format!("{field} of {document:?}"))?
            .bytes
            .to_vec())
    };
    let mut heads: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for branch in all(&mut client, "argon", rawdoc! {"find": "branches"})? {
        let base = branch.get("base_lsn")?.and_then(|base| base.as_i64());
        heads.insert(key(&branch, "_id")?, base.unwrap_or_default());
    }
    let fields = rawdoc! {"branch_id": 1, "lsn": 1, "last_lsn": 1};
    let log = rawdoc! {"find": "wal_entries", "projection": fields, "sort": {"_id": 1}};
    let mut records = 0;
    for record in all(&mut client, "argon", log)? {
        let branch = key(&record, "branch_id")?;
        // What a dropped branch leaves is given back in the background.
        let Some(head) = heads.get_mut(&branch) else {
            continue;
        };
        let first = record.get_i64("lsn")?;
        ensure!(first == *head + 1, "after {head} comes {record:?}");
        *head = record.get_i64("last_lsn")?;
        records += 1;
    }
    ensure!(records > 0, "the log is empty");
    Ok(records)
}

/// Waits until a server answers with all that was acknowledged, and gives a connection to it.
pub(crate) fn connect(cluster: &Cluster, server: usize) -> Result<Client> {
    patiently(|| {
        let mut client = cluster.server(server).connect()?;
        let now = client.run_ok("admin", &rawdoc! {"ping": 1})?;
        for database in DATABASES {
            let mut find = rawdoc! {"find": "lists", "limit": 1};
            if cluster.mode() == Mode::Causal {
                // The server need not have heard of what was acknowledged by another a moment ago.
                let now = now.get_timestamp("operationTime")?;
                find.append(cstr!("readConcern"), rawdoc! {"afterClusterTime": now});
            }
            client.run_ok(database, &find)?;
        }
        Ok(client)
    })
}

fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + RECOVERY;
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => sleep(PAUSE),
            answer => return answer,
        }
    }
}

/// Every document that a query finds.
fn all(client: &mut Client, database: &str, query: RawDocumentBuf) -> Result<Vec<RawDocumentBuf>> {
    let (_, first) = query.iter().next().context("a command")??;
    let collection = first.as_str().unwrap_or_default().to_owned();
    let mut command = query;
    let mut found = Vec::new();
    loop {
        let reply = client.run_command(database, &command)?;
        if !is_ok(&reply) {
            bail!("{command:?} was answered with {reply:?}");
        }
        let cursor = reply.get_document("cursor")?;
        let batch = cursor
            .get_array("firstBatch")
            .or_else(|_| cursor.get_array("nextBatch"))?;
        for document in batch {
            found.push(document?.as_document().context("a document")?.to_owned());
        }
        match cursor.get_i64("id")? {
            0 => return Ok(found),
            id => command = rawdoc! {"getMore": id, "collection": &*collection},
        }
    }
}
