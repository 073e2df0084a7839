//! The proof: is there an order of everything that was done which explains every answer, and agrees with real time?
//!
//! In general that is hard to decide. Here it is not, because every kind of document shows in which order it was
//! changed: a list by its contents, a counter by its value, a register by the chain of its values, each naming the one
//! before. So every answer belongs to a *version*, and what is left to check is that versions do not go backwards
//! while the clock goes forwards ([`real_time`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Action, Event, Outcome};

/// What a branch holds in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) lists: BTreeMap<i32, Vec<i64>>,
    pub(crate) counters: BTreeMap<i32, i64>,
    pub(crate) registers: BTreeMap<i32, i64>,
    pub(crate) documents: BTreeSet<i64>,
}

/// The value that registers begin with.
pub(crate) const FIRST: i64 = 0;

/// Everything that is wrong with what happened to one branch; nothing if all is well.
pub(crate) fn check(events: &[&Event], end: &Contents) -> Vec<String> {
    let mut wrong = Vec::new();
    for event in events {
        if let Outcome::Wrong(what) = &event.outcome {
            wrong.push(format!("{what}: {event:?}"));
        }
    }
    for (key, list) in &end.lists {
        check_list(*key, list, events, &mut wrong);
    }
    for (key, value) in &end.counters {
        check_counter(*key, *value, events, &mut wrong);
    }
    for (key, value) in &end.registers {
        check_register(*key, *value, events, &mut wrong);
    }
    check_documents(&end.documents, events, &mut wrong);
    wrong
}

/// An answer that belongs to a version.
struct Seen<'a> {
    event: &'a Event,
    version: usize,
    /// Whether it made the version, and so must come after all before it.
    made: bool,
}

/// Versions must not go backwards from what had ended to what began later.
fn real_time(mut seen: Vec<Seen<'_>>, wrong: &mut Vec<String>) {
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
    seen.clear();
}

fn check_list(key: i32, list: &[i64], events: &[&Event], wrong: &mut Vec<String>) {
    let mut places: HashMap<i64, usize> = HashMap::new();
    for (at, value) in list.iter().enumerate() {
        if places.insert(*value, at + 1).is_some() {
            wrong.push(format!(
                "list {key} has {value} twice: a write was done twice"
            ));
        }
    }
    let mut known = BTreeSet::new();
    let mut seen = Vec::new();
    for event in events {
        match &event.action {
            Action::Append { key: other, value } if *other == key => {
                known.insert(*value);
                match (&event.outcome, places.get(value)) {
                    (Outcome::Done, None) => {
                        wrong.push(format!(
                            "list {key} has lost an acknowledged value: {event:?}"
                        ));
                    }
                    (Outcome::Refused(_), Some(_)) => {
                        wrong.push(format!(
                            "list {key} has a value that was refused: {event:?}"
                        ));
                    }
                    (_, Some(version)) => seen.push(Seen {
                        event,
                        version: *version,
                        made: true,
                    }),
                    (_, None) => {}
                }
            }
            Action::ReadList { key: other } | Action::Fork { key: other, .. } if *other == key => {
                let Outcome::List(read) = &event.outcome else {
                    continue;
                };
                if list.starts_with(read) {
                    seen.push(Seen {
                        event,
                        version: read.len(),
                        made: false,
                    });
                } else {
                    wrong.push(format!(
                        "list {key} never was what was read: {event:?}; it is {list:?} in the end"
                    ));
                }
            }
            _ => {}
        }
    }
    for value in list.iter().filter(|value| !known.contains(value)) {
        wrong.push(format!("list {key} has {value}, which nobody appended"));
    }
    real_time(seen, wrong);
}

fn check_counter(key: i32, value: i64, events: &[&Event], wrong: &mut Vec<String>) {
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
    real_time(seen, wrong);
}

fn check_register(key: i32, value: i64, events: &[&Event], wrong: &mut Vec<String>) {
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
    real_time(seen, wrong);
}

