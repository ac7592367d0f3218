//! The program.
pub mod index;
pub mod live;
pub mod metrics;
pub mod server;
pub mod status;
pub mod stop;
