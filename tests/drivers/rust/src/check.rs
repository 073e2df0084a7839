//! What the application says when an answer is wrong.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use mongodb::error::{Error, ErrorKind, WriteFailure};

static CHECKS: AtomicUsize = AtomicUsize::new(0);

/// Returns how many checks there were since the last call.
pub(crate) fn count() -> usize {
    CHECKS.swap(0, Ordering::Relaxed)
}

pub(crate) fn equal<T: PartialEq + Debug>(what: &str, got: T, want: T) -> Result<()> {
    if got != want {
        bail!("WRONG {what}\n  got  {got:?}\n  want {want:?}");
    }
    CHECKS.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Checks that `result` is a failure with `code` and a message that contains `text`.
pub(crate) fn fails<T: Debug>(
    what: &str,
    result: Result<T, Error>,
    code: i32,
    text: &str,
) -> Result<()> {
    let error = match result {
        Ok(got) => bail!("WRONG {what}: no error, but {got:?}"),
        Err(error) => error,
    };
    let (found, message) = failure(&error).with_context(|| format!("{what}: {error}"))?;
    equal(&format!("{what}: code of {error}"), found, code)?;
    equal(
        &format!("{what}: {text:?} in {message:?}"),
        message.contains(text),
        true,
    )
}

/// The server's code and message, if that is what the error is.
fn failure(error: &Error) -> Option<(i32, String)> {
    match &*error.kind {
        ErrorKind::Command(error) => Some((error.code, error.message.clone())),
        ErrorKind::Write(WriteFailure::WriteError(error)) => {
            Some((error.code, error.message.clone()))
        }
        ErrorKind::InsertMany(failure) => failure
            .write_errors
            .as_ref()
            .and_then(|errors| errors.first())
            .map(|error| (error.code, error.message.clone())),
        _ => None,
    }
}
