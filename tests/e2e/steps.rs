//! The steps, in their order.

mod first_day;
mod loss;
mod storm;

use crate::rig::Rig;

/// How a step ended that did not fail.
pub enum Done {
    Yes,
    /// It says nothing here, and why.
    Skipped(String),
}

/// A step and what it shows.
type Step = (&'static str, fn(&mut Rig) -> Done);

pub const STEPS: &[Step] = &[
    (
        "a chart is installed into a restricted namespace",
        first_day::install,
    ),
    (
        "what the policy refuses is refused, and what it admits really runs in its order",
        first_day::jobs,
    ),
    (
        "jobs of a CronJob are refused once a pause starts",
        first_day::cron_job,
    ),
    (
        "the previous chart is upgraded under load",
        storm::upgrade_from_previous,
    ),
    ("helm test", first_day::helm_test),
    ("an upgrade under load", storm::upgrade),
    ("a rolling restart under load", storm::rolling_restart),
    ("a new leaf under load", storm::leaf_rotation),
    ("a new CA under load", storm::ca_rotation),
    ("a replica is killed under load", storm::kill),
    ("all replicas are down", loss::all_down),
    ("the node is lost and comes back without datagate", loss::node),
    ("uninstall", loss::uninstall),
];
