//! Choices from a seed, the same on every machine.

/// SplitMix64: small, fast, and good enough to choose among a few things.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators".
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Another generator for part `index` of what this seed makes, independent of the others.
    pub(super) fn part(seed: u64, area: &str, index: u64) -> Self {
        let mut random = Self(seed);
        for byte in area.bytes() {
            random.0 ^= u64::from(byte);
            random.next();
        }
        random.0 ^= index.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self(random.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// True in `percent` of a hundred times.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which are never none.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// `min` to `max` texts of `make`, with commas between them.
    pub(super) fn list(
        &mut self,
        min: usize,
        max: usize,
        mut make: impl FnMut(&mut Self) -> String,
    ) -> String {
        let count = min + self.below(max - min + 1);
        let items: Vec<String> = (0..count).map(|_| make(self)).collect();
        items.join(", ")
    }

    /// `template` with what `make` gives in place of each mark: a letter in braces, as `{n}`.
    pub(super) fn fill(
        &mut self,
        template: &str,
        make: &mut dyn FnMut(&mut Self, u8) -> String,
    ) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest
            .as_bytes()
            .windows(3)
            .position(|three| matches!(three, [b'{', mark, b'}'] if mark.is_ascii_alphabetic()))
        {
            out.push_str(&rest[..at]);
            out.push_str(&make(self, rest.as_bytes()[at + 1]));
            rest = &rest[at + 3..];
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_filled() {
        let mut random = Random::part(1, "filter", 2);
        let filled = random.fill("{\"a\": {n}, \"b\": {}}", &mut |_, mark| mark.to_string());
        assert_eq!(filled, "{\"a\": 110, \"b\": {}}");
    }

    #[test]
    fn a_seed_repeats() {
        let draw = |seed, area, index| Random::part(seed, area, index).next();
        assert_eq!(draw(1, "filter", 2), draw(1, "filter", 2));
        assert_ne!(draw(1, "filter", 2), draw(1, "filter", 3));
        assert_ne!(draw(1, "filter", 2), draw(1, "update", 2));
    }
}
