//! The connection string, read by the official driver's parser.

use std::time::Duration;

use argon_wire::Compressor;
use mongodb::options::{ClientOptions, ConnectionString, Credential, Tls};
use tokio_rustls::TlsConnector;

use crate::error::{Error, Result};
use crate::{scram, stream};

/// How connections are made and how many there may be; each comes from the connection string, else the drivers' default.
pub(crate) struct Config {
    pub(crate) app_name: String,
    pub(crate) credential: Option<Credential>,
    /// The credential's password, salted.
    pub(crate) salted: scram::Cache,
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) compressors: Vec<Compressor>,
    /// `maxPoolSize`: ordinary commands under way per server. Source: specification "Connection Monitoring and Pooling".
    pub(crate) connections_max: u32,
    /// `maxConnecting`: connections being made at a time, per server.
    pub(crate) connecting_max: u32,
    /// `maxIdleTimeMS`.
    pub(crate) idle_max: Option<Duration>,
    /// `connectTimeoutMS`.
    pub(crate) connect_timeout: Duration,
    /// `socketTimeoutMS`: how long an answer may take; without it, as long as the server needs.
    pub(crate) answer_timeout: Option<Duration>,
    /// `serverSelectionTimeoutMS`.
    pub(crate) selection_timeout: Duration,
    /// `localThresholdMS`: how much slower than the nearest server one may be and still be chosen.
    pub(crate) local_threshold: Duration,
}

impl Config {
    /// Reads `uri` and lets `tune` change what it says; the driver's options are for watching the servers.
    pub(crate) async fn parse(
        uri: &str,
        tune: impl FnOnce(&mut ClientOptions),
    ) -> Result<(Config, ClientOptions)> {
        let unusable = |error: mongodb::error::Error| Error::Uri(error.to_string());
        let parsed = ConnectionString::parse(uri).map_err(unusable)?;
        #[expect(deprecated, reason = "the driver does not use it; it is what we need")]
        let answer_timeout = parsed.socket_timeout.filter(|time| !time.is_zero());
        let mut options = ClientOptions::parse(parsed).await.map_err(unusable)?;
        tune(&mut options);
        if options.load_balanced == Some(true) {
            return Err(Error::Uri(
                "loadBalanced=true is not supported: name the servers themselves".to_owned(),
            ));
        }
        let tls = match &options.tls {
            Some(Tls::Enabled(tls)) => Some(stream::connector(tls)?),
            Some(Tls::Disabled) | None => None,
        };
        options.app_name.get_or_insert_with(|| "argon".to_owned());
        let compressors = options.compressors.iter().flatten();
        let config = Config {
            app_name: options.app_name.clone().unwrap_or_default(),
            credential: options.credential.clone(),
            salted: scram::Cache::default(),
            tls,
            compressors: compressors.filter_map(compressor).collect(),
            connections_max: options.max_pool_size.filter(|max| *max > 0).unwrap_or(100),
            connecting_max: options.max_connecting.filter(|max| *max > 0).unwrap_or(2),
            idle_max: options.max_idle_time.filter(|time| !time.is_zero()),
            connect_timeout: options.connect_timeout.unwrap_or(Duration::from_secs(10)),
            answer_timeout,
            selection_timeout: options
                .server_selection_timeout
                .unwrap_or(Duration::from_secs(30)),
            local_threshold: options.local_threshold.unwrap_or(Duration::from_millis(15)),
        };
        Ok((config, options))
    }
}

fn compressor(compressor: &mongodb::options::Compressor) -> Option<Compressor> {
    match compressor {
        mongodb::options::Compressor::Snappy => Some(Compressor::Snappy),
        mongodb::options::Compressor::Zlib { .. } => Some(Compressor::Zlib),
        mongodb::options::Compressor::Zstd { .. } => Some(Compressor::Zstd),
        _ => None,
    }
}
