//! The wait for a change to become durable.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::{Error, Result};

/// Completes when a submitted change is durable, or has failed. Dropping it withdraws nothing.
#[derive(Debug)]
#[must_use = "a change is acknowledged only once its ticket has completed"]
pub struct Ticket(Inner);

#[derive(Debug)]
enum Inner {
    Ready(Option<Result<()>>),
    Waiting(oneshot::Receiver<Result<()>>),
}

impl Ticket {
    /// A ticket whose outcome is known already.
    pub fn ready(outcome: Result<()>) -> Self {
        Ticket(Inner::Ready(Some(outcome)))
    }

    /// A ticket and the end that completes it; without an outcome it completes with [`Error::Unknown`].
    pub fn pending() -> (oneshot::Sender<Result<()>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Ticket(Inner::Waiting(receiver)))
    }
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Ready(outcome) => Poll::Ready(outcome.take().unwrap_or_else(lost)),
            Inner::Waiting(receiver) => {
                Poll::Ready(ready!(Pin::new(receiver).poll(cx)).unwrap_or_else(|_| lost()))
            }
        }
    }
}

/// Whoever was to complete the ticket is gone without a word.
fn lost() -> Result<()> {
    Err(Error::Unknown {
        reason: "the store went away while the write was under way".into(),
    })
}
