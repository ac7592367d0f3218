//! The version stands in one place, `[workspace.package]` of Cargo.toml; whatever else names it says the same. So do the
//! versions of Rust, Go and Kubernetes that are needed. A difference is told with the file and with what to write there.

use std::fs;
use std::path::Path;

use super::{root, yaml};

/// That of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Documents for users, where an image or an archive may be named with its version.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs",
    "charts/datagate",
];

type Number = (u64, u64, u64);

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn agreed(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a file says something else: where, what, and what to write.
fn differs(place: &str, found: &str, wanted: &str) -> Option<String> {
    (found != wanted).then(|| format!("{place} says `{found}`: write `{wanted}`, as Cargo.toml does"))
}

#[test]
fn crates_chart_and_image_have_the_version_of_the_workspace() {
    let mut wrong = Vec::new();
    for member in [
        "Cargo.toml",
        "crates/core/Cargo.toml",
        "crates/api/Cargo.toml",
        "tests/env/Cargo.toml",
    ] {
        if !read(member).contains("\nversion.workspace = true\n") {
            wrong.push(format!(
                "{member} has a version of its own: write `version.workspace = true`"
            ));
        }
    }
    let chart = yaml("charts/datagate/Chart.yaml");
    for field in ["version", "appVersion"] {
        let found = chart[field].as_str().unwrap_or("no text; quote it");
        wrong.extend(differs(
            &format!("charts/datagate/Chart.yaml: {field}"),
            found,
            VERSION,
        ));
    }
    let values = yaml("charts/datagate/values.yaml");
    for field in ["tag", "digest"] {
        if values["image"][field] != "" {
            wrong.push(format!(
                "charts/datagate/values.yaml: image.{field} is set: leave it empty, so that the chart takes its appVersion"
            ));
        }
    }
    agreed(&wrong);
}

#[test]
fn documents_name_no_other_version() {
    let mut wrong = Vec::new();
    for path in documents() {
        let text = read(&path);
        wrong.extend(
            named(&text)
                .into_iter()
                .filter_map(|(line, found)| differs(&format!("{path}:{line}"), &found, VERSION)),
        );
    }
    agreed(&wrong);
}

#[test]
fn the_changelog_goes_with_the_version() {
    let released = std::env::var_os("DATAGATE_RELEASE").is_some();
    agreed(&changelog(&read("CHANGELOG.md"), VERSION, released));
}

#[test]
fn tools_are_asked_for_in_the_versions_that_are_needed() {
    let mut wrong = Vec::new();
    let mut check = |path: &str, word: &str, wanted: &str| {
        let text = read(path);
        let mut seen = 0;
        for (at, _) in text.match_indices(word) {
            let rest = text.get(at + word.len()..).unwrap_or_default();
            let found: String = rest
                .chars()
                .take_while(|it| it.is_ascii_digit() || *it == '.')
                .collect();
            let found = found.trim_end_matches('.');
            if found.is_empty() {
                continue;
            }
            seen += 1;
            if found != wanted && !found.starts_with(&format!("{wanted}.")) {
                wrong.push(format!("{path} says `{word}{found}`: write `{word}{wanted}`"));
            }
        }
        if seen == 0 {
            wrong.push(format!(
                "{path} does not say `{word}{wanted}` any more: take it out of this test"
            ));
        }
    };
    let rust = env!("CARGO_PKG_RUST_VERSION");
    for (path, word) in [
        ("README.md", "Rust "),
        ("CONTRIBUTING.md", "Rust "),
        ("Makefile", "Rust "),
    ] {
        check(path, word, rust);
    }
    let module = read("tests/env/go/kubernetes/go.mod");
    let go = module.lines().find_map(|line| line.strip_prefix("go ")).unwrap();
    let go = go.rsplit_once('.').map_or(go, |(minor, _)| minor);
    for path in ["README.md", "Makefile"] {
        check(path, "Go ", go);
    }
    let chart = yaml("charts/datagate/Chart.yaml");
    let kubernetes = chart["kubeVersion"].as_str().unwrap();
    let oldest = kubernetes
        .trim_start_matches(">=")
        .trim_end_matches("-0")
        .trim_end_matches(".0");
    check("charts/datagate/README.md", "It needs Kubernetes ", oldest);
    agreed(&wrong);
}

/// No container runtime is at hand where these tests run, so of the Dockerfile only this is checked: that it does what
/// everything else does.
#[test]
fn the_dockerfile_agrees_with_everything_else() {
    let dockerfile = read("Dockerfile");
    let makefile = read("Makefile");
    let mut wrong = Vec::new();
    let mut says = |what: &str, why: &str| {
        if !dockerfile.lines().any(|line| line.contains(what)) {
            wrong.push(format!("Dockerfile does not say `{what}`: {why}"));
        }
    };
    let rust = env!("CARGO_PKG_RUST_VERSION");
    says(
        &format!("ARG RUST_IMAGE=rust:{rust}."),
        "Cargo.toml's rust-version",
    );
    let auditable = makefile
        .split_whitespace()
        .find(|it| it.starts_with("cargo-auditable@"));
    says(
        &format!("ARG CARGO_AUDITABLE={}", auditable.unwrap()),
        "as the Makefile",
    );
    says(".ci/build-release", "the program is built in one way");
    says(".ci/third-party-licenses", "most licences ask for their text");
    says(
        "FROM scratch",
        "the program is static and needs nothing beside it",
    );
    says("USER 65532:65532", "as the chart's runAsUser");
    says("EXPOSE 9443 8080", "as `datagate serve` listens");
    says("ENTRYPOINT [\"/datagate\"]", "the chart gives the arguments");
    for found in ["ADD ", "curl", "apt-get", ":latest"] {
        if dockerfile.contains(found) {
            wrong.push(format!(
                "Dockerfile says `{found}`: nothing that is not pinned goes into an image"
            ));
        }
    }
    let build = read(".ci/build-release");
    for flag in [
        "AUDITABLE-auditable",
        "build --release --locked",
        "crt-static",
        "--remap-path-prefix",
        "SOURCE_DATE_EPOCH",
    ] {
        if !build.contains(flag) {
            wrong.push(format!(".ci/build-release does not say `{flag}`"));
        }
    }
    agreed(&wrong);
}

/// Files of [`DOCUMENTS`] that are prose.
fn documents() -> Vec<String> {
    fn walk(path: &Path, found: &mut Vec<String>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path(), found);
            }
        } else if path.extension().is_some_and(|it| it == "md" || it == "txt") {
            let path = path.strip_prefix(root()).unwrap();
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    let mut found = Vec::new();
    for path in DOCUMENTS {
        walk(&root().join(path), &mut found);
    }
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Versions of an image, an archive or a tag of datagate (`datagate:1.2.3`, `datagate-v1.2.3.tgz`), with their lines.
fn named(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for (at, word) in line.match_indices("datagate") {
            let rest = line.get(at + word.len()..).unwrap_or_default();
            let Some(rest) = rest.strip_prefix([':', '-', '@', '_']) else {
                continue;
            };
            let rest = rest.strip_prefix('v').unwrap_or(rest);
            let version: String = rest
                .chars()
                .take_while(|it| it.is_ascii_digit() || *it == '.')
                .collect();
            if let Some((..)) = number_of(version.trim_end_matches('.')) {
                all.push((number, version.trim_end_matches('.').to_owned()));
            }
        }
    }
    all
}

