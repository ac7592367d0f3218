//! The shell: what touches sockets, files and time. Real sockets on 127.0.0.1; every time limit is set short by
//! the test that is about it, and long by all others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod api;
mod cli;
mod client;
mod pki;
mod rig;

mod admission;
mod debug;
mod index;
mod live;
mod replicas;
mod server;
mod status;
mod telemetry;
