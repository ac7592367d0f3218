//! The program.
pub mod metrics;
pub mod server;
