//! TLS to the deployment, with certificates made for the test: the log's store, what passes through, copies, the import.

use std::path::PathBuf;

use argon_testkit::mongod::{Mongod, Options};
use bson::rawdoc;
use mongodb::bson::doc;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use super::login::{everything_works, serve};
use super::{count, drive, fill};

/// An option that has a server give up soon.
const SOON: &str = "&serverSelectionTimeoutMS=3000";

/// An authority, and what it has signed: each a file with its certificate, and its key where it has to prove itself.
struct Certificates {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "The tests' authority");
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        Certificates { dir, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    /// Signs a certificate for `hosts`, with these fields in its name, and writes it and its key.
    fn sign(&self, name: &str, hosts: &[&str], fields: &[(DnType, &str)]) {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.distinguished_name = DistinguishedName::new();
        for (field, value) in fields {
            params.distinguished_name.push(field.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let both = certificate.pem() + &key.serialize_pem();
        std::fs::write(self.path(name), both).unwrap();
    }

    /// A replica set of one member that speaks TLS, and to those on this machine plain text until told otherwise.
    fn mongod(&self, args: &[&str]) -> Mongod {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (server, ca) = (text(self.path("server")), text(self.path("ca")));
        let args = [
            &[
                "--tlsMode",
                "preferTLS",
                "--tlsCertificateKeyFile",
                &server,
                "--tlsCAFile",
                &ca,
            ],
            args,
        ]
        .concat();
        let options = Options {
            replica_set: true,
            volatile: true,
        };
        Mongod::start_with(options, &args).unwrap()
    }

    fn address(&self, mongod: &Mongod, query: &str) -> String {
        let ca = self.path("ca");
        format!(
            "mongodb://{}/?tls=true&tlsCAFile={}{query}",
            mongod.addr(),
            ca.display()
        )
    }
}

/// A deployment that speaks TLS only, and asks for no client's certificate.
fn strict(certificates: &Certificates) -> Mongod {
    let mongod = certificates.mongod(&["--tlsAllowConnectionsWithoutCertificates"]);
    let mut direct = mongod.connect().unwrap();
    fill(&mut direct, "shop", 1);
    let strict = rawdoc! {"setParameter": 1, "tlsMode": "requireTLS"};
    direct.run_ok("admin", &strict).unwrap();
    mongod
}

#[test]
fn a_deployment_that_requires_tls_serves_every_part() {
    let certificates = Certificates::new();
    certificates.sign("server", &["localhost", "127.0.0.1"], &[]);
    let mongod = strict(&certificates);
    everything_works(&certificates.address(&mongod, ""), "plain");
    // A certificate that nobody asked for does no harm.
    certificates.sign("client", &["argon"], &[]);
    let client = certificates.path("client");
    let query = format!("&tlsCertificateKeyFile={}", client.display());
    everything_works(&certificates.address(&mongod, &query), "certified");
}

#[test]
fn a_deployment_that_is_not_who_it_says_is_not_used() {
    let certificates = Certificates::new();
    certificates.sign("server", &["db.example.net"], &[]);
    let mongod = strict(&certificates);
    let stranger = Certificates::new();
    let cases = [
        // The certificate is another host's.
        certificates.address(&mongod, SOON),
        // Nobody known has signed it.
        stranger.address(&mongod, SOON),
        // No TLS at all.
        format!("mongodb://{}/?appName=test{SOON}", mongod.addr()),
    ];
    for uri in cases {
        let error = serve(&uri).unwrap_err();
        assert!(
            error.contains("cannot keep the log in MongoDB"),
            "{uri}: {error}"
        );
    }
    // Unless one insists.
    let insisting = certificates.address(&mongod, "&tlsAllowInvalidCertificates=true");
    let argon = serve(&insisting).unwrap();
    let mut client = argon.connect().unwrap();
    assert_eq!(count(&mut client, "shop", "c"), 1);
}

#[test]
fn a_certificate_logs_in() {
    let certificates = Certificates::new();
    certificates.sign("server", &["localhost", "127.0.0.1"], &[]);
    let name = [
        (DnType::OrganizationName, "Argon"),
        (DnType::OrganizationalUnitName, "clients"),
        (DnType::CommonName, "app"),
    ];
    certificates.sign("client", &["argon"], &name);
    let key = certificates.path("key");
    super::login::write_key_file(&key);
    let mongod = certificates.mongod(&["--keyFile", key.to_str().unwrap()]);
    let root = rawdoc! {"createUser": "root", "pwd": "root", "roles": ["root"]};
    mongod.connect().unwrap().run_ok("admin", &root).unwrap();
    drive(async {
        let uri = format!(
            "mongodb://root:root@{}/?directConnection=true",
            mongod.addr()
        );
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        let user = doc! {
            "createUser": "CN=app,OU=clients,O=Argon",
            "roles": [{"role": "readWriteAnyDatabase", "db": "admin"}, {"role": "dbAdminAnyDatabase", "db": "admin"}],
        };
        client
            .database("$external")
            .run_command(user)
            .await
            .unwrap();
        let shop = client.database("shop");
        let there = doc! {"insert": "there", "documents": [{"_id": 1}]};
        shop.run_command(there).await.unwrap();
    });
    let client = certificates.path("client");
    let query = format!(
        "&authMechanism=MONGODB-X509&tlsCertificateKeyFile={}",
        client.display()
    );
    everything_works(&certificates.address(&mongod, &query), "x509");
}
