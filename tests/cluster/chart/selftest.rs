//! `helm test`: the program with the rights of the hook's account, against the server and without it.

use std::process::{Command, Output};

use datagate_env::{Options, free_port, stdout_of};
use serde_json::{Value, json};

use super::helm;
use crate::webhook::objects::policy;
use crate::webhook::{Api, RELEASE, Rig, SYSTEM, control_plane, repository};

const NAME: &str = "datagate-selftest";

/// What the hook installs: everything but its pod, and the arguments of the pod.
fn hook(rig: &Rig, set: &str) -> (Vec<Value>, Vec<String>) {
    let chart = repository("charts/datagate");
    let template = [
        "template",
        RELEASE,
        &chart,
        "--namespace",
        SYSTEM,
        "--show-only",
        "templates/selftest.yaml",
        "--set",
        set,
    ];
    let text = helm(&rig.cluster, &template);
    let mut objects = serde_saphyr::from_multiple::<Value>(&text).unwrap();
    let pod = objects.iter().position(|it| it["kind"] == "Pod").unwrap();
    let pod = objects.remove(pod);
    let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap().iter();
    (
        objects,
        arguments.map(|it| it.as_str().unwrap().to_owned()).collect(),
    )
}

/// Runs it as the pod would.
fn run(rig: &Rig, arguments: &[String], seconds: u32) -> Output {
    let mut create = rig
        .cluster
        .kubectl(["create", "token", NAME, "--namespace", SYSTEM]);
    let token = stdout_of(&mut create).unwrap();
    let config = std::fs::read_to_string(rig.cluster.dir().join("datagate.kubeconfig")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = rig.cluster.dir().join("selftest.kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
    let others = arguments.iter().filter(|it| !it.starts_with("--timeout="));
    command.env_clear().env("KUBECONFIG", path).args(others);
    command.arg(format!("--timeout={seconds}"));
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(text).unwrap()
}

fn is_gone(api: &Api) -> bool {
    api.get(&policy(NAME, NAME)).code == 404
}

#[test]
fn it_tells_whether_the_installation_works() {
    let rig = Rig::start(&Options::default());
    let (objects, arguments) = hook(&rig, "mode=Enforce");
    assert!(arguments.contains(&"--timeout=120".to_owned()), "{arguments:?}");
    for object in &objects {
        rig.api.create(object).admitted();
    }
    let passed = run(&rig, &arguments, 60);
    let said = text(&passed);
    assert!(passed.status.success(), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    for (line, words) in lines.iter().zip([
        "made DatasetPolicy datagate-selftest for namespace datagate-selftest",
        "DatasetPolicy datagate-selftest is in force",
        "the paused job was refused: ",
        "the undeclared job was refused: ",
        "the compliant job was admitted",
        "removed DatasetPolicy datagate-selftest",
        "passed: this installation does what it must",
    ]) {
        assert!(line.contains(words), "{words}: {said}");
    }
    assert_eq!(lines.len(), 7, "{said}");
    assert!(
        lines[2].contains("[RegionPaused]") && lines[3].contains("[DataUndeclared]"),
        "{said}"
    );
    assert!(is_gone(&rig.api));

    // A person with a kubeconfig needs no hook: it makes a namespace of its own.
    let admin = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datagate"));
        command.env_clear().env("KUBECONFIG", rig.cluster.kubeconfig());
        command
            .args(["selftest", "--name=by-hand"])
            .args(more)
            .output()
            .unwrap()
    };
    // A name that something else has: that is never touched.
    let theirs = policy("by-hand", "ml");
    rig.api.create(&theirs).admitted();
    rig.cluster.create_namespace("by-hand").unwrap();
    let refused = admin(&[]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let why = "DatasetPolicy by-hand exists and was made by nobody's selftest, so it is left alone. Choose another --name";
    assert!(said.contains(why), "{said}");
    rig.api.get(&theirs).admitted();
    rig.api.delete(&theirs, "Background");
    let refused = admin(&[]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("namespace by-hand exists"), "{said}");
    let namespace = rig.api.get_path("/api/v1/namespaces/by-hand").admitted();
    assert_eq!(
        namespace["metadata"]["deletionTimestamp"],
        Value::Null,
        "{namespace:#}"
    );
    rig.api.delete(&namespace, "Background");

    let by_hand = admin(&[]);
    let said = text(&by_hand);
    assert!(by_hand.status.success(), "{said}");
    assert!(
        said.contains("made namespace by-hand") && said.contains("removed namespace by-hand"),
        "{said}"
    );

    // Where other policies govern the namespace too, what they refuse is no fault.
    let mut everywhere = policy("everywhere", "");
    everywhere["spec"]["namespaceSelector"] = json!({});
    rig.api.create(&everywhere).admitted();
    let words = "the compliant job was refused, but not by the policy of this test: ";
    rig.wait("the other policy is met", || {
        let output = admin(&[]);
        assert!(output.status.success(), "{}", text(&output));
        let said = text(&output);
        let line = said.lines().find_map(|line| line.strip_prefix(words))?.to_owned();
        assert!(line.contains("everywhere does not accept bare regions"), "{said}");
        Some(())
    });
    rig.api.delete(&everywhere, "Background").admitted();

    // A server that refuses, taken for one that must not.
    let observing = admin(&["--observe"]);
    let said = text(&observing);
    assert_eq!(observing.status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAILED: the paused job must be admitted, but it was refused: "),
        "{said}"
    );
    assert!(said.contains("removed DatasetPolicy by-hand"), "{said}");

    // Without rights nothing can be told.
    let binding = objects.iter().find(|it| it["kind"] == "RoleBinding").unwrap();
    rig.api.delete(binding, "Background").admitted();
    rig.wait("the right is gone", || {
        let output = run(&rig, &arguments, 1);
        let said = text(&output);
        (output.status.code() == Some(2) && said.contains("cannot submit the paused job")).then_some(())
    });
    assert!(is_gone(&rig.api));
    rig.api.create(binding).admitted();

    // Nobody decides.
    rig.server.kill();
    let dead = run(&rig, &arguments, 1);
    let said = text(&dead);
    assert_eq!(dead.status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAILED: DatasetPolicy datagate-selftest is not Ready after 1 s: "),
        "{said}"
    );
    assert!(is_gone(&rig.api), "{said}");
}

#[test]
fn nothing_is_refused_where_nothing_is_to_be_refused() {
    let cluster = control_plane(&Options::default());
    let (port, admin) = (free_port().unwrap(), free_port().unwrap());
    crate::webhook::install(&cluster, port, &["--set", "mode=Observe"]);
    let kubeconfig = crate::webhook::own_kubeconfig(&cluster);
    let server =
        crate::webhook::Server::start_with(&cluster, &kubeconfig, port, admin, &["--observe".to_owned()]);
    server.ready();
    let api = Api::new(&cluster);
    let rig = Rig { server, api, cluster };
    let (objects, arguments) = hook(&rig, "mode=Observe");
    for object in &objects {
        rig.api.create(object).admitted();
    }
    let passed = run(&rig, &arguments, 60);
    let said = text(&passed);
    assert!(passed.status.success(), "{said}");
    for what in ["paused", "undeclared", "compliant"] {
        assert!(said.contains(&format!("the {what} job was admitted")), "{said}");
    }
    assert!(is_gone(&rig.api));
    // It was judged all the same.
    let decisions = rig.server.decisions();
    let seen = decisions
        .iter()
        .filter(|it| it["object"]["namespace"] == NAME)
        .count();
    assert!(seen >= 2, "{decisions:#?}");

    let demanding: Vec<String> = arguments.into_iter().filter(|it| it != "--observe").collect();
    let failed = run(&rig, &demanding, 3);
    let said = text(&failed);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED: "), "{said}");
}
