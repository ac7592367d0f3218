//! Templates that unfold to more than could be written down, and the sound rule for DAGs.

use std::fmt::Write as _;

use crate::draft::{Context, Drafted};
use crate::fetched::Fetched;
use crate::order::Proof;
use crate::path::Paths;
use crate::settings::Settings;
use crate::submission::{NodeId, Submission};
use crate::workload::KnownKind;

fn with<T>(spec: &str, test: impl FnOnce(&Submission<'_>) -> T) -> T {
    let json = format!(r#"{{"metadata": {{"name": "w"}}, "spec": {spec}}}"#);
    let (settings, fetched) = (Settings::default(), Fetched::default());
    let context = Context {
        settings: &settings,
        fetched: &fetched,
        namespace: "ml",
    };
    let mut paths = Paths::default();
    let object = KnownKind::Workflow.read(&json).unwrap();
    let Drafted { submission, .. } = object.draft(context, &mut paths, Paths::ROOT);
    test(&submission)
}

/// Whether the container named `filter` surely runs before the one named `train`.
fn proved(spec: &str) -> bool {
    with(spec, |submission| {
        let named = |name: &str| {
            let is = |(id, _): &(NodeId, _)| submission.node(*id).is_some_and(|node| &*node.name == name);
            submission.runs().find(is).unwrap().0
        };
        let mut is = vec![0; submission.nodes.len()];
        is[named("filter").0 as usize] = 1;
        Proof::new(submission, &is, 1).before(named("train")) == 1
    })
}

/// A DAG `main` of `prepare`, a DAG of the given tasks, and `train` behind it.
fn behind(tasks: &str) -> bool {
    proved(&format!(
        r#"{{"entrypoint": "main", "templates": [
            {{"name": "main", "steps": [[{{"name": "p", "template": "prepare"}}], [{{"name": "t", "template": "train"}}]]}},
            {{"name": "prepare", "dag": {{{tasks}}}}},
            {{"name": "filter", "container": {{"image": "f"}}}},
            {{"name": "other", "container": {{"image": "o"}}}},
            {{"name": "train", "container": {{"image": "t"}}}}]}}"#
    ))
}

#[test]
fn templates_are_never_unfolded() {
    let mut templates = String::new();
    for level in 0..30 {
        let call = format!(r#"{{"name": "a", "template": "t{}"}}"#, level + 1);
        let twin = call.replace("\"a\"", "\"b\"");
        write!(
            templates,
            r#"{{"name": "t{level}", "steps": [[{call}, {twin}]]}},"#
        )
        .unwrap();
    }
    let spec = format!(
        r#"{{"entrypoint": "t0", "templates": [{templates} {{"name": "t30", "container": {{"image": "a"}}}}]}}"#
    );
    // The object, one for what is missing, and each template once; a call each, and the container.
    with(&spec, |submission| {
        assert_eq!((submission.frames, submission.nodes.len()), (2 + 31, 1 + 60 + 1));
    });
}

#[test]
fn circles_and_long_chains_end() {
    let circle = r#"{"entrypoint": "a", "templates": [
        {"name": "a", "steps": [[{"name": "b", "template": "b"}, {"name": "a", "template": "a"}]]},
        {"name": "b", "dag": {"tasks": [{"name": "a", "template": "a", "depends": "a.Succeeded"}]}}]}"#;
    with(circle, |submission| {
        assert!(Proof::new(submission, &vec![0; submission.nodes.len()], 0).before(NodeId(0)) == 0);
    });
    let mut tasks = r#"{"name": "t0", "template": "filter"}"#.to_owned();
    for i in 1..10_000 {
        let template = if i == 9_999 { "train" } else { "other" };
        let before = i - 1;
        write!(
            tasks,
            r#",{{"name": "t{i}", "template": "{template}", "depends": "t{before}.Succeeded"}}"#
        )
        .unwrap();
    }
    let chain = format!(
        r#"{{"entrypoint": "main", "templates": [{{"name": "main", "dag": {{"tasks": [{tasks}]}}}},
            {{"name": "filter", "container": {{"image": "f"}}}}, {{"name": "other", "container": {{"image": "o"}}}},
            {{"name": "train", "container": {{"image": "t"}}}}]}}"#
    );
    assert!(proved(&chain));
}

#[test]
fn a_dag_shows_only_what_it_cannot_do_without() {
    let filter = r#"{"name": "f", "template": "filter"}"#;
    let cases = [
        (true, format!(r#""tasks": [{filter}]"#)),
        (
            true,
            format!(r#""tasks": [{filter}, {{"name": "o", "template": "other", "when": "{{{{x}}}}"}}]"#),
        ),
        (
            true,
            format!(r#""tasks": [{filter}, {{"name": "o", "template": "other", "depends": "f.Succeeded"}}]"#),
        ),
        (
            true,
            format!(r#""tasks": [{filter}, {{"name": "o", "template": "other", "dependencies": ["f"]}}]"#),
        ),
        // Its failure is handled, so the DAG succeeds without it.
        (
            false,
            format!(r#""tasks": [{filter}, {{"name": "o", "template": "other", "depends": "f.Failed"}}]"#),
        ),
        (
            false,
            format!(
                r#""tasks": [{filter}, {{"name": "o", "template": "other", "depends": "f.Succeeded || f.Failed"}}]"#
            ),
        ),
        (
            false,
            format!(
                r#""tasks": [{filter}, {{"name": "o", "template": "other", "depends": "f.Failed == true"}}]"#
            ),
        ),
        // It is left out when the other is skipped, and nothing fails.
        (
            false,
            r#""tasks": [{"name": "o", "template": "other", "when": "{{x}}"},
                {"name": "f", "template": "filter", "depends": "o.Succeeded"}]"#
                .to_owned(),
        ),
        // It is no target, nor before one.
        (
            false,
            format!(r#""target": "o", "tasks": [{filter}, {{"name": "o", "template": "other"}}]"#),
        ),
        // Whatever is called `f` is the first of the two.
        (
            false,
            format!(r#""tasks": [{{"name": "{{{{x}}}}", "template": "other"}}, {filter}]"#),
        ),
    ];
    for (expected, tasks) in cases {
        assert_eq!(behind(&tasks), expected, "{tasks}");
    }
}
