//! How far the server has come with its stop.

use std::sync::atomic::{AtomicU8, Ordering};

use super::readiness::Health;

/// The stage, read for every request.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

// 0 is serving.
const LEAVING: u8 = 1;
const REFUSING: u8 = 2;

impl Stage {
    /// Requests are still answered, and connections end with their answer: so clients move to other replicas
    /// while those that do not know yet lose nothing.
    pub(super) fn leave(&self) {
        self.0.fetch_max(LEAVING, Ordering::Relaxed);
    }

    /// Requests are told to come again elsewhere.
    pub(super) fn refuse(&self) {
        self.0.fetch_max(REFUSING, Ordering::Relaxed);
    }

    pub(super) fn leaves(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= LEAVING
    }

    pub(super) fn refuses(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= REFUSING
    }

    pub(super) fn health(&self) -> Health {
        if self.leaves() {
            Health::failing("this replica is stopping")
        } else {
            Health::ok("serving")
        }
    }
}
