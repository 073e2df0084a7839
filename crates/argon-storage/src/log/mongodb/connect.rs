//! Finding the deployment, checking that it will do, and creating what the store keeps there.

use std::sync::Arc;
use std::time::Duration;

use argon_upstream::{ReadConcernLevel, Upstream as Link};
use bson::{RawDocument, RawDocumentBuf, rawdoc};

use super::catalog::{NAME_LOWER, WIRE_NAME_LOWER};
use super::upstream::{
    AUTHENTICATION_FAILED, Attempts, Deployment, Failure, Find, HeadLevel, Level, Made,
    NAMESPACE_EXISTS, Upstream, durable,
};
use super::{BRANCHES, FORMAT, PROJECTS, WAL_ENTRIES, WAL_PARTS};
use crate::log::FORMAT_VERSION;
use crate::{Error, Result};

/// How long to wait for a deployment that is away, unless the address says `serverSelectionTimeoutMS`: longer than an
/// election takes with MongoDB's defaults.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server is looked for before the store looks at its own patience again.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the driver asks after members that say nothing, and how long it waits for a connection, unless the address
/// says `heartbeatFrequencyMS` or `connectTimeoutMS`. Together they bound how long a dead member is taken for alive.
const HEARTBEAT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most connections, unless the address says `maxPoolSize`. Batches and checks of heads share them.
const CONNECTIONS_MAX: u32 = 64;

/// MongoDB 5.0. Before it, field names that begin with `$` or hold dots could not be stored inside documents, and a
/// record holds the documents of others. Source: MongoDB manual, "Field Names with Periods and Dollar Signs".
const WIRE_VERSION_MIN: i32 = 13;

const UNAUTHORIZED: i32 = 13;

/// The address with neither credentials nor options, which may hold secrets too: for logs and messages.
#[must_use]
pub fn without_credentials(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        // Not an address at all; whatever it is, it is not repeated.
        return "(not a mongodb:// address)".to_owned();
    };
    let rest = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{hosts}/")
}

