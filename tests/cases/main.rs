//! The cases: each folder `<reason>/<case>/` beside this file is judged in three ways, which must agree.
//!
//! `judge` calls the core and compares every finding, `router` posts to the webhook's routes, `cli` runs the program.
//! `DATAGATE_UPDATE=1` writes what `judge` says into the expectations; read them before you commit them. README.md says
//! what a folder may hold. The fixtures of kinds in `tests/kinds/` are judged in the same ways.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod case;
mod cli;
mod examples;
#[path = "../kinds/fixture.rs"]
mod fixture;
mod judge;
mod kinds;
mod kubectl;
mod router;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use datagate_core::reason::Reason;
use libtest_mimic::{Arguments, Trial};

use case::Case;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let cases: Vec<Arc<Case>> = case::all(&root).into_iter().map(Arc::new).collect();
    let mut trials = Vec::new();
    let mut add = |case: &Arc<Case>, how: &str, run: fn(&Case)| {
        let shared = Arc::clone(case);
        trials.push(Trial::test(format!("{}::{how}", case.name), move || {
            run(&shared);
            Ok(())
        }));
    };
    for case in &cases {
        add(case, "judge", judge::run);
        // While expectations are written nobody reads them.
        if updates() {
            continue;
        }
        add(case, "router", router::run);
        if case.is_offline() {
            add(case, "cli", cli::run);
        }
    }
    if !updates() {
        trials.push(Trial::test("every_reason_has_cases", move || {
            every_reason_has_cases(&cases);
            Ok(())
        }));
        trials.extend(kinds::trials());
        trials.extend(examples::trials());
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Whether expectations are written anew.
fn updates() -> bool {
    std::env::var_os("DATAGATE_UPDATE").is_some()
}

/// Each reason is seen refusing, and each has a case beside it that is admitted. The names are promises.
fn every_reason_has_cases(cases: &[Arc<Case>]) {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<&str, (bool, bool)> = Reason::ALL
        .iter()
        .map(|it| (it.as_str(), (false, false)))
        .collect();
    for case in cases {
        let Some((refused, admitted)) = seen.get_mut(case.folder.as_str()) else {
            continue;
        };
        let denied = case.expects_denied();
        if case.title.starts_with("refused") {
            *refused = true;
            if !denied.iter().any(|reason| *reason == case.folder) {
                wrong.push(format!("{} does not refuse for its reason", case.name));
            }
        } else if case.title.starts_with("admitted") {
            *admitted = true;
            if !denied.is_empty() {
                wrong.push(format!("{} refuses", case.name));
            }
        }
    }
    for (reason, (refused, admitted)) in seen {
        if !refused || !admitted {
            wrong.push(format!(
                "{reason} lacks a case that is refused or one that is admitted"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
