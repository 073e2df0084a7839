//! Patches: a document's bytes changed here and there.

use super::Splice;

/// Applies `splices` to `old` and returns the new bytes.
///
/// Positions are those of `old`. The splices stand by ascending position and do not overlap, which
/// is checked, as is that they lie within `old`; `None` if they do not. Whether the outcome is BSON
/// is the caller's concern: a document's own length prefix changes by a splice like the rest.
#[must_use]
pub fn apply_patch(old: &[u8], splices: &[Splice]) -> Option<Vec<u8>> {
    let inserted: usize = splices.iter().map(|splice| splice.insert.len()).sum();
    let mut new = Vec::with_capacity(old.len() + inserted);
    let mut done = 0;
    for splice in splices {
        let at = usize::try_from(splice.at).ok()?;
        let end = at.checked_add(usize::try_from(splice.remove).ok()?)?;
        new.extend_from_slice(old.get(done..at)?);
        new.extend_from_slice(&splice.insert);
        // `end` beyond the document is found by the next `get`.
        done = end;
    }
    new.extend_from_slice(old.get(done..)?);
    Some(new)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn splice(at: u32, remove: u32, insert: &'static str) -> Splice {
        Splice {
            at,
            remove,
            insert: Bytes::from_static(insert.as_bytes()),
        }
    }

    fn check(splices: &[Splice], expected: Option<&str>) {
        let new = apply_patch(b"abcdef", splices);
        assert_eq!(new.as_deref(), expected.map(str::as_bytes));
    }

    #[test]
    fn splices_replace_insert_and_remove() {
        check(&[], Some("abcdef"));
        check(
            &[splice(0, 1, "X"), splice(3, 0, "--"), splice(5, 1, "")],
            Some("Xbc--de"),
        );
        check(&[splice(6, 0, "!")], Some("abcdef!"));
    }

    #[test]
    fn splices_out_of_order_or_bounds_are_refused() {
        check(&[splice(3, 2, ""), splice(4, 1, "")], None);
        check(&[splice(3, 0, ""), splice(1, 0, "")], None);
        check(&[splice(5, 2, "")], None);
        check(&[splice(u32::MAX, u32::MAX, "")], None);
    }
}
