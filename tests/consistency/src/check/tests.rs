//! Histories with a mistake each, and without.

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
    check(Mode::Strong, &events.iter().collect::<Vec<_>>(), end).len()
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
    let increment = |start, end, outcome| event(Action::Increment { key: 0 }, start, end, outcome);
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
    let insert = |ids: &[i64], outcome| {
        let (ids, taken) = (ids.to_vec(), None);
        event(Action::Insert { ids, taken }, 0, 1, outcome)
    };
    let delete = |ids: &[i64], outcome| event(Action::Delete { ids: ids.to_vec() }, 2, 3, outcome);
    let documents = |ids: &[i64]| Contents {
        documents: ids.iter().copied().collect(),
        ..Contents::default()
    };
    let two = [insert(&[1], Outcome::Done), insert(&[2, 3], unknown())];
    assert_eq!(wrong(&two, &documents(&[1])), 0);
    assert_eq!(wrong(&two, &documents(&[1, 2, 3])), 0);
    // Lost, half there, refused, foreign, and what the client said itself.
    assert_eq!(wrong(&two[..1], &documents(&[])), 1);
    assert_eq!(wrong(&two, &documents(&[1, 3])), 1);
    assert_eq!(wrong(&[insert(&[1], refused())], &documents(&[1])), 1);
    assert_eq!(wrong(&[], &documents(&[1])), 1);
    let said = [insert(&[1], Outcome::Wrong("x".to_owned()))];
    assert_eq!(wrong(&said, &documents(&[1])), 1);
    // Deleted, perhaps, and not.
    let gone = |outcome| [insert(&[1, 2], Outcome::Done), delete(&[1, 2], outcome)];
    assert_eq!(wrong(&gone(Outcome::Done), &documents(&[])), 0);
    assert_eq!(wrong(&gone(Outcome::Done), &documents(&[1, 2])), 1);
    assert_eq!(wrong(&gone(unknown()), &documents(&[])), 0);
    assert_eq!(wrong(&gone(unknown()), &documents(&[1, 2])), 0);
    assert_eq!(wrong(&gone(unknown()), &documents(&[2])), 1);
    assert_eq!(wrong(&gone(refused()), &documents(&[])), 1);
}

#[test]
fn accounts() {
    let transfer = |value, start, end, outcome| {
        let action = Action::Transfer {
            from: 0,
            to: 1,
            value,
        };
        event(action, start, end, outcome)
    };
    let accounts = |zero: &[i64], one: &[i64]| -> BTreeMap<i32, Vec<i64>> {
        [(0, zero.to_vec()), (1, one.to_vec())].into()
    };
    let read = |zero: &[i64], one: &[i64], start, end| {
        let lists = Outcome::Lists(accounts(zero, one));
        event(Action::ReadAccounts, start, end, lists)
    };
    let end = |zero: &[i64], one: &[i64]| Contents {
        accounts: accounts(zero, one),
        ..Contents::default()
    };
    let done = transfer(1, 0, 5, Outcome::Done);
    assert_eq!(
        wrong(&[done.clone(), read(&[1], &[1], 3, 4)], &end(&[1], &[1])),
        0
    );
    assert_eq!(wrong(&[transfer(1, 0, 5, unknown())], &end(&[], &[])), 0);
    // Half a transfer, in the end and in between.
    assert_eq!(wrong(&[transfer(1, 0, 5, unknown())], &end(&[1], &[])), 1);
    assert_eq!(
        wrong(&[done.clone(), read(&[1], &[], 3, 4)], &end(&[1], &[1])),
        1
    );
    // Stale, which the upstream's snapshots may be.
    let stale = [done, read(&[], &[], 6, 7)];
    assert_eq!(wrong(&stale, &end(&[1], &[1])), 2);
    let events: Vec<&Event> = stale.iter().collect();
    assert_eq!(check(Mode::Prefix, &events, &end(&[1], &[1])).len(), 0);
}

#[test]
fn a_command_is_done_whole() {
    let all = [event(Action::AppendToAll { value: 1 }, 0, 1, unknown())];
    let end = |zero: &[i64], one: &[i64]| Contents {
        lists: [(0, zero.to_vec()), (1, one.to_vec())].into(),
        ..Contents::default()
    };
    assert_eq!(wrong(&all, &end(&[1], &[1])), 0);
    assert_eq!(wrong(&all, &end(&[], &[])), 0);
    assert_eq!(wrong(&all, &end(&[1], &[])), 1);
    assert_eq!(check(Mode::Prefix, &[&all[0]], &end(&[1], &[])).len(), 0);
}

#[test]
fn sessions_see_their_own_past() {
    let by = |client, mut event: Event| {
        event.client = client;
        event
    };
    let causal = |events: &[Event], end: &Contents| {
        check(Mode::Causal, &events.iter().collect::<Vec<_>>(), end).len()
    };
    let appended = append(1, 0, 10, Outcome::Done);
    // Another client's read may be old, its own may not, nor may it go back.
    assert_eq!(
        causal(&[appended.clone(), by(1, read(&[], 20, 30))], &list(&[1])),
        0
    );
    assert_eq!(
        causal(&[appended.clone(), read(&[], 20, 30)], &list(&[1])),
        1
    );
    let back = [
        appended,
        by(1, read(&[1], 20, 30)),
        by(1, read(&[], 40, 50)),
    ];
    assert_eq!(causal(&back, &list(&[1])), 1);
    // Writes are in order all the same.
    let two = [
        append(1, 0, 1, Outcome::Done),
        by(1, append(2, 2, 3, Outcome::Done)),
    ];
    assert_eq!(causal(&two, &list(&[2, 1])), 1);
}
