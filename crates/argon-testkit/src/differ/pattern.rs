//! Regular expressions with features that few use, in filters and expressions.

use super::random::Random;

/// Patterns as they stand in JSON. Not `[\d-x]`, `\8`, `{,2}` and
/// endless recursion, which PCRE 8 reads otherwise than PCRE2.
const PATTERNS: &[&str] = &[
    "^a",
    "a$",
    "^$",
    "",
    ".",
    "a.c",
    "a+?b",
    "(a)(b)?\\\\2",
    "(a|b)\\\\1",
    "(?<x>a)\\\\k<x>",
    "(?P<x>b)(?P=x)",
    "(?i)AB",
    "(?i:A)b",
    "(?x) a b # c",
    "(?s)a.b",
    "(?m)^b$",
    "\\\\Aa",
    "b\\\\z",
    "b\\\\Z",
    "\\\\bword\\\\b",
    "\\\\Bo",
    "\\\\d+",
    "\\\\D",
    "\\\\w{2,3}",
    "\\\\W",
    "\\\\s",
    "\\\\S+$",
    "\\\\h",
    "\\\\R",
    "\\\\x61",
    "\\\\u0061",
    "\\\\x{e9}",
    "\\\\p{L}+",
    "\\\\p{Lu}",
    "\\\\P{N}",
    "\\\\pN",
    "[[:alpha:]]+",
    "[[:digit:][:space:]]",
    "[^[:word:]]",
    "[a-c&&b]",
    "[]a]",
    "[^]a]",
    "[a\\\\-z]",
    "(?=a)",
    "(?!a)b",
    "(?<=a)b",
    "(?<!a)b",
    "(?>a+)b",
    "a++b",
    "a*+",
    "(?:ab)+",
    "(?|(a)|(b))\\\\1",
    "(a(?1)?b)",
    "\\\\Qa.b\\\\E",
    "\\\\Ka",
    "a\\\\Kb",
    "(*UTF8)é",
    "é",
    "[à-ü]",
    "É",
    "日.",
    "a{0}",
    "a{2}",
    "a{1,}",
    "x{3}{2}",
    "a|",
    "|",
    "(",
    ")",
    "[",
    "*a",
    "a**",
    "\\\\",
    "(?<",
    "(?z)",
    "\\\\1",
    "a\\\\0",
    "(?(1)a|b)",
    "(a)?(?(1)b|c)",
    "(?#comment)a",
    "\\\\cA",
    "\\\\e",
    "\\\\N",
    "\\\\X",
    "\\\\C",
    "^ab{0,1}c",
    "^a\\\\.b",
    "^\\\\Qa.\\\\E",
    "^(ab|ac)",
    "^a?b",
    "^[ab]c",
    "(?i)^ab",
    "\\\\v",
    "\\\\H",
    "\\\\G",
    "[[:^alpha:]]",
    "[[.a.]]",
    "\\\\o{141}",
    "\\\\g1",
    "(a)\\\\g{-1}",
    "(?'n'a)\\\\k'n'",
    "(?J)(?<n>a)|(?<n>b)",
];
const OPTIONS: &[&str] = &[
    "", "", "", "i", "m", "s", "x", "im", "u", "g", "si", "ix", "ii",
];
const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "AB",
    "aB",
    "abc",
    "a.b",
    "a.bc",
    "aab",
    "abab",
    "bb",
    "aa",
    "a\\nb",
    "b\\n",
    "a\\r\\nb",
    "word",
    "some word here",
    "words",
    "é",
    "É",
    "éa",
    "日本",
    "12",
    "1 2",
    "a-b",
    "a b",
    "]",
    "-",
    "xxxxxx",
    "ac",
    "abbc",
    "(",
    "a\\u0000b",
    "aabb",
    "\\u00e0",
    "_",
    "\\t",
    "x1y2",
];

pub(super) fn text(random: &mut Random) -> String {
    format!("\"{}\"", random.pick(TEXTS))
}

/// A filter on a string.
pub(super) fn filter(random: &mut Random) -> String {
    let path = random.pick(&["s", "l", "o.s"]);
    let (pattern, options) = (random.pick(PATTERNS), random.pick(OPTIONS));
    let as_value = format!(
        "{{\"$regularExpression\": {{\"pattern\": \"{pattern}\", \"options\": \"{options}\"}}}}"
    );
    let condition = match random.below(7) {
        0 => as_value,
        1 => format!("{{\"$regex\": {as_value}}}"),
        2 => format!("{{\"$in\": [{as_value}, {}]}}", text(random)),
        3 => format!("{{\"$not\": {as_value}}}"),
        4 => format!("{{\"$regex\": \"{pattern}\"}}"),
        _ => format!("{{\"$regex\": \"{pattern}\", \"$options\": \"{options}\"}}"),
    };
    format!("{{\"{path}\": {condition}}}")
}

/// An expression on a string.
pub(super) fn expression(random: &mut Random) -> String {
    let (pattern, options) = (random.pick(PATTERNS), random.pick(OPTIONS));
    let name = random.pick(&["$regexMatch", "$regexFind", "$regexFindAll"]);
    let input = if random.chance(80) {
        "\"$s\"".to_owned()
    } else {
        text(random)
    };
    let regex = if random.chance(50) {
        format!(
            "{{\"$regularExpression\": {{\"pattern\": \"{pattern}\", \"options\": \"{options}\"}}}}"
        )
    } else {
        format!("\"{pattern}\", \"options\": \"{options}\"")
    };
    format!("{{\"{name}\": {{\"input\": {input}, \"regex\": {regex}}}}}")
}

pub(super) fn document(random: &mut Random, id: usize) -> String {
    let list = random.list(0, 2, text);
    format!(
        "{{\"_id\": {id}, \"s\": {}, \"l\": [{list}], \"o\": {{\"s\": {}}}}}",
        text(random),
        text(random)
    )
}
