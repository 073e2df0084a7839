//! The command line against a running server: what it prints, and how it fails.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::server::Argon;
use bson::rawdoc;

const BINARY: &str = env!("CARGO_BIN_EXE_argon");

#[test]
fn branches_are_created_listed_and_deleted() {
    let argon = start(&[]);
    let mut client = argon.connect().unwrap();
    client
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();

    let created = said(&argon, &["branches", "create", "feature/x"]);
    assert_eq!(
        created,
        "created branch feature/x of shop: database shop~feature-x\n"
    );
    let listed = said(&argon, &["branches", "list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("BRANCH"), "{listed}");
    assert!(
        lines[1].starts_with("feature/x  shop~feature-x  main"),
        "{listed}"
    );
    assert!(lines[2].starts_with("main       shop"), "{listed}");
    assert_eq!(lines.len(), 3, "{listed}");

    let json = said(&argon, &["branches", "list", "--json", "--project", "shop"]);
    let branches: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(branches[0]["database"], "shop~feature-x");

    said(
        &argon,
        &[
            "branches",
            "create",
            "early",
            "--from",
            "feature/x",
            "--at",
            "0",
        ],
    );
    let early = client
        .run_ok("shop~early", &rawdoc! {"count": "c"})
        .unwrap();
    assert_eq!(early.get_i32("n").unwrap(), 0);
    // It was forked where main stood before its first write, so nothing hangs on the branch it was named by.
    said(&argon, &["branches", "delete", "early"]);
    assert_eq!(
        said(&argon, &["branches", "delete", "feature/x"]),
        "deleted branch feature/x of shop\n"
    );
    assert_eq!(
        said(&argon, &["projects", "list"]),
        "PROJECT  BRANCHES\nshop     1\n"
    );
}

#[test]
fn projects_are_created_and_dropped() {
    let argon = start(&[]);
    assert_eq!(
        said(&argon, &["projects", "create", "one"]),
        "created project one\n"
    );
    said(&argon, &["projects", "create", "two"]);
    // Which one?
    failed(&argon, &["branches", "list"], "--project");
    said(&argon, &["branches", "list", "--project", "two"]);
    assert_eq!(
        said(&argon, &["projects", "drop", "one", "--yes"]),
        "dropped project one\n"
    );
    let listed = said(&argon, &["projects", "list", "--json"]);
    let projects: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(projects.as_array().unwrap().len(), 1);
    // Nobody types the name.
    failed(&argon, &["projects", "drop", "two"], "not dropped");
}

#[test]
fn failures_go_to_standard_error_and_end_with_1() {
    let argon = start(&[]);
    failed(&argon, &["branches", "list"], "no project");
    said(&argon, &["projects", "create", "shop"]);
    failed(
        &argon,
        &["branches", "create", "x", "--from", "nothing"],
        "createBranch",
    );
    failed(&argon, &["branches", "delete", "main"], "main branch");
    let output = argon_with(
        "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100",
        &["projects", "list"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot reach"),
        "{output:?}"
    );
}

#[test]
fn a_configuration_file_is_heeded_and_flags_win() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("argon.toml");
    fs::write(&file, "auto-branch = true\nconnections-max = 7\n").unwrap();
    let argon = start(&["--config", file.to_str().unwrap(), "--connections-max", "9"]);
    let mut client = argon.connect().unwrap();
    client.run_ok("shop", &rawdoc! {"create": "c"}).unwrap();
    // auto-branch: naming it creates it.
    client
        .run_ok(
            "shop~new",
            &rawdoc! {"insert": "c", "documents": [{"_id": 1}]},
        )
        .unwrap();
    let options = client
        .run_ok("admin", &rawdoc! {"getCmdLineOpts": 1})
        .unwrap();
    let net = options
        .get_document("parsed")
        .unwrap()
        .get_document("net")
        .unwrap();
    assert_eq!(net.get_i32("maxIncomingConnections").unwrap(), 9);

    fs::write(&file, "colour = 'red'\n").unwrap();
    let output = Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("colour"),
        "{output:?}"
    );
}

#[test]
fn engines_are_chosen_and_shown() {
    let argon = start(&[]);
    said(&argon, &["projects", "create", "shop"]);
    said(&argon, &["branches", "create", "a", "--engine", "wal"]);
    said(&argon, &["branches", "create", "b", "--use-wal"]);
    failed(
        &argon,
        &["branches", "create", "c", "--engine", "prefix"],
        "kept in Argon's log",
    );
    let output = argon_with(
        &argon.uri(),
        &["branches", "create", "c", "--engine", "wal", "--use-wal"],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let listed = said(&argon, &["branches", "list", "--show-type"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("BRANCH  TYPE   DATABASE"), "{listed}");
    assert!(lines[1].starts_with("a       [WAL]  shop~a"), "{listed}");
    assert_eq!(lines.len(), 4, "{listed}");
}

#[test]
fn turning_the_log_off_stops_what_is_new_and_nothing_else() {
    let mut argon = start(&[]);
    let mut client = argon.connect().unwrap();
    let insert = rawdoc! {"insert": "c", "documents": [{"a": 1}]};
    client.run_ok("shop", &insert).unwrap();
    said(&argon, &["branches", "create", "old"]);
    assert_eq!(said(&argon, &["config", "get", "wal.enabled"]), "true\n");
    assert_eq!(
        said(&argon, &["config", "set", "wal.enabled", "false"]),
        "wal.enabled is false\n"
    );

    let check = |argon: &Argon, why: &str| {
        let mut client = argon.connect().unwrap();
        failed(
            argon,
            &["branches", "create", "new", "--project", "shop"],
            why,
        );
        failed(
            argon,
            &[
                "branches",
                "create",
                "new",
                "--project",
                "shop",
                "--use-wal",
            ],
            why,
        );
        failed(argon, &["projects", "create", "other"], why);
        let reply = client.run_command("other", &insert).unwrap();
        assert_eq!(reply.get_i32("code").unwrap(), 115, "{reply:?}");
        // What is there goes on.
        for database in ["shop", "shop~old"] {
            client.run_ok(database, &insert).unwrap();
            let before = client.run_ok(database, &rawdoc! {"count": "c"}).unwrap();
            assert!(before.get_i32("n").unwrap() > 1, "{before:?}");
        }
        assert_eq!(said(argon, &["config", "get", "wal.enabled"]), "false\n");
    };
    check(&argon, "argon config set wal.enabled true");
    // It is the store's, not the process's.
    argon.stop().unwrap();
    argon.restart().unwrap();
    check(&argon, "argon config set wal.enabled true");

    said(&argon, &["config", "set", "wal.enabled", "true"]);
    said(&argon, &["branches", "create", "new", "--project", "shop"]);
    let listed = said(&argon, &["config", "list", "--json"]);
    let settings: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(settings[0]["name"], "wal.enabled");
    assert_eq!(settings[0]["source"], "stored");
    assert_eq!(settings[2]["name"], "wal.rollout-percent");
    assert_eq!(settings[2]["value"], "100");
    assert_eq!(settings[2]["source"], "default");
}

#[test]
fn settings_can_come_from_the_start_and_be_changed_later() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("argon.toml");
    fs::write(
        &file,
        "enable-wal-branches = false\nwal-rollout-percent = 25\n",
    )
    .unwrap();
    let argon = start(&[
        "--config",
        file.to_str().unwrap(),
        "--wal-rollout-percent",
        "50",
    ]);
    failed(&argon, &["projects", "create", "shop"], "wal.enabled");
    assert_eq!(
        said(&argon, &["config", "get", "wal.rollout-percent"]),
        "50\n"
    );
    said(&argon, &["config", "set", "wal.enabled", "true"]);
    said(&argon, &["projects", "create", "shop"]);
    said(&argon, &["config", "unset", "wal.enabled"]);
    failed(&argon, &["branches", "create", "x"], "wal.enabled");

    failed(
        &argon,
        &["config", "get", "colour"],
        "no setting is called colour",
    );
    failed(
        &argon,
        &["config", "set", "colour", "red"],
        "no setting is called 'colour'",
    );
    failed(
        &argon,
        &["config", "set", "wal.enabled", "maybe"],
        "neither true nor false",
    );
    failed(
        &argon,
        &["config", "set", "wal.rollout-percent", "101"],
        "from 0 to 100",
    );
    failed(
        &argon,
        &["config", "set", "wal.new-branches-only", "false"],
        "cannot be moved",
    );
    let output = Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("data"))
        .env("WAL_NEW_BRANCHES_ONLY", "false")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot be moved"),
        "{output:?}"
    );
}

