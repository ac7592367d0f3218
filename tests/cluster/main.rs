//! Against a real API server. Each test selects its own namespaces; one that changes what others rely on has a control
//! plane of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod rig;

mod index;
mod status;
