//! Region sets: the question asked for every dataset of every submission, so it takes a few words and no allocation.

use super::bits::Bits;
use super::{Region, Subdivision};

/// A set of regions by what they cover: `EU` and its 34 codes are the same set.
///
/// It is kept in one form only: no part of a country that is there as a whole, so that equal sets compare equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct RegionSet {
    /// Countries as a whole, groups expanded.
    whole: Bits,
    /// Countries of which only parts are listed.
    part: Bits,
    /// Those parts: packed, sorted, without repetition.
    subs: Box<[u32]>,
    unknown: bool,
    world: bool,
}

impl RegionSet {
    /// No region at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.subs.is_empty() && !self.unknown && !self.world
    }

    /// Whether it is partly unknown where the people live.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether somebody may live in both. Doubt counts as yes: a country meets its parts, a part meets its country,
    /// and `Unknown` and `World` meet everything. An empty set meets nothing.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.unknown || self.world || other.unknown || other.world {
            return !self.is_empty() && !other.is_empty();
        }
        self.whole.meets(other.whole.or(other.part))
            || self.part.meets(other.whole)
            || (self.part.meets(other.part) && share(&self.subs, &other.subs))
    }

    /// Whether everybody certainly lives in `allowed`. `Unknown` never does, `World` only in `World`; an empty set does.
    pub fn within(&self, allowed: &Self) -> bool {
        if self.unknown {
            return false;
        }
        if allowed.world {
            return true;
        }
        !self.world
            && self.whole.within(allowed.whole)
            && self.subs.iter().all(|packed| allowed.has_sub(*packed))
    }

    /// Whether the region and the set overlap.
    pub fn meets(&self, region: Region) -> bool {
        if self.unknown || self.world {
            return true;
        }
        match region {
            Region::Country(country) => self.whole.has(country) || self.part.has(country),
            Region::Subdivision(part) => self.has_sub(part.packed()),
            Region::Group(group) => self.whole.or(self.part).meets(group.bits()),
            Region::Unknown | Region::World => !self.is_empty(),
        }
    }

    /// Whether the whole region is within the set.
    pub fn covers(&self, region: Region) -> bool {
        match region {
            Region::Unknown => false,
            _ if self.world => true,
            Region::World => false,
            Region::Country(country) => self.whole.has(country),
            Region::Subdivision(part) => self.has_sub(part.packed()),
            Region::Group(group) => group.bits().within(self.whole),
        }
    }

    /// Adds all regions of the other.
    pub fn union_with(&mut self, other: &Self) {
        self.whole = self.whole.or(other.whole);
        self.unknown |= other.unknown;
        self.world |= other.world;
        if !self.subs.is_empty() || !other.subs.is_empty() {
            self.set_subs(self.subs.iter().chain(&other.subs).copied().collect());
        }
    }

    /// What is certainly left when everybody in `removed` is taken out, rounded up: a country without one of its
    /// parts stays the country, a part goes with its country, `Unknown` and `World` stay. `Unknown` and `World` in
    /// `removed` take out nothing.
    #[must_use]
    pub fn without(&self, removed: &Self) -> Self {
        let mut left = self.clone();
        left.whole = left.whole.minus(removed.whole);
        left.set_subs(
            self.subs
                .iter()
                .copied()
                .filter(|packed| !removed.has_sub(*packed))
                .collect(),
        );
        left
    }

    /// Whether [`RegionSet::without`] this set takes the region out entirely.
    pub(super) fn removes(&self, region: Region) -> bool {
        match region {
            Region::Country(country) => self.whole.has(country),
            Region::Subdivision(part) => self.has_sub(part.packed()),
            Region::Group(group) => group.bits().within(self.whole),
            Region::Unknown | Region::World => false,
        }
    }

    fn has_sub(&self, packed: u32) -> bool {
        self.subs.binary_search(&packed).is_ok()
            || Subdivision::unpacked(packed).is_some_and(|part| self.whole.has(part.country()))
    }

    /// Puts the parts in their one form.
    fn set_subs(&mut self, mut subs: Vec<u32>) {
        subs.sort_unstable();
        subs.dedup();
        self.part = Bits::default();
        subs.retain(|packed| match Subdivision::unpacked(*packed) {
            Some(part) if !self.whole.has(part.country()) => {
                self.part.insert(part.country());
                true
            }
            _ => false,
        });
        self.subs = subs.into();
    }
}

impl FromIterator<Region> for RegionSet {
    fn from_iter<I: IntoIterator<Item = Region>>(regions: I) -> Self {
        let mut set = Self::default();
        let mut subs = Vec::new();
        for region in regions {
            match region {
                Region::Country(country) => set.whole.insert(country),
                Region::Subdivision(part) => subs.push(part.packed()),
                Region::Group(group) => set.whole = set.whole.or(group.bits()),
                Region::Unknown => set.unknown = true,
                Region::World => set.world = true,
            }
        }
        if !subs.is_empty() {
            set.set_subs(subs);
        }
        set
    }
}

/// Whether two sorted lists have a member in common.
fn share(a: &[u32], b: &[u32]) -> bool {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => a.next(),
            std::cmp::Ordering::Greater => b.next(),
        };
    }
    false
}
