//! What the chart lets the server do, exactly: `tests/golden/rights.txt`.
//!
//! The server of the other tests has nothing but a token of the account, so that all of them show that the rights are
//! enough. That they are not more is shown here, by asking about everything that the API server serves.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::thread;

use datagate_env::stdout_of;
use serde_json::json;
use snapbox::Data;

use super::helm;
use crate::webhook::{Api, RELEASE, SYSTEM, repository, rig};

/// Another release, which manages its own certificate; only its rights are in the cluster.
const OWN: (&str, &str, &str) = ("own", "own-system", "own-datagate");

/// A right as `kubectl auth can-i --list` prints it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// `resource/subresource.group`.
    resource: String,
    /// Empty for all.
    names: Vec<String>,
    verbs: Vec<String>,
}

impl Right {
    fn parse(line: &str) -> Self {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let mut parts = line.split(['[', ']']);
        let resource = parts.next().unwrap().trim().to_owned();
        let (names, verbs) = (parts.nth(2).unwrap(), parts.nth(1).unwrap());
        Self {
            resource,
            names: list(names),
            verbs: list(verbs),
        }
    }

    fn line(&self) -> String {
        format!(
            "{} [] [{}] [{}]",
            self.resource,
            self.names.join(" "),
            self.verbs.join(" ")
        )
    }

    fn allows(&self, question: &Question) -> bool {
        self.resource == question.resource
            && self.verbs.contains(&question.verb)
            && (self.names.is_empty() || self.names.contains(&question.name))
    }
}

struct Question {
    namespace: String,
    resource: String,
    group: String,
    plural: String,
    subresource: String,
    verb: String,
    name: String,
}

/// The rights of an account in a namespace.
fn rights(namespace: &str, account: &str, of: &str) -> BTreeSet<Right> {
    let user = format!("--as=system:serviceaccount:{of}:{account}");
    let list = [
        "auth",
        "can-i",
        "--list",
        "--no-headers",
        &user,
        "--namespace",
        namespace,
    ];
    let list = stdout_of(&mut rig().cluster.kubectl(list)).unwrap();
    list.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        // What everybody may: ask who they are, and read the API's own documents.
        .filter(|line| !line.starts_with("selfsubject") && !line.starts_with('['))
        .map(|line| Right::parse(&line))
        .collect()
}

fn install_rights_of_own() {
    let (release, namespace, _) = OWN;
    let chart = repository("charts/datagate");
    let template = [
        "template",
        release,
        &chart,
        "--namespace",
        namespace,
        "--show-only",
        "templates/rbac.yaml",
    ];
    let text = helm(&rig().cluster, &template);
    // Other tests may have made it already.
    let _ = rig().cluster.create_namespace(namespace);
    crate::rig::apply(&rig().cluster, &text);
}

/// All that the API server serves, as group and resource with its subresource.
fn discovered(api: &Api) -> BTreeSet<(String, String)> {
    let groups = api.get_path("/apis").admitted();
    let versions = groups["groups"].as_array().unwrap().iter();
    let versions = versions.flat_map(|group| group["versions"].as_array().unwrap());
    let mut paths: Vec<String> = versions
        .map(|version| format!("/apis/{}", version["groupVersion"].as_str().unwrap()))
        .collect();
    paths.push("/api/v1".to_owned());
    let mut all = BTreeSet::new();
    for path in paths {
        let list = api.get_path(&path).admitted();
        let group = list["groupVersion"].as_str().unwrap().split_once('/');
        let group = group.map_or("", |(group, _)| group);
        for resource in list["resources"].as_array().unwrap() {
            all.insert((group.to_owned(), resource["name"].as_str().unwrap().to_owned()));
        }
    }
    all
}

fn allowed(api: &Api, (account, of): (&str, &str), question: &Question) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{of}:{account}"),
            "groups": ["system:authenticated", "system:serviceaccounts", format!("system:serviceaccounts:{of}")],
            "resourceAttributes": {
                "namespace": question.namespace,
                "group": question.group,
                "resource": question.plural,
                "subresource": question.subresource,
                "verb": question.verb,
                "name": question.name,
            },
        },
    });
    let answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review);
    answer.admitted()["status"]["allowed"] == true
}

#[test]
fn the_server_may_do_what_it_needs_and_no_more() {
    install_rights_of_own();
    crate::rig::install_third_party(&rig().cluster);
    let mut text = String::new();
    for (title, namespace, account) in [
        ("webhook.url", SYSTEM, RELEASE),
        ("certificate.mode: SelfManaged", OWN.1, OWN.2),
    ] {
        let everywhere = rights("default", account, namespace);
        let own = rights(namespace, account, namespace);
        let more: BTreeSet<_> = own.difference(&everywhere).cloned().collect();
        assert!(everywhere.is_subset(&own));
        let lines = |rights: &BTreeSet<Right>| rights.iter().map(Right::line).collect::<Vec<_>>().join("\n");
        text += &format!(
            "with {title}, everywhere:\n{}\n\nwith {title}, in its own namespace besides:\n{}\n\n",
            lines(&everywhere),
            lines(&more)
        );
        nothing_else_is_allowed((account, namespace), &everywhere, &more);
    }
    let path = repository("tests/golden/rights.txt");
    if std::env::var_os("DATAGATE_UPDATE").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    snapbox::assert_data_eq!(text, Data::text(expected).raw());
}

