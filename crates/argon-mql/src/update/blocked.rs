//! What an update says where its path cannot go on: a scalar stands in the way, or a name leads into an array.

use bstr::{BString, ByteSlice};

use super::modifier::{Blocked, Place, Trail};
use super::show;
use super::tree::{Fields, Node};
use crate::value::Element;
use crate::{Error, ErrorCode, Result};

impl Place<'_> {
    pub(super) fn blocked_fields(
        &self,
        fields: &Fields,
        element: &Element<'_>,
        above: &Trail<'_>,
    ) -> Result<()> {
        for (name, node) in &fields.named {
            self.blocked(node, &name.text, element, above)?;
        }
        Ok(())
    }

    /// The complaint of what stands at `name` and below, where `element` at `above` has no such field nor can get it.
    pub(super) fn blocked(
        &self,
        node: &Node,
        name: &[u8],
        element: &Element<'_>,
        above: &Trail<'_>,
    ) -> Result<()> {
        let mut full = above.text();
        full.push(b'.');
        full.extend_from_slice(name);
        self.blocked_below(node, name, &mut full, element)
    }

    fn blocked_below(
        &self,
        node: &Node,
        name: &[u8],
        full: &mut BString,
        element: &Element<'_>,
    ) -> Result<()> {
        match node {
            Node::Leaf(leaf) => match leaf.blocked(self)? {
                Blocked::Ignore => Ok(()),
                Blocked::CannotCreate => Err(Error::new(
                    ErrorCode::PathNotViable,
                    format!(
                        "Cannot create field '{}' in element {{{}}}",
                        name.as_bstr(),
                        show::element(element)
                    ),
                )),
                Blocked::CannotTraverse => Err(Error::new(
                    ErrorCode::PathNotViable,
                    format!(
                        "Cannot use the part ({}) of ({full}) to traverse the element ({{{}}})",
                        name.as_bstr(),
                        show::element(element)
                    ),
                )),
            },
            Node::Fields(fields) => {
                let len = full.len();
                for (below, node) in &fields.named {
                    full.push(b'.');
                    full.extend_from_slice(&below.text);
                    self.blocked_below(node, name, full, element)?;
                    full.truncate(len);
                }
                match &fields.matched {
                    Some(_) if self.matched.is_none() => self.resolve(fields, None).map(drop),
                    Some(node) => self.blocked_below(node, name, full, element),
                    None => Ok(()),
                }
            }
            Node::Elements(_) => Err(must_exist(full)),
        }
    }
}

#[cold]
pub(super) fn must_exist(path: &BString) -> Error {
    Error::bad_value(format!(
        "The path '{path}' must exist in the document in order to apply array updates."
    ))
}
