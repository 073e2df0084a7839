//! Logging in to the deployment: the log's store, what passes through, copies and the import each do.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use argon_testkit::client::Client;
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::server::Argon;
use bson::rawdoc;
use mongodb::bson::{Document, doc};
use rand::Rng as _;

use super::{count, drive, fill, import};

const BINARY: &str = env!("CARGO_BIN_EXE_argon");

/// A user's password that has to be escaped in a connection string, and prepared before it is hashed.
const PASSWORD: &str = "p\u{e4}:s/s @\u{2168}?";
const ESCAPED: &str = "p%C3%A4%3As%2Fs%20%40%E2%85%A8%3F";

/// A replica set of one member that asks who one is.
fn guarded() -> Mongod {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    write_key_file(&key);
    let options = Options {
        replica_set: true,
        volatile: true,
    };
    let mongod = Mongod::start_with(options, &["--keyFile", key.to_str().unwrap()]).unwrap();
    // Whoever comes from the same machine may make the first user.
    let root = rawdoc! {"createUser": "root", "pwd": "root", "roles": ["root"]};
    mongod.connect().unwrap().run_ok("admin", &root).unwrap();
    mongod
}

/// Writes a secret by which members of a set would know each other.
pub(super) fn write_key_file(path: &Path) {
    let random: [u8; 24] = rand::rng().random();
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn address(mongod: &Mongod, who: &str, query: &str) -> String {
    format!("mongodb://{who}{}/?appName=test{query}", mongod.addr())
}

/// Runs commands as root, each on its database.
fn as_root(mongod: &Mongod, commands: Vec<(&str, Document)>) {
    drive(async {
        let uri = address(mongod, "root:root@", "&directConnection=true");
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        for (database, command) in commands {
            client
                .database(database)
                .run_command(command)
                .await
                .unwrap();
        }
    });
}

fn user(name: &str, roles: Vec<Document>, mechanisms: &[&str]) -> Document {
    doc! {"createUser": name, "pwd": PASSWORD, "roles": roles, "mechanisms": mechanisms}
}

fn any_database() -> Vec<Document> {
    vec![
        doc! {"role": "readWriteAnyDatabase", "db": "admin"},
        doc! {"role": "dbAdminAnyDatabase", "db": "admin"},
    ]
}

/// A server before the deployment at `uri`, or what it said before it ended.
pub(super) fn serve(uri: &str) -> Result<Argon, String> {
    Argon::start_with(Path::new(BINARY), None, &["--mongodb-uri", uri])
        .map_err(|error| format!("{error:#}"))
}

/// The log, a database that passes through, a copy, and the import from the same address.
pub(super) fn everything_works(uri: &str, collection: &str) {
    let argon = serve(uri).unwrap();
    let mut client = argon.connect().unwrap();
    let project = format!("log_{collection}");
    fill(&mut client, &project, 3);
    assert_eq!(count(&mut client, &project, "c"), 3);
    let insert = rawdoc! {"insert": collection, "documents": [{"_id": 2}]};
    client.run_ok("shop", &insert).unwrap();
    assert_eq!(count(&mut client, "shop", collection), 1);
    let branch = format!("b_{collection}");
    let create = rawdoc! {"createBranch": branch.as_str(), "engine": "prefix"};
    client.run_ok("shop", &create).unwrap();
    let branch = format!("shop~{branch}");
    assert_eq!(count(&mut client, &branch, collection), 1);
    let project = format!("copy_{collection}");
    import(uri, "shop", &argon, &project);
    assert_eq!(count(&mut client, &project, collection), 1);
}

#[test]
fn every_way_of_logging_in_serves_every_part() {
    let mongod = guarded();
    let both = ["SCRAM-SHA-1", "SCRAM-SHA-256"];
    as_root(
        &mongod,
        vec![
            ("admin", user("ada", any_database(), &both)),
            ("admin", user("old", any_database(), &["SCRAM-SHA-1"])),
            ("apps", user("app", any_database(), &["SCRAM-SHA-256"])),
            ("shop", doc! {"insert": "there", "documents": [{"_id": 1}]}),
        ],
    );
    let ways = [
        ("ada", "", "negotiated"),
        ("ada", "&authMechanism=SCRAM-SHA-1", "sha1"),
        ("ada", "&authMechanism=SCRAM-SHA-256", "sha256"),
        ("old", "", "old"),
        ("app", "&authSource=apps", "source"),
    ];
    for (name, query, collection) in ways {
        let uri = address(&mongod, &format!("{name}:{ESCAPED}@"), query);
        everything_works(&uri, collection);
    }
}

#[test]
fn who_cannot_log_in_or_may_not_hears_why() {
    let mongod = guarded();
    let narrow = vec![doc! {"role": "readWrite", "db": "shop"}];
    as_root(
        &mongod,
        vec![
            ("admin", user("ada", any_database(), &["SCRAM-SHA-256"])),
            ("admin", user("narrow", narrow, &["SCRAM-SHA-256"])),
        ],
    );
    let who = |name: &str, password: &str| format!("{name}:{password}@");
    let cases = [
        (who("ada", "wrong"), "", "does not take the credentials"),
        (who("nobody", ESCAPED), "", "does not take the credentials"),
        (
            who("ada", ESCAPED),
            "&authSource=shop",
            "does not take the credentials",
        ),
        (
            who("ada", ESCAPED),
            "&authMechanism=SCRAM-SHA-1",
            "does not take the credentials",
        ),
        (
            who("narrow", ESCAPED),
            "",
            "needs the role readWrite on the database `argon`",
        ),
        (String::new(), "", "asks for a user and a password"),
    ];
    for (who, query, said) in cases {
        let error = serve(&address(&mongod, &who, query)).unwrap_err();
        assert!(error.contains(said), "{who} {query}: {error}");
        assert!(
            !error.contains(ESCAPED) && !error.contains(PASSWORD),
            "{error}"
        );
    }
}

#[test]
fn what_the_user_may_not_do_the_clients_may_not() {
    let mongod = guarded();
    let roles = vec![
        doc! {"role": "readWrite", "db": "argon"},
        doc! {"role": "read", "db": "shop"},
    ];
    as_root(
        &mongod,
        vec![
            ("admin", user("narrow", roles, &["SCRAM-SHA-256"])),
            ("shop", doc! {"insert": "c", "documents": [{"_id": 1}]}),
            ("hidden", doc! {"insert": "c", "documents": [{"_id": 1}]}),
        ],
    );
    let argon = serve(&address(&mongod, &format!("narrow:{ESCAPED}@"), "")).unwrap();
    let mut client = argon.connect().unwrap();
    assert_eq!(count(&mut client, "shop", "c"), 1);
    let refused = |client: &mut Client, command: &bson::RawDocument| {
        let reply = client.run_command("shop", command).unwrap();
        assert_eq!(super::code(&reply), Some(13), "{command:?}: {reply:?}");
    };
    refused(
        &mut client,
        &rawdoc! {"insert": "c", "documents": [{"_id": 2}]},
    );
    refused(
        &mut client,
        &rawdoc! {"createBranch": "x", "engine": "prefix"},
    );
    // The copy that failed has left nothing, and the database goes on passing through.
    let listed = client.run_ok("shop", &rawdoc! {"listBranches": 1}).unwrap();
    let cursor = listed.get_document("cursor").unwrap();
    let branches = cursor.get_array("firstBatch").unwrap();
    assert_eq!(branches.into_iter().count(), 1, "{listed:?}");
    assert_eq!(count(&mut client, "shop", "c"), 1);
}
