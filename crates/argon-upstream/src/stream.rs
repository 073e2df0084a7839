//! Sockets to a server: TCP, a Unix domain socket, TLS over TCP.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use mongodb::options::{ServerAddress, TlsOptions};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, Result};

/// How long a connection is silent before the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// A socket to a server.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to `address`, through TLS if `tls` is there.
    pub(crate) async fn connect(
        address: &ServerAddress,
        tls: Option<&TlsConnector>,
    ) -> io::Result<Stream> {
        let (host, port) = match address {
            ServerAddress::Tcp { host, port } => (host.as_str(), port.unwrap_or(27017)),
            ServerAddress::Unix { path } => {
                return UnixStream::connect(path).await.map(Stream::Unix);
            }
            _ => return Err(io::Error::other("an address of a kind not known")),
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let Some(tls) = tls else {
            return Ok(Stream::Tcp(stream));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = tls.connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read_buf(buffer).await,
            Stream::Unix(stream) => stream.read_buf(buffer).await,
            Stream::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes).await,
            Stream::Unix(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Whether an idle connection is still good: the other end has neither closed it nor said anything unasked.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
            // A byte taken off here would be missing in the TLS stream, but nobody reads that stream again.
            Stream::Tls(stream) => stream.get_ref().0.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// How TLS connections are made.
pub(crate) fn connector(options: &TlsOptions) -> Result<TlsConnector> {
    let unusable = |error: &dyn std::fmt::Display| Error::Uri(format!("TLS: {error}"));
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file_path {
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|error| unusable(&format!("{}: {error}", path.display())))?;
        roots.add_parsable_certificates(certificates.flatten());
    } else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots);
    let mut config = match &options.cert_key_file_path {
        None => config.with_no_client_auth(),
        Some(path) => {
            let file =
                |error: &dyn std::fmt::Display| unusable(&format!("{}: {error}", path.display()));
            let mut reader = BufReader::new(File::open(path).map_err(|error| file(&error))?);
            let certificates = CertificateDer::pem_reader_iter(&mut reader)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| file(&error))?;
            reader.rewind().map_err(|error| file(&error))?;
            let key = PrivateKeyDer::from_pem_reader(&mut reader).map_err(|error| file(&error))?;
            config
                .with_client_auth_cert(certificates, key)
                .map_err(|error| file(&error))?
        }
    };
    if options.allow_invalid_certificates == Some(true) {
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(TrustAll(ring::default_provider())));
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes every certificate: `tlsInsecure` and `tlsAllowInvalidCertificates`.
#[derive(Debug)]
struct TrustAll(CryptoProvider);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
