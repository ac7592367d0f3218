//! datagate's custom resources as users write them, and what they mean to the decision.
//!
//! `v1alpha1` holds the types, from which the CRDs in `crds/` are generated: their documentation is the text of
//! `kubectl explain`. `convert` turns a spec into the core's `Policy` or `Record`; an object is valid if that succeeds.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod convert;
pub mod crd;
pub mod v1alpha1;

mod rules;
