//! The proof: is there an order of everything that was done which explains every answer, and agrees with real time?
//!
//! In general that is hard to decide. Here it is not, because every kind of document shows in which order it was
//! changed: a list by its contents, a counter by its value, a register by the chain of its values, each naming the one
//! before. So every answer belongs to a *version*, and what is left to check is that versions do not go backwards
//! while the clock goes forwards ([`real_time`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cluster::Mode;
use crate::history::{Action, Event, Outcome};

/// What a branch holds in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) lists: BTreeMap<i32, Vec<i64>>,
    pub(crate) accounts: BTreeMap<i32, Vec<i64>>,
    pub(crate) counters: BTreeMap<i32, i64>,
    pub(crate) registers: BTreeMap<i32, i64>,
    pub(crate) documents: BTreeSet<i64>,
}

/// The value that registers begin with.
pub(crate) const FIRST: i64 = 0;

/// Everything that is wrong with what happened to one branch; nothing if all is well.
pub(crate) fn check(mode: Mode, events: &[&Event], end: &Contents) -> Vec<String> {
    let mut wrong = Vec::new();
    for event in events {
        if let Outcome::Wrong(what) = &event.outcome {
            wrong.push(format!("{what}: {event:?}"));
        }
    }
    for (key, list) in &end.lists {
        check_list(mode, *key, list, events, &mut wrong);
    }
    for (key, account) in &end.accounts {
        check_account(mode, *key, account, events, &mut wrong);
    }
    for (key, value) in &end.counters {
        check_counter(mode, *key, *value, events, &mut wrong);
    }
    for (key, value) in &end.registers {
        check_register(mode, *key, *value, events, &mut wrong);
    }
    check_atomic(mode, end, events, &mut wrong);
    check_documents(mode, &end.documents, events, &mut wrong);
    wrong
}

/// An answer that belongs to a version.
#[derive(Clone, Copy)]
struct Seen<'a> {
    event: &'a Event,
    version: usize,
    /// Whether it made the version, and so must come after all before it.
    made: bool,
}

/// Versions must not go backwards from what had ended to what began later: for all clients together, or, where reads may
/// be older than what others have written, for all that write and for each that looks.
fn real_time(mode: Mode, seen: Vec<Seen<'_>>, wrong: &mut Vec<String>) {
    if mode != Mode::Causal {
        return in_order(&seen, wrong);
    }
    let mut clients: BTreeMap<usize, Vec<Seen<'_>>> = BTreeMap::new();
    for one in &seen {
        clients.entry(one.event.client).or_default().push(*one);
    }
    for client in clients.values() {
        in_order(client, wrong);
    }
    let made: Vec<Seen<'_>> = seen.into_iter().filter(|seen| seen.made).collect();
    in_order(&made, wrong);
}

fn in_order(seen: &[Seen<'_>], wrong: &mut Vec<String>) {
    let mut ended: Vec<(u64, usize, usize)> = seen
        .iter()
        .enumerate()
        .map(|(at, seen)| (seen.event.end_of_effect(), seen.version, at))
        .collect();
    ended.sort_unstable();
    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_unstable_by_key(|at| seen[*at].event.start);
    let mut ended = ended.into_iter().peekable();
    let mut newest: Option<(usize, usize)> = None;
    let mut found = Vec::new();
    for at in order {
        let now = &seen[at];
        while let Some((_, version, before)) = ended.next_if(|(end, _, _)| *end < now.event.start) {
            if newest.is_none_or(|(newest, _)| version > newest) {
                newest = Some((version, before));
            }
        }
        if let Some((version, before)) = newest
            && (now.version < version || now.made && now.version == version)
        {
            found.push((before, at));
        }
    }
    for (before, at) in found {
        wrong.push(format!(
            "not in the order of time: first {:?} was answered with version {}, then {:?} with version {}",
            seen[before].event, seen[before].version, seen[at].event, seen[at].version
        ));
    }
}

fn check_list(mode: Mode, key: i32, list: &[i64], events: &[&Event], wrong: &mut Vec<String>) {
    let mut history = Appended::new(format!("list {key}"), list);
    for event in events {
        match (&event.action, &event.outcome) {
            (Action::Append { key: other, value }, _) if *other == key => {
                history.append(*value, event);
            }
            (Action::AppendToAll { value }, _) => history.append(*value, event),
            (
                Action::ReadList { key: other } | Action::Fork { key: other, .. },
                Outcome::List(read),
            ) if *other == key => history.read(read, event),
            _ => {}
        }
    }
    history.finish(mode, wrong);
}

fn check_account(mode: Mode, key: i32, list: &[i64], events: &[&Event], wrong: &mut Vec<String>) {
    let mut history = Appended::new(format!("account {key}"), list);
    for event in events {
        match (&event.action, &event.outcome) {
            (Action::Transfer { from, to, value }, _) if *from == key || *to == key => {
                history.append(*value, event);
            }
            (Action::ReadAccounts, Outcome::Lists(accounts)) => {
                let read = accounts.get(&key).map_or(&[][..], Vec::as_slice);
                history.read(read, event);
            }
            _ => {}
        }
    }
    // MongoDB manual, "Read Concern snapshot": of some moment that a majority has, not of the latest one.
    if !mode.has_log() {
        history.seen.retain(|seen| seen.made);
    }
    history.finish(mode, wrong);
}

/// What became of values that were appended to one document.
struct Appended<'a> {
    name: String,
    list: &'a [i64],
    places: HashMap<i64, usize>,
    known: BTreeSet<i64>,
    seen: Vec<Seen<'a>>,
    wrong: Vec<String>,
}

