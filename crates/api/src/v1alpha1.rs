//! `datagate.dev/v1alpha1`.
//!
//! A field this program does not know makes an object unreadable: a newer field may narrow what an older server would
//! otherwise widen. The API server drops misspelt fields with a warning before they get here; files do not pass it.
//!
//! Every documentation comment of a field ends up in the CRD, so it is written for the people who write policies.

mod common;
mod policy;
mod record;
mod region;
mod status;
mod words;

pub use common::*;
pub use policy::*;
pub use record::*;
pub use region::*;
pub use status::*;
pub use words::*;

/// The API group.
pub const GROUP: &str = "datagate.dev";
/// The version of this module.
pub const VERSION: &str = "v1alpha1";
