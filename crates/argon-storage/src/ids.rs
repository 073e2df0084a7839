//! Identities of what the catalogue and the log name.
//!
//! Each is sixteen random bytes: never reused, so that a write meant for a dropped branch can never
//! reach a new one of the same name, and unguessable. They sort as bytes.

use std::fmt;

use uuid::Uuid;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new identity from the operating system's randomness.
            #[must_use]
            pub fn random() -> Self {
                Self(*Uuid::new_v4().as_bytes())
            }

            /// The identity with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes, in the order in which identities sort.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the form that [`Display`](fmt::Display) writes; `None` if it is not a UUID.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(|uuid| Self(*uuid.as_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id_type! {
    /// One branch, for as long as it exists. A branch dropped and created again gets a new one.
    BranchId
}

id_type! {
    /// One project, for as long as it exists.
    ProjectId
}

id_type! {
    /// The nonce of one running writer (a process's one engine): an append whose outcome is unknown
    /// is resolved by reading the position back and comparing this.
    WriterId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_ids_differ() {
        let id = BranchId::random();
        assert_eq!(BranchId::parse(&id.to_string()), Some(id));
        assert_ne!(id, BranchId::random());
        assert_eq!(BranchId::parse("main"), None);
    }
}