fn check_documents(found: &BTreeSet<i64>, events: &[&Event], wrong: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    for event in events {
        let Action::Insert { id } = event.action else {
            continue;
        };
        known.insert(id);
        match (&event.outcome, found.contains(&id)) {
            (Outcome::Done, false) => {
                wrong.push(format!("an acknowledged document is lost: {event:?}"))
            }
            (Outcome::Refused(_), true) => {
                wrong.push(format!("a document that was refused is there: {event:?}"))
            }
            _ => {}
        }
    }
    for id in found.difference(&known) {
        wrong.push(format!("document {id} was inserted by nobody"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: Action, start: u64, end: u64, outcome: Outcome) -> Event {
        Event {
            client: 0,
            database: "d".to_owned(),
            action,
            start,
            end,
            outcome,
        }
    }

    fn append(value: i64, start: u64, end: u64, outcome: Outcome) -> Event {
        event(Action::Append { key: 0, value }, start, end, outcome)
    }

    fn read(list: &[i64], start: u64, end: u64) -> Event {
        event(
            Action::ReadList { key: 0 },
            start,
            end,
            Outcome::List(list.to_vec()),
        )
    }

    fn unknown() -> Outcome {
        Outcome::Unknown(String::new())
    }

    fn refused() -> Outcome {
        Outcome::Refused(String::new())
    }

    /// How many things are wrong.
    fn wrong(events: &[Event], end: &Contents) -> usize {
        check(&events.iter().collect::<Vec<_>>(), end).len()
    }

    fn list(values: &[i64]) -> Contents {
        Contents {
            lists: [(0, values.to_vec())].into(),
            ..Contents::default()
        }
    }

    #[test]
    fn lists() {
        let ok = [
            append(1, 0, 10, Outcome::Done),
            append(2, 5, 15, Outcome::Done),
            append(3, 6, 7, unknown()),
            append(4, 20, 30, refused()),
            read(&[2], 6, 20),
            read(&[2, 1], 16, 17),
        ];
        assert_eq!(wrong(&ok, &list(&[2, 1])), 0);
        // What nobody knows may be done much later.
        assert_eq!(wrong(&ok, &list(&[2, 1, 3])), 0);
        // Lost, doubled, refused, foreign, and read though it never was.
        assert_eq!(wrong(&ok[..1], &list(&[])), 1);
        assert_eq!(wrong(&ok[..1], &list(&[1, 1])), 1);
        assert_eq!(wrong(&ok[3..4], &list(&[4])), 1);
        assert_eq!(wrong(&[], &list(&[9])), 1);
        assert_eq!(wrong(&[ok[0].clone(), read(&[7], 1, 2)], &list(&[1])), 1);
        // A stale read: the append was acknowledged before it began.
        assert_eq!(wrong(&[ok[0].clone(), read(&[], 11, 12)], &list(&[1])), 1);
        assert_eq!(wrong(&[ok[0].clone(), read(&[], 9, 12)], &list(&[1])), 0);
        // A read from the future, and two reads of which the second saw less.
        assert_eq!(
            wrong(
                &[
                    ok[0].clone(),
                    append(2, 50, 60, Outcome::Done),
                    read(&[1, 2], 20, 30)
                ],
                &list(&[1, 2])
            ),
            1
        );
        assert_eq!(
            wrong(
                &[
                    append(1, 0, 90, Outcome::Done),
                    read(&[1], 10, 20),
                    read(&[], 30, 40)
                ],
                &list(&[1])
            ),
            1
        );
        // Acknowledged in one order and there in the other.
        assert_eq!(
            wrong(
                &[
                    append(1, 0, 1, Outcome::Done),
                    append(2, 2, 3, Outcome::Done)
                ],
                &list(&[2, 1])
            ),
            1
        );
    }

    #[test]
    fn counters() {
        let increment =
            |start, end, outcome| event(Action::Increment { key: 0 }, start, end, outcome);
        let read = |number, start, end| {
            event(
                Action::ReadCounter { key: 0 },
                start,
                end,
                Outcome::Number(number),
            )
        };
        let counter = |value| Contents {
            counters: [(0, value)].into(),
            ..Contents::default()
        };
        let ok = [
            increment(0, 1, Outcome::Number(1)),
            increment(2, 3, Outcome::Number(2)),
            increment(2, 4, unknown()),
            read(2, 5, 6),
        ];
        assert_eq!(wrong(&ok, &counter(2)), 0);
        assert_eq!(wrong(&ok, &counter(3)), 0);
        assert_eq!(wrong(&ok[..2], &counter(3)), 1);
        assert_eq!(wrong(&ok, &counter(4)), 1);
        // Lost: in the end less than what was answered, and than the number of answers.
        assert_eq!(wrong(&ok[..2], &counter(1)), 2);
        // Two increments of the same value.
        assert_eq!(
            wrong(
                &[
                    ok[0].clone(),
                    increment(0, 5, Outcome::Number(1)),
                    ok[2].clone()
                ],
                &counter(2)
            ),
            1
        );
        // Stale.
        assert_eq!(
            wrong(&[ok[0].clone(), ok[1].clone(), read(1, 5, 6)], &counter(2)),
            1
        );
    }

    #[test]
    fn registers() {
        let set = |expected, new, start, end, outcome| {
            event(
                Action::CompareAndSet {
                    key: 0,
                    expected,
                    new,
                },
                start,
                end,
                outcome,
            )
        };
        let read = |number, start, end| {
            event(
                Action::ReadRegister { key: 0 },
                start,
                end,
                Outcome::Number(number),
            )
        };
        let register = |value| Contents {
            registers: [(0, value)].into(),
            ..Contents::default()
        };
        let ok = [
            set(FIRST, 1, 0, 1, Outcome::Done),
            set(1, 2, 2, 3, unknown()),
            set(2, 3, 4, 5, Outcome::Done),
            set(2, 4, 4, 9, refused()),
            read(FIRST, 0, 1),
            read(3, 6, 7),
        ];
        assert_eq!(wrong(&ok, &register(3)), 0);
        // Two writes on the same value: one of them is lost.
        assert_eq!(
            wrong(
                &[ok[0].clone(), set(FIRST, 2, 0, 9, Outcome::Done)],
                &register(2)
            ),
            1
        );
        // Refused, and there; foreign; stale.
        assert_eq!(
            wrong(&[ok[0].clone(), set(1, 4, 2, 3, refused())], &register(4)),
            1
        );
        assert_eq!(wrong(&[], &register(5)), 1);
        assert_eq!(
            wrong(
                &[ok[0].clone(), ok[1].clone(), ok[2].clone(), read(1, 6, 7)],
                &register(3)
            ),
            1
        );
        assert_eq!(
            wrong(
                &[
                    set(2, 1, 0, 1, Outcome::Done),
                    set(1, 2, 0, 1, Outcome::Done)
                ],
                &register(2)
            ),
            1
        );
    }

    #[test]
    fn documents() {
        let insert = |id, outcome| event(Action::Insert { id }, 0, 1, outcome);
        let documents = |ids: &[i64]| Contents {
            documents: ids.iter().copied().collect(),
            ..Contents::default()
        };
        assert_eq!(
            wrong(
                &[insert(1, Outcome::Done), insert(2, unknown())],
                &documents(&[1])
            ),
            0
        );
        assert_eq!(
            wrong(
                &[insert(1, Outcome::Done), insert(2, unknown())],
                &documents(&[1, 2])
            ),
            0
        );
        assert_eq!(wrong(&[insert(1, Outcome::Done)], &documents(&[])), 1);
        assert_eq!(wrong(&[insert(1, refused())], &documents(&[1])), 1);
        assert_eq!(wrong(&[], &documents(&[1])), 1);
        assert_eq!(
            wrong(
                &[insert(1, Outcome::Wrong("x".to_owned()))],
                &documents(&[1])
            ),
            1
        );
    }
}
