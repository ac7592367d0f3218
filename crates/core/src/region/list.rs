//! Regions with the words they were given in: people wrote `EEA` and shall read `EEA`, not 37 codes.

use super::{Region, RegionSet};

/// Regions as written, sorted and without repetition, with the set they cover.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Regions {
    written: Box<[Region]>,
    set: RegionSet,
}

impl Regions {
    /// As written.
    pub fn written(&self) -> &[Region] {
        &self.written
    }

    /// What they cover.
    pub fn set(&self) -> &RegionSet {
        &self.set
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// The written members that meet the other set.
    pub fn meeting<'a>(&'a self, other: &'a RegionSet) -> impl Iterator<Item = Region> + 'a {
        self.written.iter().copied().filter(|region| other.meets(*region))
    }

    /// The written members that are not entirely within `allowed`.
    pub fn outside<'a>(&'a self, allowed: &'a RegionSet) -> impl Iterator<Item = Region> + 'a {
        self.written
            .iter()
            .copied()
            .filter(|region| !allowed.covers(*region))
    }

    /// The regions of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.written.iter().chain(&other.written).copied().collect()
    }

    /// What is left when everybody in `removed` is taken out: see [`RegionSet::without`]. A group that loses members
    /// is written as the members it has left.
    #[must_use]
    pub fn without(&self, removed: &RegionSet) -> Self {
        let mut left = Vec::with_capacity(self.written.len());
        for region in &self.written {
            match region {
                Region::Group(group) if group.countries().any(|country| removed.removes(country.into())) => {
                    let stay = group
                        .countries()
                        .filter(|country| !removed.removes((*country).into()));
                    left.extend(stay.map(Region::Country));
                }
                region if removed.removes(*region) => {}
                region => left.push(*region),
            }
        }
        left.into_iter().collect()
    }
}

impl FromIterator<Region> for Regions {
    fn from_iter<I: IntoIterator<Item = Region>>(regions: I) -> Self {
        let mut written: Vec<_> = regions.into_iter().collect();
        written.sort_unstable();
        written.dedup();
        let set = written.iter().copied().collect();
        Self {
            written: written.into(),
            set,
        }
    }
}

impl<'a> IntoIterator for &'a Regions {
    type Item = &'a Region;
    type IntoIter = std::slice::Iter<'a, Region>;

    fn into_iter(self) -> Self::IntoIter {
        self.written.iter()
    }
}