impl<'a> Appended<'a> {
    fn new(name: String, list: &'a [i64]) -> Appended<'a> {
        let mut history = Appended {
            name,
            list,
            places: HashMap::new(),
            known: BTreeSet::new(),
            seen: Vec::new(),
            wrong: Vec::new(),
        };
        for (at, value) in list.iter().enumerate() {
            if history.places.insert(*value, at + 1).is_some() {
                history.add(format_args!("has {value} twice: a write was done twice"));
            }
        }
        history
    }

    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        self.wrong.push(format!("{} {what}", self.name));
    }

    fn append(&mut self, value: i64, event: &'a Event) {
        self.known.insert(value);
        match (&event.outcome, self.places.get(&value)) {
            (Outcome::Done, None) => {
                self.add(format_args!("has lost an acknowledged value: {event:?}"));
            }
            (Outcome::Refused(_), Some(_)) => {
                self.add(format_args!("has a value that was refused: {event:?}"));
            }
            (_, Some(version)) => self.seen.push(Seen {
                event,
                version: *version,
                made: true,
            }),
            (_, None) => {}
        }
    }

    fn read(&mut self, read: &[i64], event: &'a Event) {
        if self.list.starts_with(read) {
            self.seen.push(Seen {
                event,
                version: read.len(),
                made: false,
            });
        } else {
            let list = self.list;
            self.add(format_args!(
                "never was what was read: {event:?}; it is {list:?} in the end"
            ));
        }
    }

    fn finish(mut self, mode: Mode, wrong: &mut Vec<String>) {
        for value in self.list {
            if !self.known.contains(value) {
                self.wrong
                    .push(format!("{} has {value}, which nobody appended", self.name));
            }
        }
        real_time(mode, self.seen, &mut self.wrong);
        wrong.append(&mut self.wrong);
    }
}

/// What one command or transaction appends to several documents is in all of them or in none, at every moment.
fn check_atomic(mode: Mode, end: &Contents, events: &[&Event], wrong: &mut Vec<String>) {
    let mut pairs: HashMap<i64, [i32; 2]> = HashMap::new();
    for event in events {
        match event.action {
            Action::Transfer { from, to, value } => {
                pairs.insert(value, [from, to]);
            }
            // A command with many statements is one record of the log; MongoDB's own may stop in the middle.
            Action::AppendToAll { value } if mode.has_log() => {
                let count = end
                    .lists
                    .values()
                    .filter(|list| list.contains(&value))
                    .count();
                if count != 0 && count != end.lists.len() {
                    wrong.push(format!("only {count} lists have {value}: {event:?}"));
                }
            }
            _ => {}
        }
    }
    let mut check = |accounts: &BTreeMap<i32, Vec<i64>>, when: &dyn std::fmt::Debug| {
        for (key, values) in accounts {
            for value in values {
                let keys = pairs.get(value).copied().unwrap_or([*key; 2]);
                if !keys
                    .iter()
                    .all(|key| accounts.get(key).is_some_and(|other| other.contains(value)))
                {
                    wrong.push(format!(
                        "half a transfer: {value} is in account {key} alone, {when:?}"
                    ));
                }
            }
        }
    };
    check(&end.accounts, &"in the end");
    for event in events {
        if let Outcome::Lists(accounts) = &event.outcome {
            check(accounts, event);
        }
    }
}

