//! The mapping between a client's names and the upstream's.

use std::borrow::Cow;

use bstr::{BStr, ByteSlice};

use crate::refused::Refused;

/// Longest namespace in bytes. Source: MongoDB manual, "MongoDB Limits and Thresholds", "Length of Namespace".
pub const NAMESPACE_BYTES_MAX: usize = 255;

/// Behind this, a time-series collection's buckets carry the collection's name.
pub(crate) const BUCKETS: &[u8] = b"system.buckets.";

/// What the names of collections of the branch called `wire_name` begin with in the upstream.
///
/// What is neither letter, digit nor `_` becomes `_`, so two branches may want the same one: [`Names::collides`].
#[must_use]
pub fn prefix_of(wire_name: &str) -> String {
    let mut prefix = String::from("branch_");
    prefix.extend(
        wire_name
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '_' }),
    );
    prefix.push('_');
    prefix
}

/// One branch's names: the client's database and collections, and what the upstream calls them.
///
/// Main has the empty prefix. An upstream name belongs to the branch with the longest prefix that it begins with, main
/// if there is none; so a branch, main included, cannot use those of its names that begin with the rest of a longer
/// prefix: they are another branch's collections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    client: String,
    upstream: String,
    prefix: String,
    /// What the upstream names of other branches begin with, those only that could be mistaken for this branch's.
    reserved: Vec<String>,
}

impl Names {
    /// Names of a branch with `prefix` (main: the empty one), which clients call `client` and whose collections are in
    /// the upstream database `upstream`, beside branches with the prefixes `others`.
    pub fn new<'p>(
        client: &str,
        upstream: &str,
        prefix: &str,
        others: impl IntoIterator<Item = &'p str>,
    ) -> Names {
        let reserved = others
            .into_iter()
            .filter(|other| other.starts_with(prefix) && *other != prefix)
            .map(str::to_owned)
            .collect();
        Names {
            client: client.to_owned(),
            upstream: upstream.to_owned(),
            prefix: prefix.to_owned(),
            reserved,
        }
    }

    /// The database as clients call it.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The upstream database.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// What the branch's collections begin with in the upstream; empty for main.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether a client's names are the upstream's, so that replies need no rewriting.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.prefix.is_empty() && self.client == self.upstream
    }

    /// Whether nothing at all is to be rewritten or checked: main beside no branch.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.is_identity() && self.reserved.is_empty()
    }

    /// What names of other branches begin with that would otherwise be this branch's own.
    pub fn reserved(&self) -> &[String] {
        &self.reserved
    }

    /// Why a branch with these names cannot be created: the first collection of the upstream database that would be its.
    pub fn collides<'c>(
        &self,
        upstream_collections: impl IntoIterator<Item = &'c [u8]>,
    ) -> Option<&'c [u8]> {
        upstream_collections.into_iter().find(|name| {
            let own = name.strip_prefix(BUCKETS).unwrap_or(name);
            self.to_client(own).is_some()
        })
    }

    /// The upstream's name of the client's `collection`.
    ///
    /// # Errors
    /// [`Refused`] for a name that would be another branch's, or that no collection of a branch can have.
    pub fn to_upstream<'c>(&self, collection: &'c [u8]) -> Result<Cow<'c, [u8]>, Refused> {
        if self.prefix.is_empty() {
            let own = collection.strip_prefix(BUCKETS).unwrap_or(collection);
            self.check_reserved(own, collection)?;
            if collection == b"system.views" && !self.reserved.is_empty() {
                return Err(self.not_here(collection));
            }
            return Ok(Cow::Borrowed(collection));
        }
        if collection.is_empty() {
            // The upstream refuses it, each command in its own words.
            return Ok(Cow::Borrowed(collection));
        }
        self.check_form(collection)?;
        let mut name = Vec::with_capacity(self.prefix.len() + collection.len());
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(collection);
        self.check_reserved(&name, collection)?;
        Ok(Cow::Owned(name))
    }

    /// The client's name of the upstream's `collection`; `None` if it is not this branch's.
    #[must_use]
    pub fn to_client<'c>(&self, collection: &'c [u8]) -> Option<&'c [u8]> {
        let own = collection.strip_prefix(BUCKETS).unwrap_or(collection);
        let foreign = |name: &[u8]| {
            self.reserved
                .iter()
                .any(|reserved| name.starts_with(reserved.as_bytes()))
        };
        if foreign(own) {
            return None;
        }
        if self.prefix.is_empty() {
            return Some(collection);
        }
        collection.strip_prefix(self.prefix.as_bytes())
    }

    /// The client's form of a namespace `database.collection` of the upstream. What is not this branch's stays.
    #[must_use]
    pub fn namespace_to_client(&self, namespace: &[u8]) -> Option<Vec<u8>> {
        let (database, collection) = split(namespace)?;
        if database != self.upstream.as_bytes() {
            return None;
        }
        let (buckets, own) = match collection.strip_prefix(BUCKETS) {
            Some(own) => (BUCKETS, own),
            None => (&b""[..], collection),
        };
        let own = own.strip_prefix(self.prefix.as_bytes()).unwrap_or(own);
        Some([self.client.as_bytes(), b".", buckets, own].concat())
    }

    /// The upstream's form of the client's namespace `database.collection`.
    ///
    /// # Errors
    /// Those of [`Names::to_upstream`]; [`Refused`] for another database.
    pub fn namespace_to_upstream(&self, namespace: &[u8]) -> Result<Vec<u8>, Refused> {
        let Some((database, collection)) = split(namespace) else {
            // No namespace: the upstream says so.
            return Ok(namespace.to_vec());
        };
        if !self.is_own_database(database) {
            return Err(self.other_database(database));
        }
        let collection = self.to_upstream(collection)?;
        Ok([self.upstream.as_bytes(), b".", &*collection].concat())
    }

    /// Whether the client means this branch by `database`.
    #[must_use]
    pub fn is_own_database(&self, database: &[u8]) -> bool {
        database == self.client.as_bytes()
            || (self.prefix.is_empty() && database == self.upstream.as_bytes())
    }

    pub(crate) fn other_database(&self, database: &[u8]) -> Refused {
        Refused::unsupported(format_args!(
            "naming database '{}' in a command on '{}'",
            BStr::new(database),
            self.client
        ))
    }

    /// Names that would be legal with the prefix before them, but are not without.
    fn check_form(&self, collection: &[u8]) -> Result<(), Refused> {
        let shown = BStr::new(collection);
        if collection.starts_with(b".") {
            return Err(Refused::namespace(format!(
                "Collection names cannot start with '.': {shown}"
            )));
        }
        if collection.starts_with(b"$") {
            return Err(Refused::namespace(format!(
                "Invalid collection name: {shown}"
            )));
        }
        if collection.starts_with(b"system.") {
            return Err(self.not_here(collection));
        }
        Ok(())
    }

    fn check_reserved(&self, upstream: &[u8], collection: &[u8]) -> Result<(), Refused> {
        let taken = self
            .reserved
            .iter()
            .any(|reserved| upstream.starts_with(reserved.as_bytes()));
        if taken {
            return Err(Refused::namespace(format!(
                "collection name '{}' is kept for another branch of '{}': use that branch's database",
                BStr::new(collection),
                self.upstream
            )));
        }
        Ok(())
    }

    fn not_here(&self, collection: &[u8]) -> Refused {
        Refused::namespace(format!(
            "collection '{}' belongs to the whole upstream database, not to '{}'",
            BStr::new(collection),
            self.client
        ))
    }
}

