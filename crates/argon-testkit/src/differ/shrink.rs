//! Cuts a round that shows a difference down to what it takes to show it.

use anyhow::Result;
use bson::{Bson, Document};

use super::play::{Ask, Difference, Pair};

/// Attempts to cut something off, each of which plays the round again.
const ATTEMPTS_MAX: usize = 1_500;

/// Where a value is in a command: positions, from the outside in.
type Place = Vec<usize>;

/// Returns the smallest round found that differs as `first` does, and its difference.
pub(super) fn shrink(
    pair: &mut Pair,
    asks: &[Ask],
    first: Difference,
) -> Result<(Vec<Ask>, Difference)> {
    let mut best = Best {
        kind: first.kind(),
        asks: asks[..=first.at].to_vec(),
        difference: first,
        left: ATTEMPTS_MAX,
    };
    best.drop_commands(pair)?;
    loop {
        let before = best.left;
        let size = best.size();
        best.cut(pair)?;
        if best.left == 0 || best.left == before || best.size() == size {
            return Ok((best.asks, best.difference));
        }
    }
}

struct Best {
    kind: (String, String),
    asks: Vec<Ask>,
    difference: Difference,
    left: usize,
}

impl Best {
    fn size(&self) -> usize {
        self.asks
            .iter()
            .map(|ask| ask.command.to_string().len())
            .sum()
    }

    /// Keeps `asks` if they still differ in the same way.
    fn attempt(&mut self, pair: &mut Pair, asks: Vec<Ask>) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        match pair.play(&asks)? {
            Some(difference)
                if difference.kind() == self.kind && difference.at + 1 == asks.len() =>
            {
                self.asks = asks;
                self.difference = difference;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn drop_commands(&mut self, pair: &mut Pair) -> Result<()> {
        // Mostly nothing but the data and the last command count.
        let last = self.asks.len() - 1;
        let few = self.asks.iter().enumerate();
        let few = few
            .filter(|(at, ask)| ask.setup || *at == last)
            .map(|(_, ask)| ask.clone())
            .collect();
        self.attempt(pair, few)?;
        for at in (0..self.asks.len() - 1).rev() {
            let mut fewer = self.asks.clone();
            fewer.remove(at);
            self.attempt(pair, fewer)?;
        }
        Ok(())
    }

    /// Goes through all places of all commands once, the last command first.
    fn cut(&mut self, pair: &mut Pair) -> Result<()> {
        for at in (0..self.asks.len()).rev() {
            let mut index = 0;
            // The places change as values go, so they are found anew each time.
            while let Some(place) = places(&self.asks[at].command).get(index) {
                let mut done = false;
                for change in [Change::Remove, Change::Hoist, Change::One] {
                    let mut asks = self.asks.clone();
                    if apply(&mut asks[at].command, place, change) && self.attempt(pair, asks)? {
                        done = true;
                        break;
                    }
                }
                if self.left == 0 {
                    return Ok(());
                }
                if !done {
                    index += 1;
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    /// Takes the value away.
    Remove,
    /// Puts the value's only child in its place.
    Hoist,
    /// Puts 1 in place of the value.
    One,
}

/// The places of all values in `command` but that of its name, outer ones first.
fn places(command: &Document) -> Vec<Place> {
    let mut found = Vec::new();
    for (at, value) in command.values().enumerate().skip(1) {
        collect(value, vec![at], &mut found);
    }
    found
}

fn collect(value: &Bson, place: Place, found: &mut Vec<Place>) {
    found.push(place.clone());
    let mut below = |at: usize, value: &Bson| {
        let mut place = place.clone();
        place.push(at);
        collect(value, place, found);
    };
    match value {
        Bson::Document(inner) => inner
            .values()
            .enumerate()
            .for_each(|(at, value)| below(at, value)),
        Bson::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, value)| below(at, value)),
        _ => {}
    }
}

fn apply(document: &mut Document, place: &[usize], change: Change) -> bool {
    let [at, rest @ ..] = place else { return false };
    let Some(key) = document.keys().nth(*at).cloned() else {
        return false;
    };
    if rest.is_empty() && matches!(change, Change::Remove) {
        return document.remove(&key).is_some();
    }
    document
        .get_mut(&key)
        .is_some_and(|value| apply_to(value, rest, change))
}

fn apply_to(value: &mut Bson, place: &[usize], change: Change) -> bool {
    if let [at, rest @ ..] = place {
        return match value {
            Bson::Document(inner) => apply(inner, place, change),
            Bson::Array(items) if rest.is_empty() && matches!(change, Change::Remove) => {
                items.remove(*at);
                true
            }
            Bson::Array(items) => items
                .get_mut(*at)
                .is_some_and(|item| apply_to(item, rest, change)),
            _ => false,
        };
    }
    let new = match (change, &*value) {
        (Change::Hoist, Bson::Document(inner)) if inner.len() == 1 => {
            inner.values().next().cloned()
        }
        (Change::Hoist, Bson::Array(items)) if items.len() == 1 => items.first().cloned(),
        (Change::One, Bson::Int32(1)) => None,
        (Change::One, _) => Some(Bson::Int32(1)),
        _ => None,
    };
    new.is_some_and(|new| {
        *value = new;
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn every_value_can_go() {
        let command = doc! {"find": "c", "filter": {"a": [1, {"b": 2}]}};
        let all = places(&command);
        assert_eq!(all.len(), 5);
        let mut cut = command.clone();
        assert!(apply(&mut cut, &[1, 0, 1], Change::Remove));
        assert_eq!(cut, doc! {"find": "c", "filter": {"a": [1]}});
        assert!(apply(&mut cut, &[1, 0], Change::Hoist));
        assert_eq!(cut, doc! {"find": "c", "filter": {"a": 1}});
    }
}
