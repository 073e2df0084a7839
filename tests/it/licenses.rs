//! Every dependency may be used in an Apache-2.0 program.
//!
//! A test over `cargo metadata` rather than `cargo-deny`, which takes minutes to compile on a
//! machine that has only Rust.

use crate::metadata::{is_own, packages};

/// Licenses that put no condition on the program beyond keeping their text.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Of the root certificates that the client trusts: data, and permissive.
    "CDLA-Permissive-2.0",
    // Of the decNumber library, from IBM's ICU: a permissive license like MIT's.
    "ICU",
    "ISC",
    "MIT",
    "MIT-0",
    // File-level copyleft: conditions on changes to those files only.
    "MPL-2.0",
    "MPL-2.0+",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn every_dependency_is_allowed() {
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !is_own(package))
        .filter_map(|package| {
            let license = package["license"].as_str().unwrap_or("no license");
            (!is_allowed(license)).then(|| format!("{}: {license}", package["name"]))
        })
        .collect();
    assert!(refused.is_empty(), "not in ALLOWED: {refused:#?}");
}

/// Evaluates a license expression: of an `OR` one side is enough, of an `AND` both are needed.
///
/// Source: SPDX specification, "SPDX license expressions". `/` is an older spelling of `OR`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split(expression, " OR ") {
        return is_allowed(left) || is_allowed(right);
    }
    if let Some((left, right)) = split(expression, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    match expression
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
    {
        Some(inner) => is_allowed(inner),
        None => ALLOWED.contains(&expression),
    }
}

/// Splits at the first `operator` that is not inside parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    expression.match_indices(operator).find_map(|(at, _)| {
        let (left, right) = (&expression[..at], &expression[at + operator.len()..]);
        (left.matches('(').count() == left.matches(')').count()).then_some((left, right))
    })
}

#[test]
fn expressions() {
    assert!(is_allowed("MIT"));
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("GPL-3.0 OR MIT"));
    assert!(is_allowed("(MIT OR GPL-3.0) AND Unicode-3.0"));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0"));
    assert!(!is_allowed("(MIT OR Apache-2.0) AND GPL-3.0"));
    assert!(!is_allowed("SSPL-1.0"));
}

#[test]
fn the_list_is_sorted() {
    assert!(ALLOWED.is_sorted());
}
