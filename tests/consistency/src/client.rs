//! A client: what it chooses to do, and its history.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::Mode;
use crate::history::{Action, Clock, Event, Outcome};
use crate::session::{Directory, Session};

/// The longest that a client rests between two actions.
const THINK_MS_MAX: u64 = 20;
/// Documents of each kind, in each branch: few, so that clients meet.
pub(crate) const KEYS: i32 = 4;
/// The databases that clients write to: main and two branches.
pub(crate) const DATABASES: [&str; 3] = ["bank", "bank~a", "bank~b"];
/// Values of one client; the next client's follow.
const VALUES_PER_CLIENT: i64 = 1_000_000_000;
/// Documents that are inserted with one command, at most.
const BATCH_MAX: i64 = 5;

/// One client.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) mode: Mode,
    pub(crate) random: StdRng,
    pub(crate) session: Session,
    pub(crate) clock: Clock,
    next_value: i64,
    forks: usize,
    /// What it inserted and has not deleted: the database, and what one command inserted.
    inserted: Vec<(&'static str, Vec<i64>)>,
    events: Vec<Event>,
}

impl Worker {
    pub(crate) fn new(
        id: usize,
        seed: u64,
        mode: Mode,
        servers: Directory,
        clock: Clock,
    ) -> Worker {
        let number = u64::try_from(id).unwrap_or_default();
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let session = Session::new(mode, servers, &mut random);
        let first = i64::try_from(id + 1).unwrap_or(i64::MAX);
        Worker {
            id,
            mode,
            random,
            session,
            clock,
            next_value: first.saturating_mul(VALUES_PER_CLIENT),
            forks: 0,
            inserted: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Does things until `stop` says so; tells what it did.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Vec<Event> {
        while !stop.load(Ordering::Relaxed) {
            self.step();
            sleep(Duration::from_millis(
                self.random.random_range(0..THINK_MS_MAX),
            ));
        }
        self.events
    }

    fn step(&mut self) {
        let database = DATABASES[self.random.random_range(0..DATABASES.len())];
        let key = self.random.random_range(0..KEYS);
        // Another server now and then, so that what one server did is read on another.
        if self.random.random_bool(0.1) {
            self.session.leave();
        }
        let value = self.value();
        let action = match self.random.random_range(0..200) {
            0..30 => Action::Append { key, value },
            30..60 => Action::Increment { key },
            60..90 => return self.compare_and_set(database, key, value),
            90..105 => return self.insert(database),
            105..112 => return self.delete(),
            112..122 => Action::AppendToAll { value },
            122..137 => {
                let to = (key + self.random.random_range(1..KEYS)) % KEYS;
                Action::Transfer {
                    from: key,
                    to,
                    value,
                }
            }
            137..160 => Action::ReadList { key },
            160..172 => Action::ReadCounter { key },
            172..185 => Action::ReadRegister { key },
            185..198 => Action::ReadAccounts,
            _ => {
                self.forks += 1;
                let name = format!("fork-{}-{}", self.id, self.forks);
                Action::Fork { name, key }
            }
        };
        self.act(database, action);
    }

    /// A value that nobody else has.
    pub(crate) fn value(&mut self) -> i64 {
        self.next_value += 1;
        self.next_value
    }

    /// Reads a register and sets it, if nobody else does meanwhile.
    fn compare_and_set(&mut self, database: &str, key: i32, new: i64) {
        if let Outcome::Number(expected) = self.act(database, Action::ReadRegister { key }) {
            self.act(database, Action::CompareAndSet { key, expected, new });
        }
    }

    fn insert(&mut self, database: &'static str) {
        let count = self.random.random_range(1..=BATCH_MAX);
        let ids: Vec<i64> = (0..count).map(|_| self.value()).collect();
        let mine = self.inserted.iter().rev();
        let taken = mine
            .filter(|(other, _)| *other == database)
            .map(|(_, ids)| ids[0])
            .next()
            .filter(|_| count > 1);
        let insert = Action::Insert {
            ids: ids.clone(),
            taken,
        };
        if self.act(database, insert) == Outcome::Done {
            self.inserted.push((database, ids));
        }
    }

    fn delete(&mut self) {
        if self.inserted.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.inserted.len());
        let (database, ids) = self.inserted.swap_remove(at);
        self.act(database, Action::Delete { ids });
    }

    fn act(&mut self, database: &str, action: Action) -> Outcome {
        let start = self.clock.now();
        let (outcome, end) = self.outcome(database, &action);
        self.events.push(Event {
            client: self.id,
            database: match action {
                // A fork's list is its parent's.
                Action::Fork { .. } => DATABASES[0].to_owned(),
                _ => database.to_owned(),
            },
            action,
            start,
            end: end.unwrap_or_else(|| self.clock.now()),
            outcome: outcome.clone(),
        });
        outcome
    }
}
