//! Dependencies between the workspace's packages point one way.

use crate::metadata::{is_own, packages};

/// Package, and which packages of the workspace it may depend on. Cargo refuses cycles; this is
/// the rest.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "argon",
        &[
            "argon-engine",
            "argon-server",
            "argon-storage",
            "argon-upstream",
        ],
    ),
    ("argon-compare", &["argon-testkit"]),
    // The benchmarks, a program of their own.
    ("argon-compare", &["argon-testkit"]),
    // The consistency test, a program of its own.
    ("argon-consistency", &["argon-testkit"]),
    // The application on the Rust driver, a program of its own.
    ("argon-driver-test", &[]),
    ("argon-engine", &["argon-mql", "argon-storage"]),
    ("argon-mql", &[]),
    ("argon-prefix", &["argon-mql"]),
    (
        "argon-server",
        &[
            "argon-engine",
            "argon-mql",
            "argon-prefix",
            "argon-upstream",
            "argon-wire",
        ],
    ),
    ("argon-storage", &["argon-upstream"]),
    (
        "argon-testkit",
        &["argon-mql", "argon-server", "argon-wire"],
    ),
    ("argon-upstream", &["argon-wire"]),
    ("argon-wire", &[]),
];

#[test]
fn dependencies_point_one_way() {
    for package in packages().iter().filter(|package| is_own(package)) {
        let name = package["name"].as_str().unwrap();
        let Ok(row) = MAY_USE.binary_search_by_key(&name, |(name, _)| name) else {
            panic!("{name} is a new package: give it a row in tests/it/layering.rs");
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let own = dependency["path"].is_string();
            let test_only = dependency["kind"] == "dev";
            assert!(
                !own || test_only || MAY_USE[row].1.contains(&used),
                "{name} must not depend on {used}"
            );
        }
    }
}

#[test]
fn rows_are_sorted() {
    assert!(MAY_USE.is_sorted());
}
