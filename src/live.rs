//! Live reads: what a decision asks for and the index does not hold.

use std::future::Future;

use datagate_core::fetched::{Fetched, Need};
use tokio::time::Instant;

/// Brings what a decision asked for.
pub trait Fetch: Send + Sync + 'static {
    /// Brings everything in `needs` into `into`, found or not, before `deadline`.
    fn fetch(&self, needs: &[Need], into: &mut Fetched, deadline: Instant)
    -> impl Future<Output = ()> + Send;
}