fn check_counter(mode: Mode, key: i32, value: i64, events: &[&Event], wrong: &mut Vec<String>) {
    let (mut done, mut unknown) = (0, 0);
    let mut seen = Vec::new();
    let mut made: HashMap<i64, &Event> = HashMap::new();
    for event in events {
        let (is_write, number) = match (&event.action, &event.outcome) {
            (Action::Increment { key: other }, outcome) if *other == key => match outcome {
                Outcome::Number(number) => (true, *number),
                Outcome::Unknown(_) => {
                    unknown += 1;
                    continue;
                }
                _ => continue,
            },
            (Action::ReadCounter { key: other }, Outcome::Number(number)) if *other == key => {
                (false, *number)
            }
            _ => continue,
        };
        if is_write {
            done += 1;
            if let Some(other) = made.insert(number, event) {
                wrong.push(format!(
                    "counter {key} was {number} for two increments: {other:?} and {event:?}"
                ));
            }
        }
        match usize::try_from(number) {
            Ok(version) if number <= value => seen.push(Seen {
                event,
                version,
                made: is_write,
            }),
            _ => wrong.push(format!(
                "counter {key} is {value} in the end, but before: {event:?}"
            )),
        }
    }
    if value < done || value > done + unknown {
        wrong.push(format!(
            "counter {key} is {value}, after {done} acknowledged increments and {unknown} of which nobody knows"
        ));
    }
    real_time(mode, seen, wrong);
}

fn check_register(mode: Mode, key: i32, value: i64, events: &[&Event], wrong: &mut Vec<String>) {
    // Each value names the one before it, so the chain is walked from its end.
    let mut made: HashMap<i64, (&Event, i64)> = HashMap::new();
    for event in events {
        if let Action::CompareAndSet {
            key: other,
            expected,
            new,
        } = &event.action
            && *other == key
        {
            made.insert(*new, (event, *expected));
        }
    }
    let mut chain = vec![value];
    let mut at = value;
    while at != FIRST {
        let Some((_, before)) = made.get(&at) else {
            wrong.push(format!("register {key} was {at}, which nobody set"));
            return;
        };
        at = *before;
        chain.push(at);
        if chain.len() > made.len() + 1 {
            wrong.push(format!("register {key} has values in a circle"));
            return;
        }
    }
    let versions: HashMap<i64, usize> = chain
        .iter()
        .rev()
        .enumerate()
        .map(|(version, value)| (*value, version))
        .collect();
    let mut seen = Vec::new();
    for event in events {
        let (value, is_write) = match (&event.action, &event.outcome) {
            (
                Action::CompareAndSet {
                    key: other, new, ..
                },
                outcome,
            ) if *other == key => match (outcome, versions.get(new)) {
                (Outcome::Done, None) => {
                    wrong.push(format!(
                        "register {key} has lost an acknowledged value: {event:?}"
                    ));
                    continue;
                }
                (Outcome::Refused(_), Some(_)) => {
                    wrong.push(format!(
                        "register {key} had a value that was refused: {event:?}"
                    ));
                    continue;
                }
                (_, Some(_)) => (*new, true),
                (_, None) => continue,
            },
            (Action::ReadRegister { key: other }, Outcome::Number(value)) if *other == key => {
                (*value, false)
            }
            _ => continue,
        };
        match versions.get(&value) {
            Some(version) => seen.push(Seen {
                event,
                version: *version,
                made: is_write,
            }),
            None => wrong.push(format!("register {key} never was what was read: {event:?}")),
        }
    }
    real_time(mode, seen, wrong);
}

fn check_documents(mode: Mode, found: &BTreeSet<i64>, events: &[&Event], wrong: &mut Vec<String>) {
    let mut known: BTreeSet<i64> = BTreeSet::new();
    let deleted: HashMap<i64, &Event> = events
        .iter()
        .filter_map(|event| match &event.action {
            Action::Delete { ids } => Some((*ids.first()?, *event)),
            _ => None,
        })
        .collect();
    for event in events {
        let Action::Insert { ids, .. } = &event.action else {
            continue;
        };
        known.extend(ids);
        let there = ids.iter().filter(|id| found.contains(id)).count();
        let deletion = ids.first().and_then(|id| deleted.get(id)).copied();
        let (all, none) = (there == ids.len(), there == 0);
        let right = match (&event.outcome, deletion.map(|deletion| &deletion.outcome)) {
            (Outcome::Refused(_), _) | (_, Some(Outcome::Done)) => none,
            (Outcome::Done, None | Some(Outcome::Refused(_))) => all,
            // One command is one record of the log; MongoDB's own may stop in the middle.
            _ => all || none || !mode.has_log(),
        };
        if !right {
            wrong.push(format!(
                "{there} of {} documents are there, after {event:?} and {deletion:?}",
                ids.len()
            ));
        }
    }
    for id in found.difference(&known) {
        wrong.push(format!("document {id} was inserted by nobody"));
    }
}

#[cfg(test)]
mod tests;