fn number_of(version: &str) -> Option<Number> {
    let mut parts = version.split('.').map(str::parse);
    let number = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    parts.next().is_none().then_some(number)
}

/// What is wrong with the changelog. Between releases the version is that of the next one, and what it brings stands
/// under `[Unreleased]`; the commit of a release gives that heading the version and the day.
fn changelog(text: &str, version: &str, released: bool) -> Vec<String> {
    let file = "CHANGELOG.md";
    let mut wrong = Vec::new();
    let mut unreleased = false;
    let mut newest = None;
    let mut last: Option<Number> = None;
    for section in text.split("\n## ").skip(1) {
        let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
        if heading == "[Unreleased]" {
            unreleased = !body.trim().is_empty();
            continue;
        }
        let parsed = heading
            .strip_prefix('[')
            .and_then(|it| it.split_once("] - "))
            .and_then(|(version, day)| {
                day.parse::<jiff::civil::Date>().ok()?;
                number_of(version)
            });
        let Some(number) = parsed else {
            wrong.push(format!(
                "{file}: `## {heading}`: write `## [1.2.3] - 2026-01-31`, or `## [Unreleased]`"
            ));
            continue;
        };
        if last.is_some_and(|last| last <= number) {
            wrong.push(format!(
                "{file}: `## {heading}` stands below an older version: newest first"
            ));
        }
        last = Some(number);
        newest = newest.or(Some(number));
    }
    let now = number_of(version).unwrap();
    match newest {
        Some(newest) if newest > now => wrong.push(format!(
            "Cargo.toml says {version}, but {file} tells of a newer one: write that into Cargo.toml, or take the heading out"
        )),
        Some(newest) if newest == now && unreleased => wrong.push(format!(
            "{version} is released, says {file}: what stands under [Unreleased] is of the next version; write that into \
             Cargo.toml and Chart.yaml"
        )),
        Some(newest) if newest == now => {}
        _ if released => wrong.push(format!(
            "{file} has no heading for {version}: write `## [{version}] - <day>` in the place of `## [Unreleased]`"
        )),
        _ => {}
    }
    wrong
}

#[test]
fn what_is_wrong_with_a_changelog_is_told() {
    let between = "# Changelog\n\n## [Unreleased]\n\n* A.\n\n## [0.1.0] - 2026-01-31\n\n* B.\n";
    let of_a_release =
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-28\n\n* A.\n\n## [0.1.0] - 2026-01-31\n";
    let wrong = |text, version, released| changelog(text, version, released).join("; ");
    assert_eq!(wrong(between, "0.2.0", false), "");
    assert_eq!(wrong(of_a_release, "0.2.0", true), "");
    let said = wrong(between, "0.2.0", true);
    assert!(said.contains("write `## [0.2.0] - <day>`"), "{said}");
    let said = wrong(between, "0.1.0", false);
    assert!(said.contains("0.1.0 is released"), "{said}");
    let said = wrong(of_a_release, "0.1.9", false);
    assert!(said.contains("Cargo.toml says 0.1.9"), "{said}");
    let said = wrong("# Changelog\n\n## 0.1.0\n", "0.1.0", false);
    assert!(said.contains("`## 0.1.0`"), "{said}");
    let said = wrong(
        "\n## [0.1.0] - 2026-01-31\n\n## [0.2.0] - 2026-02-28\n",
        "0.2.0",
        false,
    );
    assert!(said.contains("newest first"), "{said}");
}

#[test]
fn versions_are_found_in_prose() {
    let text = "pull registry.example.com/datagate:1.2.3\nhelm install datagate-2.0.0.tgz\ndatagate-system, datagate:latest, datagate.dev/v1";
    let found = named(text);
    assert_eq!(found, [(1, "1.2.3".to_owned()), (2, "2.0.0".to_owned())]);
}
