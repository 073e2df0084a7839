//! `killCursors` for cursors of several servers: each server is told of its own, and the answers are put together.

use std::sync::Arc;

use bson::{RawArrayBuf, RawDocument, RawDocumentBuf};

use crate::error::{Error, Result};
use crate::server::Server;
use crate::{Exchange, Request, Upstream};

/// The lists in an answer, of which each cursor that was named is in one.
///
/// Source: MongoDB manual, "killCursors".
const LISTS: &[&str] = &[
    "cursorsKilled",
    "cursorsNotFound",
    "cursorsAlive",
    "cursorsUnknown",
];

impl Upstream {
    /// The command `request` for each server that has cursors it names; `None` if one command will do.
    pub(crate) fn parted(&self, request: &Request) -> Option<Vec<Request>> {
        let killed = request.killed_cursors();
        if killed.len() < 2 {
            return None;
        }
        let mut parts: Vec<(Arc<Server>, Vec<i64>)> = Vec::new();
        let mut nowhere = Vec::new();
        for cursor in killed {
            match self.cursors.find(&cursor, 0) {
                None => nowhere.push(cursor),
                Some(server) => {
                    match parts
                        .iter_mut()
                        .find(|(known, _)| Arc::ptr_eq(known, &server))
                    {
                        Some((_, cursors)) => cursors.push(cursor),
                        None => parts.push((server, vec![cursor])),
                    }
                }
            }
        }
        if parts.len() < 2 {
            return None;
        }
        // Any server says of them that it has not got them.
        if let Some((_, cursors)) = parts.first_mut() {
            cursors.append(&mut nowhere);
        }
        let body = RawDocument::from_bytes(request.body()).ok()?;
        let requests = parts.iter().map(|(_, cursors)| {
            let body = with_cursors(body, cursors)?;
            request.with_body(body.as_bytes())
        });
        requests.collect()
    }

    /// Sends each of `parts`, and gives one answer to all.
    pub(crate) async fn send_parts(&self, parts: Vec<Request>) -> Result<Option<Exchange>> {
        let mut whole: Option<Exchange> = None;
        for mut part in parts {
            let Some(exchange) = self.send_to_one(&mut part).await? else {
                continue;
            };
            if exchange.reply().has_error() {
                return Ok(Some(exchange));
            }
            whole = Some(match whole {
                None => exchange,
                Some(mut whole) => {
                    let body = together(whole.reply().body(), exchange.reply().body())
                        .ok_or(Error::Malformed("an answer to killCursors"))?;
                    whole.reply_mut().replace_body(body.as_bytes());
                    whole
                }
            });
        }
        Ok(whole)
    }
}

fn with_cursors(body: &RawDocument, cursors: &[i64]) -> Option<RawDocumentBuf> {
    let mut out = RawDocumentBuf::new();
    for item in body {
        let (key, value) = item.ok()?;
        if key == "cursors" {
            let cursors: RawArrayBuf = cursors.iter().copied().collect();
            out.append(key, cursors);
        } else {
            out.append(key, value);
        }
    }
    Some(out)
}

/// The answer `first` with the cursors of `second` on its lists.
fn together(first: &[u8], second: &[u8]) -> Option<RawDocumentBuf> {
    let (first, second) = (
        RawDocument::from_bytes(first).ok()?,
        RawDocument::from_bytes(second).ok()?,
    );
    let mut out = RawDocumentBuf::new();
    for item in first {
        let (key, value) = item.ok()?;
        let list = value.as_array().filter(|_| LISTS.contains(&key.as_str()));
        let Some(list) = list else {
            out.append(key, value);
            continue;
        };
        let mut all = RawArrayBuf::new();
        let more = second.get_array(key).ok();
        for cursor in list.into_iter().chain(more.into_iter().flatten()) {
            all.push(cursor.ok()?);
        }
        out.append(key, all);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn lists_are_put_together() {
        let first = rawdoc! {"cursorsKilled": [1_i64], "cursorsNotFound": [], "ok": 1.0};
        let second = rawdoc! {"cursorsKilled": [2_i64], "cursorsNotFound": [3_i64], "ok": 1.0};
        assert_eq!(
            together(first.as_bytes(), second.as_bytes()).unwrap(),
            rawdoc! {"cursorsKilled": [1_i64, 2_i64], "cursorsNotFound": [3_i64], "ok": 1.0}
        );
    }

    #[test]
    fn a_part_names_its_own_cursors() {
        let body = rawdoc! {"killCursors": "c", "cursors": [1_i64, 2_i64], "$db": "shop"};
        assert_eq!(
            with_cursors(&body, &[2]).unwrap(),
            rawdoc! {"killCursors": "c", "cursors": [2_i64], "$db": "shop"}
        );
    }
}
