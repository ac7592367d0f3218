//! A set of countries as four words.

use super::country::Country;

/// One bit a country, by its row in the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Bits(pub(super) [u64; 4]);

impl Bits {
    pub(super) fn insert(&mut self, country: Country) {
        let row = country.row();
        if let Some(word) = self.0.get_mut(usize::from(row / 64)) {
            *word |= 1 << (row % 64);
        }
    }

    pub(super) fn has(self, country: Country) -> bool {
        let row = country.row();
        self.0
            .get(usize::from(row / 64))
            .is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    pub(super) fn and(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    pub(super) fn within(self, other: Self) -> bool {
        self.minus(other).is_empty()
    }

    pub(super) fn countries(self) -> impl Iterator<Item = Country> {
        Country::all().filter(move |country| self.has(*country))
    }

    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (self.0, other.0);
        Self([f(a0, b0), f(a1, b1), f(a2, b2), f(a3, b3)])
    }
}
