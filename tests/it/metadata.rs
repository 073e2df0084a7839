//! What cargo knows about the workspace's packages.

use std::process::Command;

use serde_json::Value;

/// Returns all packages of the dependency graph, the workspace's own included.
pub(crate) fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(argon_testkit::workspace_root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("packages is {other}"),
    }
}

/// Tells whether a package is one of the workspace's own.
pub(crate) fn is_own(package: &Value) -> bool {
    package["source"].is_null()
}