/// Asks about every resource, verb and place, without a name and with each name of the rights.
fn nothing_else_is_allowed(who: (&str, &str), everywhere: &BTreeSet<Right>, own: &BTreeSet<Right>) {
    const VERBS: [&str; 13] = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
        "bind",
        "escalate",
        "impersonate",
        "approve",
        "use",
    ];
    let api = &rig().api;
    let mut names: BTreeSet<&str> = BTreeSet::from([""]);
    names.extend(
        everywhere
            .iter()
            .chain(own)
            .flat_map(|it| it.names.iter().map(String::as_str)),
    );
    let mut questions = Vec::new();
    for (group, resource) in discovered(api) {
        if resource.starts_with("selfsubject") {
            continue;
        }
        let (plural, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
        let dot = if group.is_empty() { "" } else { "." };
        let slash = if subresource.is_empty() { "" } else { "/" };
        let full = format!("{plural}{dot}{group}{slash}{subresource}");
        for namespace in [who.1, "default", ""] {
            for verb in VERBS {
                // Names make a difference only where a right names them; everywhere else one stands for all.
                let named = everywhere
                    .iter()
                    .chain(own)
                    .any(|it| it.resource == full && !it.names.is_empty());
                for name in names
                    .iter()
                    .filter(|name| name.is_empty() || named || **name == who.0)
                {
                    questions.push(Question {
                        namespace: namespace.to_owned(),
                        resource: full.clone(),
                        group: group.clone(),
                        plural: plural.to_owned(),
                        subresource: subresource.to_owned(),
                        verb: verb.to_owned(),
                        name: (*name).to_owned(),
                    });
                }
            }
        }
    }
    let todo = Mutex::new(questions.iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(question) = { todo.lock().unwrap().next() } {
                    let own = own.iter().filter(|_| question.namespace == who.1);
                    let expected = everywhere.iter().chain(own).any(|it| it.allows(question));
                    if allowed(api, who, question) != expected {
                        let Question {
                            namespace,
                            resource,
                            verb,
                            name,
                            ..
                        } = question;
                        let line =
                            format!("{verb} {resource} {name:?} in {namespace:?}: expected {expected}");
                        wrong.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{}: asked {} times", who.0, questions.len());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        questions.len(),
        wrong.join("\n")
    );
}

/// What people get by the roles of the chart, and by what others add to them.
#[test]
fn policy_owners_edit_and_readers_read() {
    let rig = rig();
    let binding = |role: &str, user: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("test-{user}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        })
    };
    let more = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "more-for-owners", "labels": {"rbac.datagate.dev/aggregate-to-policy-owner": "true"}},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    });
    let bindings = [
        binding("datagate-policy-owner", "rights-owner"),
        binding("datagate-reader", "rights-reader"),
        binding("view", "rights-viewer"),
    ];
    for object in bindings.iter().chain([&more]) {
        rig.api.create(object).admitted();
    }
    let may = |user: &str, verb: &str, resource: &str| {
        let user = format!("--as={user}");
        let output = rig
            .cluster
            .kubectl(["auth", "can-i", verb, resource, &user])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim() == "yes"
    };
    rig.wait("the roles are aggregated", || {
        (may("rights-owner", "get", "configmaps")
            && may("rights-viewer", "list", "datasetrecords.datagate.dev"))
        .then_some(())
    });
    for resource in ["datasetpolicies.datagate.dev", "datasetrecords.datagate.dev"] {
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            let owner = verb != "deletecollection";
            assert_eq!(may("rights-owner", verb, resource), owner, "{verb} {resource}");
            assert!(
                !may("rights-reader", verb, resource) && !may("rights-viewer", verb, resource),
                "{verb}"
            );
        }
        for user in ["rights-owner", "rights-reader", "rights-viewer"] {
            assert!(may(user, "list", resource), "{user} {resource}");
        }
    }
    for object in bindings.iter().chain([&more]) {
        rig.api.delete(object, "Background").admitted();
    }
}

/// Used by the rules of [`Right::parse`].
#[test]
fn rights_are_read_as_they_are_printed() {
    for line in [
        "leases.coordination.k8s.io [] [] [create get]",
        "validatingwebhookconfigurations.admissionregistration.k8s.io [] [datagate] [get]",
    ] {
        assert_eq!(Right::parse(line).line(), line);
    }
}
