//! What the stages of a pipeline do that stand behind its query, for `explain`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use argon_engine::exec::{Find, Reading, find};
use argon_engine::state::State;
use argon_mql::spill::{Area, File};
use argon_mql::stage::{Context, Pipeline, Source};
use argon_mql::{Doc, DocBuf, Env, ParseContext, ValueRef};
use bytes::Bytes;

use crate::error::Result;

/// What one stage did.
#[derive(Default)]
pub(super) struct StageStats {
    returned: AtomicU64,
    micros: AtomicU64,
    spills: AtomicU64,
}

/// A stage that is looked at.
struct Watched {
    stage: Box<dyn Source>,
    stats: Arc<StageStats>,
}

/// The area of one stage, which counts how often it is used.
struct Noting<'a> {
    area: &'a dyn Area,
    stats: &'a StageStats,
}

impl Area for Noting<'_> {
    fn create(&self) -> argon_mql::Result<Box<dyn File>> {
        self.area.create()
    }

    fn note_spill(&self) {
        self.stats.spills.fetch_add(1, Relaxed);
    }

    fn stage_bytes(&self) -> usize {
        self.area.stage_bytes()
    }
}

impl Source for Watched {
    fn next(&mut self, cx: &Context<'_>) -> argon_mql::Result<Option<Bytes>> {
        let stats = Arc::clone(&self.stats);
        let noting = cx.spill.map(|area| Noting {
            area,
            stats: &stats,
        });
        let cx = Context {
            spill: noting.as_ref().map(|noting| noting as _),
            ..*cx
        };
        let start = Instant::now();
        let next = self.stage.next(&cx);
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats.micros.fetch_add(micros, Relaxed);
        if matches!(next, Ok(Some(_))) {
            self.stats.returned.fetch_add(1, Relaxed);
        }
        next
    }

    fn is_resident(&self) -> bool {
        self.stage.is_resident()
    }
}

/// Runs `query` and behind it each of `stages`, and answers what each of them did, the query first.
pub(super) fn run(
    state: &Arc<State>,
    collection: &str,
    query: &Find,
    stages: &[Doc<'_>],
    parse: &ParseContext,
    env: &Env<'_>,
    spill: Option<&dyn Area>,
) -> Result<Vec<Arc<StageStats>>> {
    let mut all = Vec::new();
    let mut watch = |stage: Box<dyn Source>| -> Box<dyn Source> {
        let stats = Arc::new(StageStats::default());
        all.push(Arc::clone(&stats));
        Box::new(Watched { stage, stats })
    };
    let mut source = watch(find(state, collection, query)?);
    for stage in stages {
        let alone = DocBuf::array([ValueRef::Document(*stage)]);
        let pipeline = Pipeline::parse(Doc::new(&alone), parse)?;
        source = watch(pipeline.open(source));
    }
    let reader = Reading::new(Arc::clone(state));
    let cx = Context {
        env,
        reader: &reader,
        spill,
    };
    while source.next(&cx)?.is_some() {}
    Ok(all)
}

impl StageStats {
    /// Appends what the stage did: `name` is the stage's.
    pub(super) fn append_to(&self, name: &str, out: &mut DocBuf) {
        let long = |number: &AtomicU64| ValueRef::Int64(number.load(Relaxed).cast_signed());
        if matches!(name, "$group" | "$setWindowFields" | "$sort") {
            let used = self.spills.load(Relaxed) > 0;
            out.append("usedDisk", ValueRef::Bool(used));
        }
        if matches!(name, "$group" | "$sort") {
            out.append("spills", long(&self.spills));
        }
        out.append("nReturned", long(&self.returned));
        let millis = self.micros.load(Relaxed) / 1000;
        out.append(
            "executionTimeMillisEstimate",
            ValueRef::Int64(millis.cast_signed()),
        );
    }
}
