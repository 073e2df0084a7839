//! Starting and stopping: what a person or a supervisor sees of the server.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use argon_testkit::server::Argon;
use bson::rawdoc;

const BINARY: &str = env!("CARGO_BIN_EXE_argon");

#[test]
fn writes_survive_a_clean_stop() {
    let mut argon = start();
    let insert = rawdoc! {"insert": "c", "documents": [{"_id": 1, "a": "x"}]};
    argon.connect().unwrap().run_ok("startup", &insert).unwrap();
    argon.stop().unwrap();
    argon.restart().unwrap();
    let reply = argon
        .connect()
        .unwrap()
        .run_ok("startup", &rawdoc! {"find": "c"})
        .unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    let batch: Vec<_> = cursor
        .get_array("firstBatch")
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(batch.len(), 1);
}

#[test]
fn a_second_process_on_the_data_is_refused() {
    let argon = start();
    let directory = argon.data_dir().to_str().unwrap();
    let second = serve(&["--listen", "127.0.0.1:0", "--data-dir", directory]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another process"), "it said {said:?}");
    // And the first one does not notice.
    argon
        .connect()
        .unwrap()
        .run_ok("admin", &rawdoc! {"ping": 1})
        .unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    let argon = start();
    let listen = argon.addr().to_string();
    let directory = tempfile::tempdir().unwrap();
    let second = serve(&[
        "--listen",
        &listen,
        "--data-dir",
        directory.path().to_str().unwrap(),
    ]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&listen), "it said {said:?}");
}

#[test]
fn off_loopback_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = serve(&[
        "--listen",
        "0.0.0.0:0",
        "--data-dir",
        directory.path().to_str().unwrap(),
    ]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("loopback"), "it said {said:?}");
}

#[test]
fn an_unknown_branch_says_how_to_create_it() {
    let argon = start();
    let mut client = argon.connect().unwrap();
    client.run_ok("shop", &rawdoc! {"create": "c"}).unwrap();
    for command in [
        rawdoc! {"find": "c"},
        rawdoc! {"insert": "c", "documents": [{"_id": 1}]},
    ] {
        let reply = client.run_command("shop~nothing", &command).unwrap();
        assert_eq!(reply.get_f64("ok").unwrap(), 0.0, "{reply:?}");
        let message = reply.get_str("errmsg").unwrap();
        assert!(message.contains("createBranch"), "{message}");
    }
}

#[test]
fn an_unknown_option_is_refused() {
    let output = serve(&["--no-such-option"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--no-such-option"), "it said {said:?}");
}

fn start() -> Argon {
    Argon::start(Path::new(BINARY)).unwrap()
}

/// Runs `argon serve` with arguments that make it end at once.
fn serve(args: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["60", BINARY, "serve"])
        .args(args)
        .stdin(Stdio::null());
    command.output().unwrap()
}
