//! How long commands take, by namespace: what `$collStats` with `latencyStats` shows.
//!
//! Source: MongoDB manual, "$collStats", "latencyStats Document".

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use argon_mql::{DocBuf, ValueRef};
use parking_lot::RwLock;

/// Most namespaces whose commands are counted; those that come later are not.
const NAMESPACES_MAX: usize = 10_000;

/// Buckets of a histogram.
const BUCKETS: usize = 51;

/// Below 2 microseconds is one bucket, then one per power of two up to 2^11; two per power up to 2^21; then one again.
const HALVED: std::ops::Range<u32> = 11..21;

/// Latencies, by namespace.
#[derive(Default)]
pub(crate) struct Latencies {
    by_namespace: RwLock<HashMap<String, Arc<Latency>>>,
}

/// The latencies of one namespace.
#[derive(Default)]
pub(crate) struct Latency {
    reads: Histogram,
    writes: Histogram,
    commands: Histogram,
}

struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
    count: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            micros: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }
}

impl Latencies {
    /// Counts a command of `name` on `namespace`.
    pub(crate) fn count(&self, namespace: &str, name: &str, took: Duration) {
        let known = self.by_namespace.read().get(namespace).cloned();
        let latency = match known {
            Some(known) => known,
            None => {
                let mut all = self.by_namespace.write();
                if all.len() >= NAMESPACES_MAX && !all.contains_key(namespace) {
                    return;
                }
                Arc::clone(all.entry(namespace.to_owned()).or_default())
            }
        };
        let histogram = match name {
            "aggregate" | "count" | "distinct" | "find" | "getMore" => &latency.reads,
            "delete" | "findAndModify" | "findandmodify" | "insert" | "update" => &latency.writes,
            _ => &latency.commands,
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        histogram.buckets[bucket(micros)].fetch_add(1, Relaxed);
        histogram.micros.fetch_add(micros, Relaxed);
        histogram.count.fetch_add(1, Relaxed);
    }

    /// The latencies of `namespace`.
    pub(crate) fn get(&self, namespace: &str) -> Arc<Latency> {
        let known = self.by_namespace.read().get(namespace).cloned();
        known.unwrap_or_default()
    }
}

impl Latency {
    /// Appends them to `latencyStats`.
    pub(crate) fn append_to(&self, out: &mut DocBuf, histograms: bool) {
        let none = Histogram::default();
        for (name, histogram) in [
            ("reads", &self.reads),
            ("writes", &self.writes),
            ("commands", &self.commands),
            ("transactions", &none),
        ] {
            let open = out.open_document(name);
            if histograms {
                histogram.append_buckets(out);
            }
            let long = |number: &AtomicU64| ValueRef::Int64(number.load(Relaxed).cast_signed());
            out.append("latency", long(&histogram.micros));
            out.append("ops", long(&histogram.count));
            out.close(open);
        }
    }
}

impl Histogram {
    fn append_buckets(&self, out: &mut DocBuf) {
        let array = out.open_array("histogram");
        let filled = self
            .buckets
            .iter()
            .enumerate()
            .map(|(at, count)| (at, count.load(Relaxed)))
            .filter(|(_, count)| *count > 0);
        for (shown, (at, count)) in filled.enumerate() {
            let open = out.push_document(shown);
            out.append("micros", ValueRef::Int64(lower_bound(at).cast_signed()));
            out.append("count", ValueRef::Int64(count.cast_signed()));
            out.close(open);
        }
        out.close(array);
    }
}

/// The bucket of a duration.
fn bucket(micros: u64) -> usize {
    let power = micros.max(1).ilog2();
    let at = if power < HALVED.start {
        power
    } else if HALVED.contains(&power) {
        let upper_half = (micros >> (power - 1)) & 1;
        let half = u32::from(upper_half == 1);
        HALVED.start + 2 * (power - HALVED.start) + half
    } else {
        2 * HALVED.end - HALVED.start + (power - HALVED.end)
    };
    usize::try_from(at).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The least duration in a bucket.
fn lower_bound(bucket: usize) -> u64 {
    // Few enough to be looked for.
    (0..u64::BITS)
        .flat_map(|power| [1_u64 << power, (1_u64 << power) + ((1_u64 << power) >> 1)])
        .find(|micros| self::bucket(*micros) == bucket)
        .map_or(0, |micros| if micros == 1 { 0 } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As mongod 6.0.5 showed them.
    #[test]
    fn buckets_are_mongods() {
        let bounds: Vec<u64> = (0..BUCKETS).map(lower_bound).collect();
        assert_eq!(&bounds[..4], &[0, 2, 4, 8]);
        assert!(bounds.is_sorted_by(|a, b| a < b));
        for seen in [
            16, 512, 49_152, 65_536, 262_144, 393_216, 2_097_152, 4_194_304,
        ] {
            assert!(bounds.contains(&seen), "{seen}");
        }
        assert_eq!(lower_bound(bucket(3_000)), 2_048);
        assert_eq!(lower_bound(bucket(3_072)), 3_072);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
