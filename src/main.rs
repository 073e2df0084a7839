//! Argon: git for MongoDB data over MongoDB's own wire protocol.

use std::sync::Arc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: &str| {
        arguments
            .iter()
            .position(|argument| argument == name)
            .and_then(|at| arguments.get(at + 1).cloned())
            .unwrap_or_else(|| default.to_owned())
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("ARGON_LOG"))
        .init();
    let uri = format!("embedded:{}", value("--data-dir", "./argon-data"));
    let store = argon_storage::open(&uri, &argon_storage::OpenOptions::default()).await?;
    let config = argon_engine::Config {
        cache_bytes: 4 << 30,
        auto_branch: false,
    };
    let engine = Arc::new(argon_engine::Engine::open(store, config).await?);
    let config = argon_server::Config {
        listen: value("--listen", "127.0.0.1:27018").parse()?,
        connections_max: 10_000,
        allow_remote: false,
        test_commands: false,
        arguments: arguments.clone(),
        log: Arc::default(),
        durable_within: std::time::Duration::ZERO,
    };
    let server = argon_server::Server::bind(config, Arc::clone(&engine)).await?;
    #[expect(
        clippy::print_stdout,
        reason = "the line that tells that the server is ready"
    )]
    {
        println!("argon ready on mongodb://{}/", server.address());
    }
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    server
        .run(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
        })
        .await;
    engine.close().await?;
    Ok(())
}