/// `database.collection` taken apart.
pub(crate) fn split(namespace: &[u8]) -> Option<(&[u8], &[u8])> {
    namespace.split_once_str(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn branch() -> Names {
        Names::new(
            "shop~feature-x",
            "shop",
            "branch_feature_x_",
            ["branch_feature_x_", "branch_feature_x_y_", "branch_b_"],
        )
    }

    fn main() -> Names {
        Names::new(
            "shop",
            "shop",
            "",
            ["branch_feature_x_", "branch_feature_x_y_"],
        )
    }

    #[test]
    fn prefixes_are_made_of_wire_names() {
        assert_eq!(prefix_of("feature-x"), "branch_feature_x_");
        assert_eq!(prefix_of("a_b"), prefix_of("a-b"));
        assert_eq!(prefix_of("überall+1"), "branch_überall_1_");
    }

    #[test]
    fn names_of_longer_prefixes_are_another_branchs() {
        assert!(branch().to_upstream(b"y_users").is_err());
        assert!(branch().to_upstream(b"y").is_ok());
        assert_eq!(branch().to_client(b"branch_feature_x_y_users"), None);
        assert_eq!(branch().to_client(b"users"), None);
        assert!(main().to_upstream(b"branch_feature_x_users").is_err());
        assert!(
            main()
                .to_upstream(b"system.buckets.branch_feature_x_users")
                .is_err()
        );
        assert!(main().to_upstream(b"branch_offices").is_ok());
        assert_eq!(main().to_client(b"branch_feature_x_users"), None);
        assert_eq!(main().to_client(b"users"), Some(&b"users"[..]));
    }

    #[test]
    fn collections_under_a_new_prefix_collide() {
        let names: [&[u8]; 3] = [b"users", b"branch_a_x", b"system.buckets.branch_t_x"];
        let check = |prefix: &str, others: &[&str], expected| {
            let new = Names::new("shop~new", "shop", prefix, others.iter().copied());
            assert_eq!(new.collides(names), expected, "{prefix}");
        };
        check("branch_a_", &[], Some(names[1]));
        check("branch_t_", &[], Some(names[2]));
        check("branch_b_", &[], None);
        // Another branch's, whose name only begins like the new one's.
        check("branch_", &["branch_a_", "branch_t_"], None);
    }

    #[test]
    fn names_that_no_collection_has_are_refused() {
        for name in [
            ".x",
            "$x",
            "$cmd",
            "system.views",
            "system.profile",
            "system.",
        ] {
            assert!(branch().to_upstream(name.as_bytes()).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn in_then_out_is_identity(name in "[a-zA-Z0-9_.-]{1,40}") {
            for names in [branch(), main()] {
                if let Ok(upstream) = names.to_upstream(name.as_bytes()) {
                    prop_assert_eq!(names.to_client(&upstream), Some(name.as_bytes()));
                    let namespace = [names.client().as_bytes(), b".", name.as_bytes()].concat();
                    let there = names.namespace_to_upstream(&namespace).unwrap();
                    prop_assert_eq!(names.namespace_to_client(&there), Some(namespace));
                }
            }
        }

        #[test]
        fn no_two_branches_share_a_name(a in "[a-z_]{1,12}", b in "[a-z_]{1,12}") {
            let (main, branch) = (main(), branch());
            if let (Ok(a), Ok(b)) = (main.to_upstream(a.as_bytes()), branch.to_upstream(b.as_bytes())) {
                prop_assert_ne!(a, b);
            }
        }
    }
}
