//! datagate's decision, as pure functions.

pub mod region;
