//! What commands name in other databases stays on their side, and out of branches.

use argon_testkit::client::Client;
use bson::raw::RawDocumentBuf;
use bson::rawdoc;

use super::{Rig, code, count, fill};

const UNAUTHORIZED: i32 = 13;
const INVALID_NAMESPACE: i32 = 73;
const NOT_SUPPORTED: i32 = 115;

fn aggregate(stage: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! {"aggregate": "c", "pipeline": [stage], "cursor": {}}
}

/// Commands that name `collection` of `database` on another one, by each way there is.
fn reaching(from: &str, database: &str, collection: &str) -> Vec<(&'static str, RawDocumentBuf)> {
    let place = rawdoc! {"db": database, "coll": collection};
    let merge = aggregate(rawdoc! {"$merge": {"into": place.clone()}});
    let rename = rawdoc! {
        "renameCollection": format!("{from}.c"), "to": format!("{database}.{collection}"), "dropTarget": true,
    };
    vec![
        ("own", aggregate(rawdoc! {"$out": place})),
        ("own", merge.clone()),
        ("own", rawdoc! {"explain": merge}),
        (
            "own",
            rawdoc! {
                "mapReduce": "c", "map": "function() { emit(1, 1) }", "reduce": "function() { return 1 }",
                "out": {"replace": collection, "db": database},
            },
        ),
        ("admin", rename),
    ]
}

fn refused(client: &mut Client, from: &str, database: &str, collection: &str, expected: i32) {
    for (on, command) in reaching(from, database, collection) {
        let on = if on == "own" { from } else { on };
        let reply = client.run_command(on, &command).unwrap();
        assert_eq!(code(&reply), Some(expected), "{command:?}: {reply:?}");
    }
}

#[test]
fn a_pipeline_writes_on_its_own_side_only() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "plain", 3);
    fill(&mut direct, "reports", 1);
    fill(&mut direct, "kept", 2);
    fill(&mut through, "log", 5);
    let branch = rawdoc! {"createBranch": "x", "engine": "prefix"};
    through.run_ok("kept", &branch).unwrap();
    through
        .run_ok("log", &rawdoc! {"createBranch": "y"})
        .unwrap();

    // From the log: into another project, and nowhere else.
    let out = |database: &str| aggregate(rawdoc! {"$out": {"db": database, "coll": "got"}});
    through.run_ok("log", &out("log2")).unwrap();
    assert_eq!(count(&mut through, "log2", "got"), 5);
    for database in ["plain", "kept", "kept~x"] {
        let reply = through.run_command("log", &out(database)).unwrap();
        assert_eq!(code(&reply), Some(NOT_SUPPORTED), "{database}: {reply:?}");
        let merge = aggregate(rawdoc! {"$merge": {"into": {"db": database, "coll": "got"}}});
        let reply = through.run_command("log~y", &merge).unwrap();
        assert_eq!(code(&reply), Some(NOT_SUPPORTED), "{database}: {reply:?}");
    }
    let reply = through.run_command("log", &out("argon")).unwrap();
    assert_eq!(code(&reply), Some(UNAUTHORIZED), "{reply:?}");

    // From an upstream database: into others, and into main of one that has branches, but not into what a branch has.
    for database in ["reports", "kept", "new"] {
        through.run_ok("plain", &out(database)).unwrap();
        assert_eq!(count(&mut direct, database, "got"), 3);
    }
    for database in ["log", "log~y", "kept~x"] {
        refused(&mut through, "plain", database, "c", NOT_SUPPORTED);
    }
    refused(
        &mut through,
        "plain",
        "kept",
        "branch_x_c",
        INVALID_NAMESPACE,
    );
    for database in ["argon", "local", "config"] {
        refused(&mut through, "plain", database, "c", UNAUTHORIZED);
    }

    // From main beside a branch likewise; a branch reaches plain databases only.
    through.run_ok("kept", &out("plain")).unwrap();
    through.run_ok("kept~x", &out("plain")).unwrap();
    assert_eq!(count(&mut direct, "plain", "got"), 2);
    for database in ["log", "kept~x"] {
        refused(&mut through, "kept", database, "c", NOT_SUPPORTED);
        if database != "kept~x" {
            refused(&mut through, "kept~x", database, "c", NOT_SUPPORTED);
        }
    }
    refused(&mut through, "kept~x", "kept", "c", NOT_SUPPORTED);
    refused(&mut through, "kept", "argon", "branches", UNAUTHORIZED);

    // Nothing of it was made, and nothing is damaged.
    assert_eq!(count(&mut through, "kept~x", "c"), 2);
    assert_eq!(count(&mut through, "kept", "c"), 2);
    assert_eq!(count(&mut through, "log", "c"), 5);
    assert_eq!(count(&mut through, "log~y", "c"), 5);
    assert_eq!(count(&mut direct, "plain", "c"), 3);
}

#[test]
fn the_deployments_own_log_is_not_to_be_read() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "plain", 1);
    let lookup = aggregate(
        rawdoc! {"$lookup": {"from": {"db": "local", "coll": "oplog.rs"}, "pipeline": [], "as": "o"}},
    );
    direct.run_ok("plain", &lookup).unwrap();
    let reply = through.run_command("plain", &lookup).unwrap();
    assert_eq!(code(&reply), Some(UNAUTHORIZED), "{reply:?}");
}

#[test]
fn no_command_reaches_the_whole_deployment() {
    let rig = Rig::start("", &[]);
    let (mut direct, mut through) = rig.connect();
    fill(&mut direct, "plain", 1);
    let note = rawdoc! {"op": "i", "ns": "argon.branches", "o": {"_id": 1}};
    let commands = [
        (rawdoc! {"applyOps": [note]}, 115),
        (rawdoc! {"setUserWriteBlockMode": 1, "global": true}, 115),
        (rawdoc! {"createUser": "x", "pwd": "x", "roles": []}, 115),
        (
            rawdoc! {"clusterAggregate": "c", "pipeline": [{"$out": {"db": "argon", "coll": "x"}}], "cursor": {}},
            59,
        ),
        (rawdoc! {"_shardsvrDropDatabase": 1}, 59),
        (rawdoc! {"createProject": 1}, UNAUTHORIZED),
    ];
    for (command, expected) in commands {
        let on = match command.get("createProject").unwrap() {
            Some(_) => "argon",
            None => "plain",
        };
        let reply = through.run_command(on, &command).unwrap();
        assert_eq!(code(&reply), Some(expected), "{command:?}: {reply:?}");
    }
}