#[test]
fn the_share_of_new_databases_that_goes_to_the_log_is_heeded_at_once() {
    let mongod = Mongod::start(Options {
        replica_set: true,
        volatile: true,
    })
    .unwrap();
    let uri = format!("mongodb://{}/?replicaSet=rs", mongod.addr());
    let argon = start(&["--mongodb-uri", &uri]);
    let mut client = argon.connect().unwrap();
    let insert = rawdoc! {"insert": "c", "documents": [{"_id": 1}]};
    let mut is_project = |name: &str| {
        client.run_ok(name, &insert).unwrap();
        said(&argon, &["projects", "list"]).contains(name)
    };
    assert!(is_project("all"));
    said(&argon, &["config", "set", "wal.rollout-percent", "0"]);
    assert!(!is_project("none"));
    said(&argon, &["config", "set", "wal.rollout-percent", "100"]);
    said(&argon, &["config", "set", "wal.enabled", "false"]);
    assert!(!is_project("off"));
    // What exists stays where it is.
    assert!(is_project_still(&argon, "all"));
    said(&argon, &["config", "set", "wal.enabled", "true"]);
    assert!(!is_project_still(&argon, "off"));
    for (name, there) in [("all", 0), ("none", 1), ("off", 1)] {
        let count = mongod
            .connect()
            .unwrap()
            .run_ok(name, &rawdoc! {"count": "c"})
            .unwrap();
        assert_eq!(count.get_i32("n").unwrap(), there, "{name}");
    }
}

