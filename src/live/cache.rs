//! Answers from a moment ago, in two generations: when the young one is full it becomes the old one, and the old one
//! goes. That forgets in one move, costs no list of uses, and holds at most twice what one generation may hold.

use std::collections::HashMap;

use datagate_core::fetched::Need;
use tokio::time::Instant;

use super::Found;

/// The answers.
#[derive(Debug)]
pub(super) struct Cache {
    max_entries: usize,
    max_bytes: usize,
    young: HashMap<Need, (Found, Instant)>,
    young_bytes: usize,
    old: HashMap<Need, (Found, Instant)>,
    old_bytes: usize,
}

impl Cache {
    /// An empty cache of this size, both generations together.
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self {
            max_entries: entries / 2,
            max_bytes: bytes / 2,
            young: HashMap::new(),
            young_bytes: 0,
            old: HashMap::new(),
            old_bytes: 0,
        }
    }

    /// An answer that is still good.
    pub(super) fn get(&self, need: &Need, now: Instant) -> Option<Found> {
        let (found, until) = self.young.get(need).or_else(|| self.old.get(need))?;
        (now < *until).then(|| found.clone())
    }

    /// Keeps an answer for a while. One larger than a generation is not kept.
    pub(super) fn put(&mut self, need: Need, found: Found, until: Instant) {
        let bytes = found.bytes();
        if bytes > self.max_bytes {
            return;
        }
        let full =
            self.young.len() >= self.max_entries || self.young_bytes.saturating_add(bytes) > self.max_bytes;
        if full {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes = self.young_bytes.saturating_add(bytes);
        if let Some((replaced, _)) = self.young.insert(need, (found, until)) {
            self.young_bytes = self.young_bytes.saturating_sub(replaced.bytes());
        }
    }

    /// How many answers are held, good or not.
    pub(super) fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// How many bytes they have, about.
    pub(super) fn bytes(&self) -> usize {
        self.young_bytes.saturating_add(self.old_bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn need(i: usize) -> Need {
        Need::Namespace(format!("n{i}").into())
    }

    fn text(bytes: usize) -> Found {
        Found::Object(Ok("x".repeat(bytes).into()))
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let now = Instant::now();
        let until = now + Duration::from_secs(2);
        let mut cache = Cache::new(10, 1000);
        for i in 0..1000 {
            cache.put(need(i), text(i % 700), until);
            assert!(cache.len() <= 10);
            let held: usize = [&cache.young, &cache.old]
                .into_iter()
                .flat_map(HashMap::values)
                .map(|(found, _)| found.bytes())
                .sum();
            assert!(held <= 1000, "{held}");
            assert_eq!(cache.bytes(), held);
        }
        cache.put(need(0), text(5), until);
        assert!(cache.get(&need(0), now).is_some());
        assert!(cache.get(&need(0), until).is_none(), "no longer good");
    }
}
