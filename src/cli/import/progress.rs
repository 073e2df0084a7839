//! How far it is: a bar on a terminal, a line now and then elsewhere. On standard error, apart from the answer.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How far one step of an import is.
pub(super) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    bytes_expected: u64,
    bytes: AtomicU64,
    documents: AtomicU64,
    /// Milliseconds after `started` at which the last line was printed.
    printed: AtomicU64,
}

impl Progress {
    /// Begins a step of about `bytes_expected`.
    pub(super) fn start(what: &'static str, bytes_expected: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{prefix} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {msg} {binary_bytes_per_sec}, {eta} left",
            );
            let bar = ProgressBar::new(bytes_expected).with_prefix(what);
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Progress {
            what,
            bar,
            started: Instant::now(),
            bytes_expected,
            bytes: AtomicU64::new(0),
            documents: AtomicU64::new(0),
            printed: AtomicU64::new(0),
        }
    }

    /// Counts in what was done.
    pub(super) fn add(&self, documents: u64, bytes: u64) {
        let documents = self.documents.fetch_add(documents, Ordering::Relaxed) + documents;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match &self.bar {
            Some(bar) => {
                if bytes > self.bytes_expected {
                    // What the source said was an estimate.
                    bar.set_length(bytes);
                }
                bar.set_position(bytes);
                bar.set_message(format!("{} documents", HumanCount(documents)));
            }
            None => self.line_now_and_then(documents, bytes),
        }
    }

    /// Takes back what has to be done again.
    pub(super) fn take_back(&self, documents: u64, bytes: u64) {
        self.documents.fetch_sub(documents, Ordering::Relaxed);
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(before - bytes);
        }
    }

    /// Ends the step.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed();
        let (documents, bytes) = (
            self.documents.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        );
        note(&format!(
            "{} {} documents, {}, in {:.1} s, {}/s",
            self.what,
            HumanCount(documents),
            BinaryBytes(bytes),
            seconds.as_secs_f64(),
            BinaryBytes(rate(bytes, seconds)),
        ));
    }

    fn line_now_and_then(&self, documents: u64, bytes: u64) {
        let elapsed = self.started.elapsed();
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let before = self.printed.load(Ordering::Relaxed);
        let interval = u64::try_from(LINE_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let due = now.saturating_sub(before) >= interval;
        // One of the workers prints it.
        if due
            && self
                .printed
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let rate = rate(bytes, elapsed);
            let left = self.bytes_expected.saturating_sub(bytes) / rate.max(1);
            note(&format!(
                "{} {} documents, {} of {}, {}/s, {} left",
                self.what,
                HumanCount(documents),
                BinaryBytes(bytes),
                BinaryBytes(self.bytes_expected.max(bytes)),
                BinaryBytes(rate),
                HumanDuration(Duration::from_secs(left)),
            ));
        }
    }
}

fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    bytes.saturating_mul(1000) / milliseconds
}

/// Says something to whoever watches.
#[expect(
    clippy::print_stderr,
    reason = "what a person watches, apart from the answer on standard output"
)]
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}
