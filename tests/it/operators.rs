//! The page of operators is what the tables and the cases say, and nothing of MongoDB's is missing.

use std::fs;

use argon_testkit::catalogue::page;

#[test]
fn the_page_is_up_to_date() {
    let page = page::write().unwrap();
    let missing: Vec<_> = page
        .lines()
        .filter(|line| line.contains(page::MISSING))
        .collect();
    assert!(
        missing.is_empty(),
        "MongoDB has these, and Argon neither has nor refuses them:\n{}",
        missing.join("\n")
    );
    let committed = fs::read_to_string(argon_testkit::workspace_root().join(page::PATH)).unwrap();
    assert!(
        page == committed,
        "{} is out of date: just operators, or cargo run -p argon-testkit --bin operators",
        page::PATH
    );
}
