//! The text with which every match of a regular expression begins.

/// What is known of the strings that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// They begin with this; empty if nothing is known.
    pub(super) text: String,
    /// Every string that begins so matches.
    pub(super) exact: bool,
}

/// Reads the beginning of `pattern`. Only what is anchored at the start of the string has a prefix.
pub(super) fn prefix(pattern: &str, options: &str) -> Prefix {
    let nothing = Prefix {
        text: String::new(),
        exact: false,
    };
    // Alternatives would each have a prefix; other case and other lines break what the order of strings promises.
    if pattern.contains('|') || options.contains(['i', 'm']) {
        return nothing;
    }
    let Some(rest) = pattern
        .strip_prefix('^')
        .or_else(|| pattern.strip_prefix("\\A"))
    else {
        return nothing;
    };
    let mut found = read(rest, options.contains('x'));
    if found.text.is_empty() {
        found.exact = false;
    }
    found
}

fn read(rest: &str, extended: bool) -> Prefix {
    let mut text = String::new();
    let mut chars = rest.chars().peekable();
    let mut quoted = false;
    let ended = |text, exact| Prefix { text, exact };
    while let Some(char) = chars.next() {
        if quoted {
            if char == '\\' && chars.peek() == Some(&'E') {
                chars.next();
                quoted = false;
            } else {
                text.push(char);
            }
            continue;
        }
        match char {
            '\\' => match chars.next() {
                Some('Q') => quoted = true,
                Some('E') => {}
                Some(escaped) if !escaped.is_ascii_alphanumeric() => text.push(escaped),
                // A class, a back-reference, a code point: something that is not this text.
                _ => return ended(text, false),
            },
            '*' | '?' | '{' => {
                // The character before need not be there.
                text.pop();
                return ended(text, false);
            }
            '.' if chars.next() == Some('*') && chars.next().is_none() => {
                return ended(text, true);
            }
            '.' | '+' | '[' | ']' | '(' | ')' | '}' | '$' | '^' => return ended(text, false),
            '#' if extended => return ended(text, false),
            _ if extended && char.is_whitespace() => {}
            _ => text.push(char),
        }
    }
    ended(text, true)
}

/// The least string that is greater than all that begin with `text`.
pub(super) fn after(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.as_bytes().to_vec();
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_mongods() {
        for (pattern, options, text, exact) in [
            ("^abc", "", "abc", true),
            ("^abc", "i", "", false),
            ("^ab", "m", "", false),
            ("^ab", "s", "ab", true),
            ("abc", "", "", false),
            ("^ab.*c", "", "ab", false),
            ("^a\\.b", "", "a.b", true),
            ("^ab?c", "", "a", false),
            ("^a|b", "", "", false),
            ("^ab*", "", "a", false),
            ("^ab+", "", "ab", false),
            ("^ab{2}", "", "a", false),
            ("^abc.*", "", "abc", true),
            ("^\\Qa.b\\E", "", "a.b", true),
            ("^", "", "", false),
            ("^a\\d", "", "a", false),
            ("^a b", "x", "ab", true),
            ("\\Aab", "", "ab", true),
            ("^ab$", "", "ab", false),
            ("^é.", "", "é", false),
        ] {
            let expected = Prefix {
                text: text.to_owned(),
                exact,
            };
            assert_eq!(prefix(pattern, options), expected, "{pattern}");
        }
        assert_eq!(after("abc").as_deref(), Some(&b"abd"[..]));
        assert_eq!(after(""), None);
    }
}
