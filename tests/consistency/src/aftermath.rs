//! What is left when everything is well again: what each branch holds, on every server, and in the log itself.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use argon_testkit::client::{Client, is_ok};
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;

use crate::check::{Contents, FIRST};
use crate::client::{DATABASES, KEYS};
use crate::cluster::Cluster;

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
        client.run_ok(main, &rawdoc! {"createBranch": name, "from": "main"})?;
    }
    Ok(())
}

/// What `database` holds, as a server says.
pub(crate) fn contents(client: &mut Client, database: &str) -> Result<Contents> {
    let mut contents = Contents::default();
    for found in all(client, database, rawdoc! {"find": "lists"})? {
        let values = found.get_array("v")?.into_iter();
        let values = values
            .map(|value| value?.as_i64().context("a value"))
            .collect::<Result<_>>()?;
        contents.lists.insert(found.get_i32("_id")?, values);
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

/// Checks that every server holds the same, byte for byte: with what it has in memory, and when it begins anew with the
/// log.
pub(crate) fn compare_servers(cluster: &Cluster) -> Result<()> {
    let mut first: Option<BTreeMap<&str, String>> = None;
    for replayed in [false, true] {
        for server in 0..cluster.len() {
            if replayed {
                cluster.kill(server)?;
                cluster.restart(server)?;
            }
            let mut client = cluster.server(server).connect()?;
            let mut hashes = BTreeMap::new();
            for database in DATABASES {
                let reply = patiently(|| client.run_ok(database, &rawdoc! {"dbHash": 1}))?;
                hashes.insert(database, reply.get_str("md5")?.to_owned());
            }
            match &first {
                None => first = Some(hashes),
                Some(first) => ensure!(
                    *first == hashes,
                    "server {server} ({}) holds something else than the first: {hashes:?}, {first:?}",
                    if replayed {
                        "from the log"
                    } else {
                        "in memory"
                    }
                ),
            }
        }
    }
    Ok(())
}

/// Checks that each branch's log in `wal_entries` has every position once. Tells how many records there are.
pub(crate) fn check_log(cluster: &Cluster) -> Result<usize> {
    let Some(set) = cluster.set() else {
        return Ok(0);
    };
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

/// Waits until a server answers, and gives a connection to it.
pub(crate) fn connect(cluster: &Cluster, server: usize) -> Result<Client> {
    patiently(|| {
        let mut client = cluster.server(server).connect()?;
        client.run_ok(DATABASES[0], &rawdoc! {"find": "lists", "limit": 1})?;
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
    let collection = query.get_str("find")?.to_owned();
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
