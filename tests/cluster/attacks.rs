//! What a namespace's administrator may try: each attack of the design by its number, each bypass by its letter.
//!
//! Unless a test says otherwise it works as `system:masters`: nobody is exempt, so whoever is refused least is refused
//! too.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod accelerators;
mod adoption;
mod custom;
mod declarations;
mod doors;
mod edits;
mod governance;
mod namespaces;
mod owners;
mod size;
mod status;
mod steps;
mod verbs;