fn is_project_still(argon: &Argon, name: &str) -> bool {
    let reply = argon
        .connect()
        .unwrap()
        .run_ok(name, &rawdoc! {"count": "c"})
        .unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 1, "{name}");
    said(argon, &["projects", "list"]).contains(name)
}

#[test]
fn shutdown_stops_the_server() {
    let mut argon = start(&[]);
    let mut client = argon.connect().unwrap();
    client
        .run_ok("shop", &rawdoc! {"insert": "c", "documents": [{"_id": 1}]})
        .unwrap();
    client.run_ok("admin", &rawdoc! {"shutdown": 1}).unwrap();
    while argon.is_running().unwrap() {
        std::thread::yield_now();
    }
    argon.restart().unwrap();
    let reply = argon
        .connect()
        .unwrap()
        .run_ok("shop", &rawdoc! {"count": "c"})
        .unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 1);
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(BINARY)
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("branches"),
            "{shell}"
        );
    }
}

fn start(args: &[&str]) -> Argon {
    Argon::start_with(Path::new(BINARY), None, args).unwrap()
}

fn argon_with(uri: &str, args: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .env("ARGON_URI", uri)
        .stdin(std::process::Stdio::null());
    command.output().unwrap()
}

/// What a command that succeeds says.
#[track_caller]
fn said(argon: &Argon, args: &[&str]) -> String {
    let output = argon_with(&argon.uri(), args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that a command fails and says `why`.
#[track_caller]
fn failed(argon: &Argon, args: &[&str], why: &str) {
    let output = argon_with(&argon.uri(), args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(why),
        "{output:?}"
    );
}
