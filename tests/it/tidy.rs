//! Rules about the source text that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file longer than this has become two things.
const LINES_MAX: usize = 900;
/// A file larger than this is data that belongs in a cache or a generator.
const FILE_BYTES_MAX: u64 = 1_000_000;

/// Returns the paths of all files in the repository, new ones included.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(argon_testkit::workspace_root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).unwrap();
    let root = argon_testkit::workspace_root();
    let paths = names.split_terminator('\0').map(|name| root.join(name));
    // A deleted file is listed until the deletion is committed.
    paths.filter(|path| path.is_file()).collect()
}

/// Calls `complain` on each line of the files for which `chosen` holds, and fails on complaints.
#[track_caller]
fn check(chosen: impl Fn(&Path) -> bool, complain: impl Fn(&str) -> Option<String>) {
    let mut complaints = Vec::new();
    for path in files().into_iter().filter(|path| chosen(path)) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            if let Some(complaint) = complain(line) {
                complaints.push(format!("{}:{}: {complaint}", path.display(), index + 1));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn files_are_short() {
    for path in files().into_iter().filter(|path| is_rust(path)) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= LINES_MAX,
            "{}: {lines} lines, more than {LINES_MAX}",
            path.display()
        );
    }
}

#[test]
fn files_are_small() {
    for path in files() {
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(bytes <= FILE_BYTES_MAX, "{}: {bytes} bytes", path.display());
    }
}

#[test]
fn nothing_is_left_to_do() {
    // Put together here, so that this file does not find itself.
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let ignored = format!("#[{}", "ignore");
    check(is_rust, |line| {
        let found = words
            .iter()
            .chain([&ignored])
            .find(|word| line.contains(*word))?;
        Some(format!("{found} in the source"))
    });
}

#[test]
fn packages_are_named_without_their_registry() {
    let hosts: [&[&str]; 5] = [
        &["crates", "io"],
        &["pypi", "org"],
        &["npmjs", "com"],
        &["npmjs", "org"],
        &["debian", "org"],
    ];
    let hosts = hosts.map(|parts| parts.join("."));
    let not_a_lock = |path: &Path| path.extension().is_none_or(|extension| extension != "lock");
    check(not_a_lock, |line| {
        let host = hosts.iter().find(|host| line.contains(*host))?;
        Some(format!("{host}: name the package only"))
    });
}

#[test]
fn every_file_of_tests_is_compiled() {
    let folder = argon_testkit::workspace_root().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    let declared: BTreeSet<String> = main
        .lines()
        .filter_map(|line| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned()))
        .collect();
    let present: BTreeSet<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|name| name != "main")
        .collect();
    assert_eq!(present, declared);
}
