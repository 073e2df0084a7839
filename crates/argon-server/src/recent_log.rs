//! The last lines of the log, for `getLog`.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Lines kept. Source: MongoDB manual, "getLog": the last 1,024 entries.
const LINES_MAX: usize = 1024;

/// Bytes of a line kept; what is cut off stands in the log itself.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// The last lines of the log. Whoever sets up logging puts them in; the server only shows them.
#[derive(Debug, Default)]
pub struct RecentLog {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    total: u64,
}

impl RecentLog {
    /// Adds a line.
    pub fn push(&self, line: &str) {
        let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
        let mut kept = self.kept.lock();
        if kept.lines.len() == LINES_MAX {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line.to_owned());
        kept.total += 1;
    }

    /// The lines kept, the oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.kept.lock().lines.iter().cloned().collect()
    }

    /// Lines there ever were.
    pub(crate) fn total(&self) -> u64 {
        self.kept.lock().total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines() {
        let log = RecentLog::default();
        for at in 0..=LINES_MAX {
            log.push(&at.to_string());
        }
        assert_eq!(log.total(), LINES_MAX as u64 + 1);
        assert_eq!(log.lines().len(), LINES_MAX);
        assert_eq!(log.lines()[0], "1");
    }

    #[test]
    fn cuts_lines_between_characters() {
        let log = RecentLog::default();
        log.push(&"ü".repeat(LINE_BYTES_MAX));
        assert_eq!(log.lines()[0].len(), LINE_BYTES_MAX);
    }
}
