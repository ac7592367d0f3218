//! `docs/workloads.md`, from the list of kinds and the examples.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use datagate_core::workload::{Class, Info, KnownKind, Scope, Takes};

use super::{kinds, root};

/// The projects, in the order of the page, and the API groups that are theirs.
const PROJECTS: &[(&str, &[&str])] = &[
    ("Kubernetes", &["", "batch", "apps"]),
    (
        "Kubeflow: training and MPI operators, notebooks, Katib, Pipelines",
        &["kubeflow.org"],
    ),
    ("Kubeflow Trainer", &["trainer.kubeflow.org"]),
    ("JobSet", &["jobset.x-k8s.io"]),
    ("Ray", &["ray.io"]),
    (
        "Volcano",
        &[
            "batch.volcano.sh",
            "flow.volcano.sh",
            "training.volcano.sh",
            "bus.volcano.sh",
        ],
    ),
    ("Argo Workflows", &["argoproj.io"]),
    ("Tekton", &["tekton.dev"]),
    ("Spark", &["sparkoperator.k8s.io"]),
    (
        "LeaderWorkerSet",
        &["leaderworkerset.x-k8s.io", "disaggregatedset.x-k8s.io"],
    ),
    ("AppWrapper", &["workload.codeflare.dev"]),
    ("Kueue", &["kueue.x-k8s.io"]),
    ("Flyte", &["flyte.lyft.com", "flyte.org"]),
];

/// The page.
pub fn page() -> String {
    let head = fs::read_to_string(root().join("tests/generated/workloads-head.md")).unwrap();
    let mut page = format!(
        "<!-- Made from crates/core/src/workload/ and examples/ by `make generate`; do not edit. -->\n\n{head}"
    );
    let mut told = 0;
    page.push_str("\n| project | kinds |\n|---|---|\n");
    for (project, groups) in PROJECTS {
        let kinds = KnownKind::ALL.iter().map(|kind| kind.info());
        let kinds: Vec<String> = kinds
            .filter(|info| groups.contains(&info.group))
            .map(|info| format!("[{}](#{})", info.kind, anchor(&heading(info))))
            .collect();
        writeln!(page, "| {project} | {} |", kinds.join(", ")).unwrap();
    }
    for (project, groups) in PROJECTS {
        let kinds: Vec<&Info> = KnownKind::ALL
            .iter()
            .map(|kind| kind.info())
            .filter(|info| groups.contains(&info.group))
            .collect();
        if kinds.is_empty() {
            continue;
        }
        told += kinds.len();
        write!(page, "\n## {project}\n").unwrap();
        for info in kinds {
            kind(&mut page, info);
        }
    }
    assert_eq!(
        told,
        KnownKind::ALL.len(),
        "a group belongs to no project of the page"
    );
    accounts(&mut page);
    let tail = fs::read_to_string(root().join("tests/generated/workloads-tail.md")).unwrap();
    page + "\n" + &tail
}

/// Who makes which child for which owner.
fn accounts(page: &mut String) {
    page.push_str(
        "\n## Who makes what\n\nThe service accounts that are believed, as `namespace:name`. They are never believed in their own namespace.\n\n\
         | child | owner | made by | judged as |\n|---|---|---|---|\n",
    );
    for kind in KnownKind::ALL {
        let info = kind.info();
        for edge in info.creators {
            let by = match edge.accounts {
                [] => "an account of its own namespace".to_owned(),
                accounts => format!("`{}`", accounts.join("`, `")),
            };
            let takes = match edge.takes {
                Takes::Everything => "its owner's continuation",
                Takes::Declaration => "a start of its own",
            };
            let (child, owner) = (
                kinds::qualified(info.kind, info.group),
                kinds::qualified(edge.kind, edge.group),
            );
            writeln!(page, "| {child} | {owner} | {by} | {takes} |").unwrap();
        }
    }
    page.push_str("\nAn AppWrapper and a Katib Trial may also make an object of any other kind.\n");
}

fn kind(page: &mut String, info: &Info) {
    write!(page, "\n### {}\n\n", heading(info)).unwrap();
    let versions = info.versions.join(", ");
    let scope = match info.scope {
        Scope::Namespaced => "",
        Scope::Cluster => ", cluster-scoped",
    };
    writeln!(page, "`{}`, {versions}{scope}. {}", info.plural, class(info)).unwrap();
    let proof = match info.class {
        Class::Template => "Judged with what runs it, and by itself where it declares data",
        Class::Trains | Class::Runs => "A step is proved by",
    };
    match info.class {
        Class::Template => writeln!(page, "\n{proof}. A step in it is proved by {}.", info.proof).unwrap(),
        _ => writeln!(page, "\n{proof} {}.", info.proof).unwrap(),
    }
    if !info.refers_to.is_empty() {
        let names: Vec<&str> = info.refers_to.iter().map(|(_, kind)| *kind).collect();
        writeln!(page, "What it refers to is read with it: {}.", names.join(", ")).unwrap();
    }
    if !info.limits.is_empty() {
        page.push('\n');
    }
    for limit in info.limits {
        writeln!(page, "* {limit}").unwrap();
    }
    if let Some(example) = example(info) {
        write!(page, "\n```yaml\n{}\n```\n", example.trim_end()).unwrap();
    }
}

fn heading(info: &Info) -> String {
    match info.group {
        "" => info.kind.to_owned(),
        group => format!("{} ({group})", info.kind),
    }
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-');
    let kept: String = heading.to_lowercase().chars().filter(kept).collect();
    kept.replace(' ', "-")
}

fn class(info: &Info) -> &'static str {
    match info.class {
        Class::Trains => "Exists for training: governed without any key or accelerator.",
        Class::Runs => "Governed with a `datagate.dev/` key, with an accelerator, or under `workloads: All`.",
        Class::Template => "Runs nothing by itself.",
    }
}

/// The file under examples/workloads that is named after the kind and holds one of it.
fn example(info: &Info) -> Option<String> {
    let file = format!("{}.yaml", info.kind.to_lowercase());
    let mut folders: Vec<_> = fs::read_dir(root().join("examples/workloads"))
        .ok()?
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    folders
        .iter()
        .filter_map(|folder| fs::read_to_string(folder.join(&file)).ok())
        .find(|text| holds(text, info))
}

fn holds(text: &str, info: &Info) -> bool {
    let api_version = |line: &&str| {
        let version = line.strip_prefix("apiVersion: ").unwrap_or_default().trim();
        info.versions.iter().any(|it| {
            let full = match info.group {
                "" => (*it).to_owned(),
                group => format!("{group}/{it}"),
            };
            version == full
        })
    };
    let kind = format!("kind: {}", info.kind);
    text.lines().any(|line| api_version(&line)) && text.lines().any(|line| line.trim_end() == kind)
}

/// What a TaskAction runs is encoded, so there is none that would be admitted.
const WITHOUT_EXAMPLE: &[&str] = &["TaskAction"];

/// Every kind has an example, so that a reader has something to copy.
#[test]
fn every_kind_has_an_example() {
    let missing: Vec<String> = KnownKind::ALL
        .iter()
        .map(|kind| kind.info())
        .filter(|info| example(info).is_none() && !WITHOUT_EXAMPLE.contains(&info.kind))
        .map(|info| format!("{}.{}", info.kind, info.group))
        .collect();
    assert!(
        missing.is_empty(),
        "no examples/workloads/<family>/<kind>.yaml for {missing:?} in {}",
        Path::new("examples/workloads").display()
    );
}
