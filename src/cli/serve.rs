//! `argon serve`: the server.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use argon_engine::Engine;
use argon_server::{RecentLog, Server, UpstreamConfig};
use argon_storage::{Durability, LogStore, OpenOptions};
use argon_upstream::Upstream;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{Config, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// A TOML file with settings, named like the flags
    #[arg(long, env = "ARGON_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let file = match &args.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    let config = args.settings.or(file).complete();
    let log = Arc::new(RecentLog::default());
    start_log(&config.log, Arc::clone(&log))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config, log))
}

async fn serve(config: Config, log: Arc<RecentLog>) -> anyhow::Result<()> {
    // Before anything else: a signal that comes while the store is being opened must not be lost.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let store = open_store(&config).await?;
    let engine = Engine::open(
        store,
        argon_engine::Config {
            cache_bytes: config.cache_bytes,
            auto_branch: config.auto_branch,
            read_consistency: config.read_consistency,
        },
    )
    .await
    .context("cannot read the catalogue of projects and branches")?
    .with_settings(config.changeable)?;
    let engine = Arc::new(engine);
    let upstream = match &config.mongodb_uri {
        None => None,
        Some(uri) => Some(UpstreamConfig {
            upstream: Upstream::open(uri.secret())
                .await
                .context("cannot use --mongodb-uri")?,
            new_databases: config.new_databases,
            own_database: config.mongodb_database.clone(),
        }),
    };

    let server = Server::bind(
        argon_server::Config {
            listen: config.listen,
            scratch_dir: config.data_dir.join("_tmp"),
            connections_max: config.connections_max,
            allow_remote: config.allow_remote,
            test_commands: config.test_commands,
            arguments: crate::config::arguments(std::env::args()),
            log,
            durable_within: match config.durability {
                Durability::Ack => Duration::ZERO,
                Durability::Interval(interval) => interval,
            },
            upstream,
        },
        Arc::clone(&engine),
    )
    .await?;
    let address = server.address();
    ready(&format!("argon ready on mongodb://{address}/"))?;
    tracing::info!(
        data_dir = %config.data_dir.display(),
        mongodb = config.mongodb_uri.as_ref().map(tracing::field::display),
        cache_bytes = config.cache_bytes,
        durability = %config.durability,
        "serving; try: mongosh mongodb://{address}/shop"
    );
    server
        .run(async move {
            tokio::select! {
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
                _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            }
        })
        .await;
    engine.close().await.context("cannot close the store")?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the store that the settings name.
async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn LogStore>> {
    let options = OpenOptions {
        durability: config.durability,
        mongodb_database: config.mongodb_database.clone(),
        ..OpenOptions::default()
    };
    let Some(uri) = &config.mongodb_uri else {
        let uri = format!("embedded:{}", config.data_dir.display());
        return argon_storage::open(&uri, &options).await.with_context(|| {
            format!(
                "cannot open the data directory {}",
                config.data_dir.display()
            )
        });
    };
    anyhow::ensure!(
        config.durability == Durability::Ack,
        "--durability {} is for the data directory: in MongoDB a write is acknowledged once a majority has it in its journal",
        config.durability
    );
    argon_storage::open(uri.secret(), &options)
        .await
        .context("cannot keep the log in MongoDB")
}

/// Tells whoever started the server that it is there: the one line on standard output.
fn ready(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Logs to standard error, and keeps the last lines for `getLog`.
fn start_log(filter: &str, recent: Arc<RecentLog>) -> anyhow::Result<()> {
    let filter = || {
        filter
            .parse::<EnvFilter>()
            .with_context(|| format!("`{filter}` is no log filter"))
    };
    let keep = move || Keep {
        recent: Arc::clone(&recent),
        line: Vec::new(),
    };
    tracing_subscriber::registry()
        .with(
            fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_filter(filter()?),
        )
        .with(
            fmt::layer()
                .with_writer(keep)
                .with_ansi(false)
                .with_filter(filter()?),
        )
        .init();
    Ok(())
}

/// One line of the log on its way into [`RecentLog`].
struct Keep {
    recent: Arc<RecentLog>,
    line: Vec<u8>,
}

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.recent.push(&String::from_utf8_lossy(&self.line));
        }
    }
}
