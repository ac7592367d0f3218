//! Against a real API server, with the program as a process and registered by the chart wherever that matters. Each
//! test selects its own namespaces; one that changes what others rely on has a control plane of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[path = "../kinds/fixture.rs"]
mod fixture;
mod rig;
mod webhook;

mod attacks;
mod certs;
mod chart;
mod children;
mod coverage;
mod index;
mod kinds;
mod messages;
mod never_in_the_way;
mod observability;
mod operating;
mod process;
mod replicas;
mod scan;
mod schema;
mod stale;
mod status;
mod versions;
