//! Links of the documents lead to a file of the repository, and to a heading in it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::root;

/// Pages that are still being written elsewhere; take each out once it is there.
const TO_COME: &[&str] = &["docs/reliability.md"];

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "charts",
    "tests",
    "examples",
];

fn documents(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            documents(&entry.unwrap().path(), found);
        }
        // Parts of pages that are made; the pages themselves are looked at.
    } else if path.extension().is_some_and(|it| it == "md")
        && !path.starts_with(root().join("tests/generated"))
    {
        found.push(path.to_owned());
    }
}

/// The text outside of code, in which brackets are links.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

fn links(text: &str) -> Vec<String> {
    let targets = prose(text);
    let targets = targets.split("](").skip(1).filter_map(|it| it.split_once(')'));
    targets
        .map(|(target, _)| target.trim_matches(['<', '>']).to_owned())
        .collect()
}

/// The anchors of a page, as the common viewers make them of headings.
fn anchors(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut all = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it));
            let anchor: String = kept.map(|it| if it == ' ' { '-' } else { it }).collect();
            let before = all.iter().filter(|it| **it == anchor).count();
            all.push(if before == 0 {
                anchor
            } else {
                format!("{anchor}-{before}")
            });
        }
    }
    all
}

/// Without `..`, so that errors are read easily.
fn resolved(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

/// What is wrong with a link of a page.
fn broken(page: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        page.to_owned()
    } else {
        resolved(&page.parent()?.join(file))
    };
    if target != page && !target.exists() {
        let name = target.strip_prefix(root()).unwrap_or(&target);
        let to_come = TO_COME.iter().any(|it| name == Path::new(it));
        return (!to_come).then(|| format!("{} does not exist", name.display()));
    }
    if anchor.is_empty() || target.extension().is_none_or(|it| it != "md") {
        return None;
    }
    let there = if target == page {
        text.to_owned()
    } else {
        fs::read_to_string(&target).unwrap()
    };
    (!anchors(&there).iter().any(|it| it == anchor)).then(|| format!("no heading makes #{anchor}"))
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = Vec::new();
    for path in DOCUMENTS {
        documents(&root().join(path), &mut pages);
    }
    pages.sort();
    // Its links are those of the page that is made from it.
    pages.retain(|page| !page.ends_with("metrics-head.md"));
    let mut seen = 0;
    let mut wrong = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in links(&text) {
            seen += 1;
            let name = page.strip_prefix(root()).unwrap().display();
            wrong.extend(broken(page, &text, &link).map(|why| format!("{name}: ({link}): {why}")));
        }
    }
    assert!(seen > 50, "{seen} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_links_are_told() {
    let page = root().join("docs/page.md");
    let text = "# A page\n\n## What, then?\n\n```text\n[x](no.md)\n# none\n```\n`[y](no.md)` [a](#what-then) [b](#none) [c](no.md) [d](limits.md#limits)\n";
    assert_eq!(links(text), ["#what-then", "#none", "no.md", "limits.md#limits"]);
    let told: Vec<_> = links(text).iter().map(|link| broken(&page, text, link)).collect();
    let wanted = [
        None,
        Some("no heading makes #none".to_owned()),
        Some("docs/no.md does not exist".to_owned()),
        None,
    ];
    assert_eq!(told, wanted);
}
