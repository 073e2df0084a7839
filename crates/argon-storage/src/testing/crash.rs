//! Ending the process at a named point, as `kill -9` would.

use std::env;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names a point and the how-manieth passing of it ends the process:
/// `synced:100`. The points are `write`, `half-written`, `written`, `synced` and `rotated`.
pub const CRASH_POINT_VARIABLE: &str = "ARGON_CRASH_POINT";

/// Ends the process here if the environment says so.
pub(crate) fn crash_point(name: &str) {
    static POINT: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let point = POINT.get_or_init(|| {
        let value = env::var(CRASH_POINT_VARIABLE).ok()?;
        let (name, count) = value.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    if let Some((wanted, count)) = point
        && wanted == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *count
    {
        process::abort();
    }
}
