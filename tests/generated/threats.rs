//! `docs/threat-model.md` names a test, or says why there is none, for each threat; and each test it names exists.

use std::collections::BTreeMap;
use std::fs;

use super::root;

const PAGE: &str = "docs/threat-model.md";

/// The rows that must be there, by the beginning of their names.
const ROWS: &[(&str, usize)] = &[("T", 18), ("M", 10), ("K", 4), ("B", 40), ("A", 17)];

/// Where the tests of each kind are: modules begin in that folder.
const MODULES: &[(&str, &str)] = &[
    ("cluster", "tests/cluster"),
    ("shell", "tests/shell"),
    ("generated", "tests/generated"),
    ("core", "crates/core/src"),
    ("properties", "crates/core/tests/properties"),
    ("lib", "src"),
];

/// What a row may say in the place of a test.
const EXCUSES: &[&str] = &["**not yet**", "nothing to test"];

fn page() -> String {
    fs::read_to_string(root().join(PAGE)).unwrap()
}

/// The cells of a row, or nothing if the line is no row of an id.
fn cells(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<&str> = line
        .strip_prefix("| ")?
        .strip_suffix(" |")?
        .split(" | ")
        .collect();
    let (letter, number) = cells.first()?.split_at_checked(1)?;
    let known = ROWS.iter().any(|(known, _)| *known == letter);
    (known && number.parse::<usize>().is_ok()).then_some(cells)
}

/// Names of tests in a text: code that begins with the name of a kind of test.
fn tests(text: &str) -> Vec<(&str, &str)> {
    let code = text.split('`').skip(1).step_by(2);
    let named = code.filter_map(|it| it.split_once(' '));
    named
        .filter(|(kind, name)| {
            let known = MODULES.iter().any(|(known, _)| known == kind) || ["cases", "schema"].contains(kind);
            known && !name.contains(' ')
        })
        .collect()
}

/// Why there is no such test.
fn missing(kind: &str, name: &str) -> Option<String> {
    let there = match kind {
        "cases" if name.contains('/') => root().join("tests/cases").join(name).join("case.yaml").is_file(),
        "cases" => sources("tests/cases").any(|text| text.contains(&format!("Trial::test(\"{name}\""))),
        "schema" => root().join("tests/schema").join(format!("{name}.yaml")).is_file(),
        _ => {
            let folder = MODULES
                .iter()
                .find(|(known, _)| *known == kind)
                .map(|(_, folder)| *folder)?;
            return function(folder, name);
        }
    };
    (!there).then(|| format!("there is no `{kind} {name}`"))
}

/// The Rust files right in a folder.
fn sources(folder: &str) -> impl Iterator<Item = String> {
    let files = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|it| it.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
}

/// Why `a::b::f` is no test in that folder: the file is `a/b.rs`, `a.rs` if `b` stands inside it, or `main.rs`.
fn function(folder: &str, name: &str) -> Option<String> {
    let modules: Vec<&str> = name.split("::").collect();
    let (name, modules) = modules.split_last()?;
    let files = (0..=modules.len()).rev().filter_map(|length| {
        let path = match modules.get(..length)? {
            [] => "main".to_owned(),
            modules => modules.join("/"),
        };
        let file = root().join(folder).join(format!("{path}.rs"));
        fs::read_to_string(&file).ok()
    });
    let (mut found, head) = (false, format!("fn {name}("));
    for text in files.take(1) {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(&head)) {
            let above = lines.get(..i).unwrap_or_default().iter().rev();
            let mut attributes = above
                .map(|line| line.trim())
                .take_while(|line| line.starts_with(['#', '/']));
            let proptest = text.contains("proptest! {") && line.starts_with("    ");
            found |= proptest || attributes.any(|line| line.starts_with("#[") && line.contains("test"));
        }
    }
    (!found).then(|| {
        format!(
            "there is no test {head}...) in {folder}, module {}",
            modules.join("::")
        )
    })
}

#[test]
fn every_test_of_the_page_exists() {
    let mut wrong = Vec::new();
    let mut named = 0;
    for (line, number) in page().lines().zip(1..) {
        for (kind, name) in tests(line).into_iter().filter(|(_, name)| *name != "NAME") {
            named += 1;
            wrong.extend(missing(kind, name).map(|why| format!("{PAGE}:{number}: {why}")));
        }
        if let Some(cells) = cells(line) {
            let last = cells.last().copied().unwrap_or_default();
            if cells.len() != 4 {
                wrong.push(format!(
                    "{PAGE}:{number}: {} cells in the place of 4",
                    cells.len()
                ));
            } else if tests(last).is_empty() && !EXCUSES.iter().any(|it| last.contains(it)) {
                wrong.push(format!(
                    "{PAGE}:{number}: name a test, or say {}",
                    EXCUSES.join(" or ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        named > 100,
        "only {named} tests are named: does this test still read the page?"
    );
}

#[test]
fn every_threat_has_a_row() {
    let page = page();
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for line in page.lines() {
        let Some(cells) = cells(line) else { continue };
        let (letter, number) = cells[0].split_at(1);
        rows.entry(letter).or_default().push(number.parse().unwrap());
    }
    for (letter, count) in ROWS {
        let wanted: Vec<usize> = (1..=*count).collect();
        assert_eq!(
            rows.get(letter),
            Some(&wanted),
            "{PAGE}: the rows {letter}1 to {letter}{count}, in order"
        );
    }
}

#[test]
fn a_test_that_does_not_exist_is_told() {
    for (kind, name) in [
        ("cluster", "attacks::steps::b99_nobody_wrote_this"),
        // A helper is no test.
        ("cluster", "attacks::steps::train"),
        ("cluster", "steps::b02_ephemeral_containers_are_behind_no_step"),
        ("cases", "attacks/attack-99"),
        ("cases", "every_case_is_good"),
        ("schema", "datasetpolicy/no-such-file"),
    ] {
        assert!(missing(kind, name).is_some(), "{kind} {name}");
    }
    assert_eq!(
        missing(
            "cluster",
            "attacks::steps::b02_ephemeral_containers_are_behind_no_step"
        ),
        None
    );
}
