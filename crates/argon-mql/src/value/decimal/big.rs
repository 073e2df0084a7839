//! Just enough wide integers to compare a decimal with a double exactly.

use std::cmp::Ordering;

/// Words of a [`Big`]: 2,560 bits, for the widest product in [`super::float`] (a double's 2^1074 or 2^1024 with 10^360).
const WORDS: usize = 40;
const TEN_19: u64 = 10_u64.pow(19);

/// A non-negative integer below 2^2560, on the stack.
pub(super) struct Big {
    words: [u64; WORDS],
    /// Words in use.
    len: usize,
}

impl Big {
    pub(super) fn new(value: u128) -> Big {
        let mut big = Big {
            words: [0; WORDS],
            len: 2,
        };
        (big.words[0], big.words[1]) = split(value);
        big
    }

    /// Multiplies by 10^`power`.
    pub(super) fn times_ten_to(mut self, mut power: u32) -> Big {
        while power >= 19 {
            self.times(TEN_19);
            power -= 19;
        }
        self.times(10_u64.pow(power));
        self
    }

    /// Multiplies by 2^`power`.
    pub(super) fn times_two_to(mut self, mut power: u32) -> Big {
        while power >= 63 {
            self.times(1 << 63);
            power -= 63;
        }
        self.times(1 << power);
        self
    }

    fn times(&mut self, factor: u64) {
        let mut carry = 0;
        for word in &mut self.words[..self.len] {
            let product = u128::from(*word) * u128::from(factor) + u128::from(carry);
            (*word, carry) = split(product);
        }
        if carry != 0 && self.len < WORDS {
            self.words[self.len] = carry;
            self.len += 1;
        }
    }

    pub(super) fn compare(&self, other: &Big) -> Ordering {
        let both = self.len.max(other.len);
        self.words[..both]
            .iter()
            .rev()
            .cmp(other.words[..both].iter().rev())
    }
}

/// Low and high half.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a u128")]
fn split(value: u128) -> (u64, u64) {
    (value as u64, (value >> 64) as u64)
}
