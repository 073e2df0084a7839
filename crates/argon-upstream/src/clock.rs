//! The newest `$clusterTime` that the deployment has signed.

use parking_lot::Mutex;

use crate::element;

/// A `$clusterTime` document is this long at most: time, hash, key. More than that is not one.
const BYTES_MAX: usize = 128;

/// The newest time seen.
#[derive(Debug)]
pub(crate) struct ClusterClock {
    newest: Mutex<Newest>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    time: u64,
    signed: bool,
    document: [u8; BYTES_MAX],
    length: usize,
}

impl Default for ClusterClock {
    fn default() -> Self {
        ClusterClock {
            newest: Mutex::new(Newest {
                time: 0,
                signed: false,
                document: [0; BYTES_MAX],
                length: 0,
            }),
        }
    }
}

impl ClusterClock {
    /// Takes note of a `$clusterTime` document that a server sent.
    pub(crate) fn observe(&self, document: &[u8]) {
        let Some((time, key)) = parts(document) else {
            return;
        };
        let mut newest = self.newest.lock();
        if time > newest.time
            && let Some(place) = newest.document.get_mut(..document.len())
        {
            place.copy_from_slice(document);
            newest.length = document.len();
            newest.time = time;
            newest.signed = key != 0;
        }
    }

    /// Gives `replace` the newest document and its time, if `sent` by a client did not come from the deployment: it is
    /// later than anything the deployment said, or is not signed where the deployment signs.
    ///
    /// Clients tell one server what another said, and take Argon and the deployment behind it for one.
    pub(crate) fn correct(&self, sent: &[u8], replace: impl FnOnce(&[u8], u64)) {
        let Some((time, key)) = parts(sent) else {
            return;
        };
        let newest = {
            let newest = self.newest.lock();
            if newest.time == 0 || (time <= newest.time && (key != 0) == newest.signed) {
                return;
            }
            *newest
        };
        replace(
            newest.document.get(..newest.length).unwrap_or_default(),
            newest.time,
        );
    }
}

/// The time, and the number of the key that signed it.
fn parts(document: &[u8]) -> Option<(u64, i64)> {
    let time = element::field(document, "clusterTime")?.integer()?;
    let signature = element::field(document, "signature");
    let key = signature.and_then(|signature| element::field(signature.document()?, "keyId"));
    Some((
        time.cast_unsigned(),
        key.and_then(|key| key.integer()).unwrap_or(0),
    ))
}
