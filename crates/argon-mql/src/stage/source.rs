//! Where documents come from: the pull side of a pipeline.

use bytes::Bytes;

use super::SystemSource;
use crate::filter::Filter;
use crate::spill::Area;
use crate::{Env, Error, ErrorCode, Result};

/// Documents, one after the other.
pub trait Source: Send {
    /// The next document; `None` at the end, and from then on.
    ///
    /// # Errors
    /// What evaluation fails with. The source is not to be asked again then.
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>>;

    /// Whether the documents are those of a state, which holds them in memory anyway: then keeping them costs no memory.
    fn is_resident(&self) -> bool {
        false
    }
}

/// What a pipeline needs from outside while it runs; given anew with each call, because a cursor outlives its command.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Time, variables, interruption.
    pub env: &'a Env<'a>,
    /// Other collections.
    pub reader: &'a dyn Reader,
    /// Where a stage may put what exceeds its memory: `None` if the command says `allowDiskUse: false`. mongod 6.0 takes it
    /// for true if it is not given.
    pub spill: Option<&'a dyn Area>,
}

/// Reads other collections of the state that the command runs on.
pub trait Reader {
    /// The documents of `collection` (or view) in `db`, or in the command's own database; those that match, if a
    /// filter is given. A collection that does not exist is empty.
    ///
    /// # Errors
    /// What opening a view fails with.
    fn scan(
        &self,
        db: Option<&str>,
        collection: &str,
        filter: Option<&Filter>,
    ) -> Result<Box<dyn Source>>;

    /// Whether an index finds the documents whose `path` has a certain value, so that many small scans with such a
    /// filter are cheaper than one scan of everything.
    fn has_index(&self, _db: Option<&str>, _collection: &str, _path: &[u8]) -> bool {
        false
    }

    /// What the server itself knows: `$collStats`, `$currentOp`, ….
    ///
    /// # Errors
    /// MongoDB's error where the source is not available.
    fn system(&self, source: &SystemSource) -> Result<Box<dyn Source>> {
        Err(Error::new(
            ErrorCode::CommandNotSupported,
            format!("{} is not supported here", source.name),
        ))
    }
}

/// Documents that are already there.
#[derive(Debug)]
pub struct Documents(std::vec::IntoIter<Bytes>);

impl Documents {
    /// `documents` in their order.
    pub fn new(documents: Vec<Bytes>) -> Documents {
        Documents(documents.into_iter())
    }
}

impl Source for Documents {
    fn next(&mut self, _: &Context<'_>) -> Result<Option<Bytes>> {
        Ok(self.0.next())
    }
}

/// How many documents a blocking stage takes in between two looks at the command's interruption.
const INTERRUPT_EVERY: u32 = 256;

/// Counts the turns of a loop and looks at the interruption from time to time.
#[derive(Default)]
pub(super) struct Turns(u32);

impl Turns {
    /// Another turn.
    #[inline]
    pub(super) fn turn(&mut self, cx: &Context<'_>) -> Result<()> {
        self.0 += 1;
        if self.0 >= INTERRUPT_EVERY {
            self.0 = 0;
            (cx.env.check_interrupt)()?;
        }
        Ok(())
    }
}
