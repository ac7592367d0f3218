//! datagate on a real cluster of one node, from the first install to the uninstall, with everything that breaks between.
//!
//! `make e2e` runs it, because it needs the image; `make reliability` runs all repetitions and writes the figures of
//! docs/reliability.md. The steps build on each other, so they run in their order and the first that fails is the last.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a step fails by panicking"
)]

mod figures;
mod load;
mod rig;
mod steps;
mod workloads;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use datagate_env::{Binaries, NodeBinaries, NodeCluster, NodeOptions};

use crate::figures::Figures;
use crate::rig::Rig;
use crate::steps::{Done, STEPS};

fn main() -> ExitCode {
    let Some(image) = env::var_os("DATAGATE_IMAGE").map(PathBuf::from) else {
        println!("e2e: skipped: it needs the image, so `make e2e` runs it");
        return ExitCode::SUCCESS;
    };
    let obstacles = NodeCluster::obstacles();
    if !obstacles.is_empty() {
        println!("e2e: a node cannot run here:\n  {}", obstacles.join("\n  "));
        // Where everything was installed, a skip would hide that it was not.
        let required = env::var_os("DATAGATE_REQUIRE_NODE").is_some();
        println!("e2e: {}", if required { "failed" } else { "skipped" });
        return ExitCode::from(u8::from(required));
    }
    let begun = Instant::now();
    let long = env::var("DATAGATE_E2E").is_ok_and(|form| form == "long");
    let options = NodeOptions {
        images: vec![image.clone()],
        ..NodeOptions::default()
    };
    let binaries = Binaries::find_or_build().unwrap();
    let cluster = NodeCluster::start(&binaries, &NodeBinaries::find_or_build().unwrap(), &options).unwrap();
    println!("e2e: the node is ready after {}", seconds(begun.elapsed()));
    let mut rig = Rig {
        cluster,
        image,
        long,
        previous: false,
        figures: Figures::new(long),
    };

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, step) in STEPS {
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| step(&mut rig)));
        let took = seconds(begun.elapsed());
        match result {
            Ok(Done::Yes) => {
                passed += 1;
                println!("ok    {name} ({took})");
            }
            Ok(Done::Skipped(why)) => {
                skipped += 1;
                println!("skip  {name}: {why}");
            }
            Err(_) => {
                failed += 1;
                println!("FAIL  {name} ({took})\n{}", rig.cluster.state());
                show_logs(&rig);
                break;
            }
        }
    }
    let name = if long { "reliability.json" } else { "e2e.json" };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join(name);
    rig.figures.write(&file);
    println!("figures: {}\ntook {}", file.display(), seconds(begun.elapsed()));
    println!("e2e: {passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

/// What datagate itself says, when something failed.
fn show_logs(rig: &Rig) {
    let output = rig
        .cluster
        .kubectl([
            "logs",
            "--namespace",
            rig::SYSTEM,
            "--prefix",
            "--tail=15",
            "--all-pods=true",
        ])
        .arg(format!("deployment/{}", rig::RELEASE))
        .output();
    if let Ok(output) = output {
        println!("--- datagate\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
