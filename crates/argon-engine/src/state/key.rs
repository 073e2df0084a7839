//! The bytes of an index key.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Most bytes that need no allocation: what makes a [`Key`] 24 bytes. Numbers, dates and ObjectIds fit, each with a record's
/// id behind it.
const INLINE_MAX: usize = 22;

/// An index key's bytes: in MongoDB's order, so that comparing bytes compares values. Cheap to clone.
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Shared(Arc<[u8]>),
}

impl Key {
    /// The key of these bytes.
    pub fn from_slice(bytes: &[u8]) -> Key {
        Key::concat(bytes, &[])
    }

    /// The key of `bytes` and then `more`.
    pub fn concat(bytes: &[u8], more: &[u8]) -> Key {
        let total = bytes.len() + more.len();
        Key(match u8::try_from(total) {
            Ok(len) if total <= INLINE_MAX => {
                let mut inline = [0; INLINE_MAX];
                inline[..bytes.len()].copy_from_slice(bytes);
                inline[bytes.len()..total].copy_from_slice(more);
                Repr::Inline { len, bytes: inline }
            }
            _ => Repr::Shared(bytes.iter().chain(more).copied().collect()),
        })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small_and_keeps_its_bytes() {
        assert_eq!(size_of::<Key>(), 24);
        let bytes: Vec<u8> = (0..100).collect();
        for len in 0..bytes.len() {
            let (head, tail) = bytes[..len].split_at(len / 2);
            let key = Key::concat(head, tail);
            assert_eq!(key.as_slice(), &bytes[..len]);
            assert_eq!(key, Key::from_slice(&bytes[..len]));
            assert!(key < Key::from_slice(&bytes[..len + 1]));
        }
    }
}
