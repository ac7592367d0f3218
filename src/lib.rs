//! datagate: a Kubernetes admission webhook that keeps paused and opted-out data out of model training.
//!
//! This crate is the program, all of its input and output; what it decides is in `datagate_core`, and what users write
//! in `datagate_api`.

pub mod admission;
pub mod authority;
pub mod cli;
pub mod coverage;
pub mod debug;
pub mod index;
pub mod live;
pub mod metrics;
pub mod object;
pub mod registration;
pub mod serve;
pub mod server;
pub mod status;
pub mod stop;
pub mod trace;
pub mod trust;
