//! Regular expressions as MongoDB has them: PCRE, over UTF-8, with a bound on backtracking.

use std::fmt;

use bstr::{BStr, ByteSlice};

use crate::{Error, Result};

/// Largest compiled pattern, in units of PCRE: a character of text takes one more than its bytes. mongod 6.0.5 takes
/// 32,761 times the letter x, and not once more.
const COMPILED_SIZE_MAX: usize = 65_522;

/// Most steps one match may take before it counts as failed, so that a pattern that backtracks without end cannot
/// hold a command. Of PCRE's order of magnitude for its own default (10,000,000).
const MATCH_STEPS_MAX: u32 = 1_000_000;

/// A compiled regular expression together with its source.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    options: String,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    /// A pattern that is only text, and where it has to stand.
    Prefix(Vec<u8>),
    Contains(Box<bstr::Finder<'static>>),
    Pcre(Box<pcre2::bytes::Regex>),
}

impl Regex {
    /// Compiles `pattern` with the flags `options`, a text of `i`, `m`, `s`, `u` and `x`.
    ///
    /// # Errors
    /// 51091 for a bad pattern, 51108 for an unknown flag, `BadValue` for a zero byte or a pattern that is too long.
    pub fn new(pattern: &BStr, options: &BStr) -> Result<Regex> {
        if pattern.contains(&0) {
            return Err(Error::bad_value(
                "Regular expression cannot contain an embedded null byte",
            ));
        }
        let mut builder = pcre2::bytes::RegexBuilder::new();
        let mut plain = true;
        for &flag in options.iter() {
            match flag {
                b'i' => drop(builder.caseless(true)),
                b'm' => drop(builder.multi_line(true)),
                b's' => drop(builder.dotall(true)),
                b'x' => drop(builder.extended(true)),
                b'u' => continue,
                _ => {
                    return Err(Error::location(
                        51108,
                        format!(" invalid flag in regex options: {}", char::from(flag)),
                    ));
                }
            }
            plain = false;
        }
        let Ok(text) = pattern.to_str() else {
            return Err(invalid("invalid UTF-8 string"));
        };
        if compiled_size(text) > COMPILED_SIZE_MAX {
            return Err(invalid("regular expression is too large"));
        }
        let matcher = match plain.then(|| literal(text)).flatten() {
            Some(matcher) => matcher,
            None => {
                if text.contains('#') || text.contains("\\Q") {
                    // mongod compiles a pattern inside a group too, where an open comment or quotation swallows the end.
                    builder
                        .utf(true)
                        .build(&format!("(?:{text})"))
                        .map_err(|error| invalid(&error.to_string()))?;
                }
                let bounded = format!("(*LIMIT_MATCH={MATCH_STEPS_MAX}){text}");
                let compiled = builder
                    .utf(true)
                    .jit_if_available(true)
                    .build(&bounded)
                    .map_err(|error| invalid(&error.to_string()))?;
                Matcher::Pcre(Box::new(compiled))
            }
        };
        Ok(Regex {
            pattern: text.to_owned(),
            options: options.to_string(),
            matcher,
        })
    }

    /// The pattern as given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The flags as given.
    pub fn options(&self) -> &str {
        &self.options
    }

    /// Whether it matches somewhere in `text`. A match that needs too many steps counts as none.
    #[inline]
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Prefix(prefix) => text.starts_with(prefix),
            Matcher::Contains(finder) => finder.find(text).is_some(),
            Matcher::Pcre(regex) => regex.is_match(text).unwrap_or(false),
        }
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.pattern, self.options)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.pattern == other.pattern && self.options == other.options
    }
}

/// The compiled size, exact for text without special characters, at least about right for the rest.
fn compiled_size(pattern: &str) -> usize {
    let size = |c: char| match c {
        '.' | '^' | '$' => 1,
        '|' => 3,
        c => 1 + c.len_utf8(),
    };
    pattern.chars().map(size).sum()
}

/// The matcher of a pattern without any special character, which most patterns are: no need to run PCRE for it.
fn literal(pattern: &str) -> Option<Matcher> {
    let (anchored, text) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    if text.contains(|c| "\\^$.[]|()?*+{}".contains(c)) {
        return None;
    }
    Some(if anchored {
        Matcher::Prefix(text.as_bytes().to_vec())
    } else {
        Matcher::Contains(Box::new(bstr::Finder::new(text).into_owned()))
    })
}

#[cold]
fn invalid(reason: &str) -> Error {
    Error::location(51091, format!("Regular expression is invalid: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, options: &str, text: &str) -> bool {
        Regex::new(pattern.into(), options.into())
            .unwrap()
            .is_match(text.as_bytes())
    }

    #[test]
    fn matches_as_pcre() {
        assert!(matches("b", "", "abc"));
        assert!(!matches("^b", "", "abc"));
        assert!(matches("^ab", "", "abc"));
        assert!(matches("^B", "im", "a\nb"));
        assert!(matches("a.c", "s", "a\nc"));
        assert!(matches("a b # c\n", "x", "ab"));
        assert!(matches(r"(a)(?=b)\1?", "", "ab"));
        assert!(matches(r"(\w)\1", "", "hello"));
        assert!(matches("^.$", "", "é"));
    }

    #[test]
    fn backtracking_is_bounded() {
        let text = "a".repeat(40) + "b";
        assert!(!matches("^(a+)+$", "", &text));
    }

    #[test]
    fn refuses_what_mongod_refuses() {
        let code = |pattern: &str, options: &str| {
            Regex::new(pattern.into(), options.into())
                .unwrap_err()
                .code()
                .number()
        };
        assert_eq!(code("(", ""), 51091);
        assert_eq!(code("a", "g"), 51108);
        assert_eq!(code("a\0b", ""), 2);
        assert_eq!(code("a # comment", "x"), 51091);
        assert_eq!(code(r"\Qa", ""), 51091);
        assert_eq!(code(&"x".repeat(32_762), ""), 51091);
        Regex::new((*"x".repeat(32_761)).into(), "".into()).unwrap();
    }
}
