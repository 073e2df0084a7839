//! SCRAM-SHA-1 and SCRAM-SHA-256, the client's side, as pure functions from message to message.
//!
//! Source: RFC 5802, RFC 7677; specification "Authentication".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use parking_lot::Mutex;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Fewer rounds than this no server may ask for. Source: specification "Authentication", "SCRAM-SHA-1".
const ROUNDS_MIN: u32 = 4096;
/// More would let a server keep this one busy for minutes.
const ROUNDS_MAX: u32 = 1_000_000;

/// Which hash is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Sha1,
    Sha256,
}

/// The conversation after the client's first message.
pub(crate) struct Started {
    mechanism: Mechanism,
    user: String,
    password: String,
    nonce: String,
    bare: String,
}

/// The password as it was last salted. Hashing it thousands of times for each connection would be felt where many are made.
///
/// Source: specification "Authentication", "SCRAM": caching of the salted password.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<Salted>>);

struct Salted {
    mechanism: Mechanism,
    salt: Vec<u8>,
    rounds: u32,
    password: Vec<u8>,
}

/// The conversation after the client's last message.
pub(crate) struct Finishing {
    server_signature: Vec<u8>,
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Sha1 => "SCRAM-SHA-1",
            Mechanism::Sha256 => "SCRAM-SHA-256",
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Mechanism::Sha1 => Sha1::digest(bytes).to_vec(),
            Mechanism::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        fn run<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
            let mut mac =
                <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(bytes);
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Mechanism::Sha1 => run::<Hmac<Sha1>>(key, bytes),
            Mechanism::Sha256 => run::<Hmac<Sha256>>(key, bytes),
        }
    }

    fn salted(
        self,
        user: &str,
        password: &str,
        salt: &[u8],
        rounds: u32,
    ) -> Result<Vec<u8>, String> {
        match self {
            Mechanism::Sha1 => {
                // MongoDB's own step before RFC 5802's, kept from its first authentication.
                let digest = md5::Digest::finalize(md5::Digest::chain_update(
                    Md5::default(),
                    format!("{user}:mongo:{password}"),
                ));
                let password = digest
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>();
                let mut salted = vec![0; 20];
                pbkdf2::pbkdf2::<Hmac<Sha1>>(password.as_bytes(), salt, rounds, &mut salted)
                    .map_err(|error| error.to_string())?;
                Ok(salted)
            }
            Mechanism::Sha256 => {
                let password = stringprep::saslprep(password).map_err(|error| error.to_string())?;
                let mut salted = vec![0; 32];
                pbkdf2::pbkdf2::<Hmac<Sha256>>(password.as_bytes(), salt, rounds, &mut salted)
                    .map_err(|error| error.to_string())?;
                Ok(salted)
            }
        }
    }
}

/// The client's first message, and the conversation it begins. `nonce` has to be hard to guess.
pub(crate) fn start(
    mechanism: Mechanism,
    user: &str,
    password: &str,
    nonce: &str,
) -> (String, Started) {
    let name = user.replace('=', "=3D").replace(',', "=2C");
    let bare = format!("n={name},r={nonce}");
    let first = format!("n,,{bare}");
    let started = Started {
        mechanism,
        user: user.to_owned(),
        password: password.to_owned(),
        nonce: nonce.to_owned(),
        bare,
    };
    (first, started)
}

impl Started {
    /// The client's last message, in answer to the server's first. A cache serves one user's conversations.
    pub(crate) fn answer(
        self,
        server_first: &str,
        cache: &Cache,
    ) -> Result<(String, Finishing), String> {
        let part = |name: &str| {
            let found = server_first
                .split(',')
                .find_map(|part| part.strip_prefix(name));
            found.ok_or_else(|| format!("the server's message has no {name}"))
        };
        let nonce = part("r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's nonce does not go on from ours".to_owned());
        }
        let salt = STANDARD
            .decode(part("s=")?)
            .map_err(|error| error.to_string())?;
        let rounds: u32 = part("i=")?
            .parse()
            .map_err(|_| "rounds are no number".to_owned())?;
        if !(ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
            return Err(format!(
                "{rounds} rounds are not between {ROUNDS_MIN} and {ROUNDS_MAX}"
            ));
        }
        let mechanism = self.mechanism;
        let salted = cache.salted(mechanism, salt, rounds, |salt| {
            mechanism.salted(&self.user, &self.password, salt, rounds)
        })?;
        let client_key = mechanism.hmac(&salted, b"Client Key");
        let stored_key = mechanism.hash(&client_key);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = mechanism.hmac(&stored_key, message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(key, sign)| key ^ sign)
            .collect();
        let server_key = mechanism.hmac(&salted, b"Server Key");
        let server_signature = mechanism.hmac(&server_key, message.as_bytes());
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok((last, Finishing { server_signature }))
    }
}

impl Cache {
    /// The salted password: the last one if it was asked for in the same way, else what `hash` makes.
    fn salted(
        &self,
        mechanism: Mechanism,
        salt: Vec<u8>,
        rounds: u32,
        hash: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        if let Some(last) = &*self.0.lock()
            && (last.mechanism, &last.salt, last.rounds) == (mechanism, &salt, rounds)
        {
            return Ok(last.password.clone());
        }
        let password = hash(&salt)?;
        *self.0.lock() = Some(Salted {
            mechanism,
            salt,
            rounds,
            password: password.clone(),
        });
        Ok(password)
    }
}

impl Finishing {
    /// Checks that the server, too, knows the password.
    pub(crate) fn check(&self, server_last: &str) -> Result<(), String> {
        let signature = server_last
            .split(',')
            .find_map(|part| part.strip_prefix("v="));
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        if signature.as_deref() == Some(&self.server_signature[..]) {
            Ok(())
        } else {
            Err("the server does not prove that it knows the password".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677() {
        let (first, started) = start(Mechanism::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let cache = Cache::default();
        let (last, finishing) = started.answer(server, &cache).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        finishing
            .check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
            .unwrap();
        assert!(finishing.check("v=AAAA").is_err());
        // The second time nothing is hashed, and the answer is the same.
        let (_, started) = start(Mechanism::Sha256, "user", "another", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(started.answer(server, &cache).unwrap().0, last);
    }

    #[test]
    fn a_server_that_cheats_is_refused() {
        let answer = |server: &str| {
            start(Mechanism::Sha256, "u", "p", "abc")
                .1
                .answer(server, &Cache::default())
                .is_err()
        };
        assert!(answer("r=abc,s=AAAA,i=4096"), "no nonce of its own");
        assert!(answer("r=xbcd,s=AAAA,i=4096"), "another nonce");
        assert!(answer("r=abcd,s=AAAA,i=1"), "too few rounds");
        assert!(answer("r=abcd,s=AAAA,i=4000000000"), "too many rounds");
        assert!(answer("e=unknown-user"));
    }
}
