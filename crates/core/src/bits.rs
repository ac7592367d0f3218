//! A growing set of small numbers.

/// The set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Puts a number in or out.
    pub fn set(&mut self, bit: usize, on: bool) {
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        if word >= self.0.len() {
            self.0.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word = if on { *word | mask } else { *word & !mask };
        }
    }

    /// Whether a number is in the set.
    #[must_use]
    pub fn contains(&self, bit: usize) -> bool {
        self.0
            .get(bit / 64)
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// The numbers in the set, in order.
    pub fn ones(&self) -> impl Iterator<Item = usize> {
        self.0.iter().zip(0_usize..).flat_map(|(word, at)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest.wrapping_sub(1);
                    at.saturating_mul(64).saturating_add(bit)
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_set() {
        let mut bits = Bits::default();
        for bit in [0, 63, 64, 200] {
            bits.set(bit, true);
        }
        bits.set(63, false);
        assert_eq!(bits.ones().collect::<Vec<_>>(), [0, 64, 200]);
        assert!(bits.contains(200) && !bits.contains(63) && !bits.contains(100_000));
    }
}
