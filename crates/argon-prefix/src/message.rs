//! Names in the texts of errors and warnings.

use bstr::ByteSlice;

use crate::names::Names;

/// From here on a duplicate key's error shows the document's values, which are nobody's names.
const VALUES: &[u8] = b" dup key: ";

/// `text` with the client's names in place of the upstream's; `None` if it has none.
///
/// A text has no structure to go by: a name is known by the branch's prefix, where a word begins.
#[must_use]
pub fn to_client(names: &Names, text: &[u8]) -> Option<Vec<u8>> {
    if names.is_identity() {
        return None;
    }
    let upstream = [names.upstream().as_bytes(), b"."].concat();
    let client = [names.client().as_bytes(), b"."].concat();
    let prefix = names.prefix().as_bytes();
    let end = text.find(VALUES).unwrap_or(text.len());
    let (head, values) = text.split_at(end);
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut rest = head;
    let mut in_word = false;
    while let Some(&byte) = rest.first() {
        if !in_word && let Some(after) = rest.strip_prefix(&*upstream) {
            let (buckets, after) = match after.strip_prefix(crate::names::BUCKETS) {
                Some(own) => (crate::names::BUCKETS, own),
                None => (&b""[..], after),
            };
            // Any namespace of the database; main's own beside a branch's are shown as they are.
            if let Some(own) = after.strip_prefix(prefix) {
                out.extend_from_slice(&client);
                out.extend_from_slice(buckets);
                rest = own;
                in_word = true;
                continue;
            }
            if after.starts_with(b"$cmd") || after.starts_with(b"'") {
                out.extend_from_slice(&client);
                rest = after;
                in_word = true;
                continue;
            }
        }
        if !in_word
            && !prefix.is_empty()
            && let Some(own) = rest.strip_prefix(prefix)
        {
            rest = own;
            in_word = true;
            continue;
        }
        // A dot goes on with a namespace that was none of ours.
        in_word = byte.is_ascii_alphanumeric()
            || byte >= 0x80
            || matches!(byte, b'_' | b'-')
            || (byte == b'.' && in_word);
        out.push(byte);
        rest = &rest[1..];
    }
    out.extend_from_slice(values);
    (out != text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let names = Names::new("shop~x", "shop", "branch_x_", []);
        let found = to_client(&names, text.as_bytes()).unwrap_or_else(|| text.into());
        assert_eq!(found.as_bstr(), expected);
    }

    #[test]
    fn names_are_the_clients() {
        check(
            "E11000 duplicate key error collection: shop.branch_x_users index: _id_ dup key: { _id: \"shop.branch_x_y\" }",
            "E11000 duplicate key error collection: shop~x.users index: _id_ dup key: { _id: \"shop.branch_x_y\" }",
        );
        check(
            "View cycle detected: shop.branch_x_v => shop.branch_x_v2",
            "View cycle detected: shop~x.v => shop~x.v2",
        );
        check(
            "'branch_x_v' and (branch_x_w) workshop.branch_x_y",
            "'v' and (w) workshop.branch_x_y",
        );
        check(
            "namespace shop.$cmd.aggregate",
            "namespace shop~x.$cmd.aggregate",
        );
        check(
            "shop.system.buckets.branch_x_t is full",
            "shop~x.system.buckets.t is full",
        );
        check(
            "Invalid namespace specified 'shop.'",
            "Invalid namespace specified 'shop~x.'",
        );
        check("a_branch_x_y", "a_branch_x_y");
        check("shop.users of main", "shop.users of main");
    }
}
