//! The program.
pub mod cli;
pub mod metrics;
pub mod server;