/// Connects, checks and prepares.
pub(super) async fn connect(uri: &str, database: &str) -> Result<Upstream> {
    let shown = without_credentials(uri);
    let bad = |reason: String| Error::BadUri {
        uri: shown.clone(),
        reason,
    };
    check_database_name(database).map_err(&bad)?;
    let mut patience = PATIENCE;
    let mut head_level = HeadLevel::Primary;
    let mut anonymous = false;
    let link = Link::open_with(uri, |options| {
        patience = options.server_selection_timeout.unwrap_or(PATIENCE);
        if let Some(concern) = &options.read_concern
            && concern.level == ReadConcernLevel::Linearizable
        {
            head_level = HeadLevel::Linearizable;
        }
        anonymous = options.credential.is_none();
        options.server_selection_timeout = Some(SELECTION_TIMEOUT.min(patience));
        options.heartbeat_freq.get_or_insert(HEARTBEAT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.max_pool_size.get_or_insert(CONNECTIONS_MAX);
        // Told apart from connections that pass commands on, where MongoDB lists who is connected.
        options.app_name.get_or_insert_with(|| "argon log".into());
    });
    // The parser's message may repeat what it could not read.
    let link = link.await.map_err(|error| {
        bad(if uri.contains('@') {
            "the driver cannot read the address; characters such as : / ? # [ ] @ in a user name or password are written %3A and so on".into()
        } else {
            error.to_string()
        })
    })?;
    let upstream = |deployment| {
        Upstream::new(
            Arc::clone(&link),
            database,
            deployment,
            patience,
            head_level,
        )
    };
    let explain = |error: Failure| match error {
        Failure::Refused {
            code: AUTHENTICATION_FAILED,
            message,
        } => bad(format!("it does not take the credentials: {message}")),
        Failure::Refused {
            code: UNAUTHORIZED,
            message,
        } if anonymous => bad(format!(
            "it asks for a user and a password, as in mongodb://user:password@host/: {message}"
        )),
        Failure::Refused {
            code: UNAUTHORIZED,
            message,
        } => bad(format!(
            "the user needs the role readWrite on the database `{database}`: {message}"
        )),
        Failure::NotSent(reason) | Failure::Unknown(reason) => Error::Unavailable {
            reason: format!("{shown}: {reason}"),
        },
        refused @ Failure::Refused { .. } => refused.into_error(Made::No),
    };
    let hello = setup(&upstream(Deployment::ReplicaSet), rawdoc! {"hello": 1})
        .await
        .map_err(&explain)?;
    let deployment = judge(&hello).map_err(&bad)?;
    let upstream = upstream(deployment);
    prepare(&upstream).await.map_err(&explain)?;
    check_format(&upstream).await?;
    Ok(upstream)
}

/// MongoDB's own rules, and what would get in the way of others. Source: MongoDB manual, "Naming Restrictions".
fn check_database_name(name: &str) -> Result<(), String> {
    let forbidden = |c: char| "/\\. \"$*<>:|?~\0".contains(c);
    if name.is_empty() || name.len() > 63 || name.contains(forbidden) {
        return Err(format!("`{name}` cannot be the name of a database"));
    }
    if ["admin", "config", "local"].contains(&name) {
        return Err(format!("the database `{name}` is MongoDB's own"));
    }
    Ok(())
}

/// What kind of deployment answered so, if it will do.
fn judge(hello: &RawDocument) -> Result<Deployment, String> {
    let version = hello.get_i32("maxWireVersion").unwrap_or_default();
    if version < WIRE_VERSION_MIN {
        return Err(format!(
            "MongoDB 5.0 or newer is needed (wire version {WIRE_VERSION_MIN}), this one has wire version {version}"
        ));
    }
    if hello.get_str("msg").ok() == Some("isdbgrid") {
        return Ok(Deployment::Sharded);
    }
    if hello.get_str("setName").is_ok() {
        return Ok(Deployment::ReplicaSet);
    }
    if !hello.get_bool("isWritablePrimary").unwrap_or_default() {
        return Err("it takes no writes, and belongs to no replica set".to_owned());
    }
    tracing::warn!(
        "the MongoDB that holds the log is a standalone: what is acknowledged is on one disk only, and other processes' \
         writes are noticed when they are looked for; a replica set keeps it on several"
    );
    Ok(Deployment::Standalone)
}

/// Runs a command until it has an answer, or patience ends.
async fn setup(upstream: &Upstream, command: RawDocumentBuf) -> Result<RawDocumentBuf, Failure> {
    let mut attempts = Attempts::new(upstream.patience);
    loop {
        match upstream.run(command.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(failure @ Failure::Refused { .. }) => return Err(failure),
            Err(failure) if attempts.is_over() => return Err(failure),
            Err(_) => attempts.pause().await,
        }
    }
}

/// Creates the collections and indexes that are not there. Several processes may do so at once.
async fn prepare(upstream: &Upstream) -> Result<(), Failure> {
    for collection in [WAL_ENTRIES, WAL_PARTS] {
        let create = rawdoc! {"create": collection, "writeConcern": durable()};
        match setup(upstream, create).await {
            Ok(_)
            | Err(Failure::Refused {
                code: NAMESPACE_EXISTS,
                ..
            }) => {}
            Err(failure) => return Err(failure),
        }
    }
    for (collection, name, lower) in [
        (PROJECTS, "$name", NAME_LOWER),
        (BRANCHES, "$wire_name", WIRE_NAME_LOWER),
    ] {
        // What was stored before there was such a field.
        let mut updates = bson::RawArrayBuf::new();
        updates.push(rawdoc! {
            "q": {lower: {"$exists": false}}, "u": [{"$set": {lower: {"$toLower": name}}}], "multi": true,
        });
        let update = rawdoc! {"update": collection, "updates": updates, "writeConcern": durable()};
        setup(upstream, update).await?;
    }
    let unique =
        |key: RawDocumentBuf, name: &str| rawdoc! {"key": key, "name": name, "unique": true};
    let mut indexes = vec![
        (PROJECTS, unique(rawdoc! {"name": 1}, "name")),
        (
            PROJECTS,
            unique(rawdoc! {NAME_LOWER: 1}, NAME_LOWER.as_str()),
        ),
        (
            BRANCHES,
            unique(rawdoc! {"project_id": 1, "name": 1}, "name"),
        ),
        (
            BRANCHES,
            unique(rawdoc! {"project_id": 1, "wire_name": 1}, "wire_name"),
        ),
        (
            BRANCHES,
            unique(
                rawdoc! {"project_id": 1, WIRE_NAME_LOWER: 1},
                WIRE_NAME_LOWER.as_str(),
            ),
        ),
        (
            BRANCHES,
            rawdoc! {"key": {"parent_id": 1}, "name": "parent"},
        ),
    ];
    if upstream.deployment == Deployment::Sharded {
        // There, `_id` is unique per shard only. This lets the collection be sharded by branch, as documented.
        let key = rawdoc! {"branch_id": 1, "lsn": 1};
        indexes.push((WAL_ENTRIES, unique(key, "position")));
        indexes.push((
            WAL_PARTS,
            rawdoc! {"key": {"branch_id": 1}, "name": "branch"},
        ));
    }
    for (collection, index) in indexes {
        let mut list = bson::RawArrayBuf::new();
        list.push(index);
        let command = rawdoc! {
            "createIndexes": collection, "indexes": list, "writeConcern": durable(),
        };
        setup(upstream, command).await?;
    }
    Ok(())
}

async fn check_format(upstream: &Upstream) -> Result<()> {
    let version = i64::from(FORMAT_VERSION);
    // A replacement that finds its document changes nothing: the first process decides.
    let update = rawdoc! {
        "q": {"_id": "format"}, "u": {"$setOnInsert": {"version": version}}, "upsert": true,
    };
    let mut updates = bson::RawArrayBuf::new();
    updates.push(update);
    let reply = upstream
        .persist(rawdoc! {"update": FORMAT, "updates": updates, "writeConcern": durable()})
        .await?;
    // Two that insert at once: one of them is told so, and finds the other's.
    if let Some((_, failure)) = super::upstream::write_error(&reply)
        && !matches!(failure, Failure::Refused { code, .. } if code == super::upstream::DUPLICATE_KEY)
    {
        return Err(failure.into_error(Made::Perhaps));
    }
    let mut find = Find::new(FORMAT, rawdoc! {"_id": "format"});
    find.limit = Some(1);
    find.level = Level::Local;
    let found = upstream.query(&find).await?;
    let found = found
        .documents
        .first()
        .and_then(|document| document.get_i64("version").ok())
        .and_then(|version| u32::try_from(version).ok())
        .ok_or_else(|| Error::CorruptCatalog {
            what: "the format".into(),
            reason: "its version cannot be read".into(),
        })?;
    if found > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            found,
            supported: FORMAT_VERSION,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (uri, shown) in [
            ("mongodb://h:1,i:2/?replicaSet=rs", "mongodb://h:1,i:2/"),
            ("mongodb://ada:p%40ss@h:1/db", "mongodb://h:1/"),
            ("mongodb://ada:p@ss@h/", "mongodb://h/"),
            (
                "mongodb+srv://ada:secret@c.example.net",
                "mongodb+srv://c.example.net/",
            ),
            (
                "mongodb://h?authMechanismProperties=AWS_SESSION_TOKEN:x",
                "mongodb://h/",
            ),
            ("ada:secret@h", "(not a mongodb:// address)"),
        ] {
            assert_eq!(without_credentials(uri), shown);
        }
    }

    #[test]
    fn deployments_are_judged_by_hello() {
        let primary = || rawdoc! {"maxWireVersion": 17, "isWritablePrimary": true};
        let with = |name: &bson::raw::CStr, value: &str| {
            let mut hello = primary();
            hello.append(name, value);
            hello
        };
        assert_eq!(judge(&primary()), Ok(Deployment::Standalone));
        let set = with(bson::cstr!("setName"), "rs");
        assert_eq!(judge(&set), Ok(Deployment::ReplicaSet));
        let mongos = with(bson::cstr!("msg"), "isdbgrid");
        assert_eq!(judge(&mongos), Ok(Deployment::Sharded));
        assert!(judge(&rawdoc! {"maxWireVersion": 9, "isWritablePrimary": true}).is_err());
        assert!(judge(&rawdoc! {"maxWireVersion": 17, "isWritablePrimary": false}).is_err());
    }

    #[test]
    fn database_names_are_checked() {
        assert!(check_database_name("argon").is_ok());
        for name in ["", "a.b", "a b", "admin", "local", "a~b", "a\0"] {
            assert!(check_database_name(name).is_err(), "{name}");
        }
    }
}
