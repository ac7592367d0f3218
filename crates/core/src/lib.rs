//! datagate's decision, pure: what a workload says of its data, what the policies ask for, and what follows.
//!
//! Nothing here reads a file, a clock or a socket, and nothing here knows kube: time is an argument, and what a decision
//! needs and does not have it asks for. The webhook, the command line, the benches and the tests all call the same
//! functions.
//!
//! ```text
//! words     vocabulary purpose region selector
//! inputs    policy dataset            -> world      what policy owners wrote, compiled
//!           review workload/<family>  -> submission what the engineer submitted
//! decision  declaration order check/<check> -> finding -> decide judge
//! output    reason render
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod bits;
pub mod check;
pub mod claim;
pub mod dataset;
pub mod decide;
pub mod decision;
pub mod declaration;
pub mod draft;
pub mod fetched;
pub mod finding;
pub mod glob;
pub mod judge;
pub mod order;
pub mod owner;
pub mod path;
pub mod policy;
pub mod purpose;
pub mod reason;
pub mod region;
pub mod render;
pub mod review;
pub mod selector;
pub mod settings;
pub mod submission;
pub mod text;
pub mod update;
pub mod vocabulary;
pub mod workload;
pub mod world;
