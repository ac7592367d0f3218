//! The index.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use datagate_core::world::World;

/// The newest snapshot; none until every watch has synced.
pub type Worlds = Arc<ArcSwapOption<World>>;
