//! What is made from the list of kinds in `crates/core/src/workload.rs`.

use std::fmt::Write as _;

use datagate_core::workload::adoption::ADOPTIONS;
use datagate_core::workload::{Edge, Info, KnownKind, Scope};

const HEAD: &str = "\
# Made from the list of kinds in crates/core/src/workload.rs by `make generate`; do not edit.
#
# The kinds that datagate covers. The webhook rules and the RBAC of the chart are made from this list alone.
#
# kinds[]
#   apiGroup, resource   as in the API; every served version is covered
#   subresources         further doors to the same object, each of which needs its own rule
#   entry                training: kinds that exist for training, and other custom kinds that can train; always called
#                        core:     kinds that everything else in a cluster uses too; called behind the filter
#   read                 true: it may stand above a workload in its chain of controllers, or a workload may refer to it,
#                        so the server may GET it
#   trains               true: it exists for training, so it is governed without any key or accelerator
#
# statuses[]  kinds whose status is no subresource, so that whoever may write the object may write its status too; a
#             change of it by anybody but these accounts is called for
#
# children[]  who makes objects of a kind for an owner; such objects are the second layer's no more than the webhook's
#   accounts             the users that make them
#   own                  kinds of owners that work as an account of their own namespace
#   edges                OWNERKIND.GROUP/CHILDKIND: the value `controllerAccounts` adds accounts to these
#
# adoption[]  objects that an operator would take for its own. Made by hand, such an object could stand in for a step of
#             another workload, so the filter lets it through to the webhook even when it declares nothing.
#   resources            resources of the core kinds that the operator adopts
#   keys                 prefixes of label and annotation keys
#   owners               suffixes of the groups in ownerReferences[].apiVersion, with the slash
#   accounts             the users the operator works as, which are not called for
#   edges                OWNERKIND.GROUP/CHILDKIND: the value `controllerAccounts` adds accounts to these
";

/// `charts/datagate/files/kinds.yaml`.
pub fn chart() -> String {
    let mut kinds: Vec<&Info> = KnownKind::ALL.iter().map(|kind| kind.info()).collect();
    kinds.sort_by_key(|info| (info.group, info.plural));
    let mut text = format!("{HEAD}kinds:\n");
    for info in &kinds {
        let subresources = match info.subresources {
            [] => String::new(),
            list => format!("subresources: [{}], ", list.join(", ")),
        };
        let entry = if info.is_core() { "core" } else { "training" };
        let read = owns(info) || is_referred_to(info);
        let trains = if info.trains() { ", trains: true" } else { "" };
        writeln!(
            text,
            "  - {{apiGroup: {:?}, resource: {}, {subresources}entry: {entry}, read: {read}{trains}}}",
            info.group, info.plural
        )
        .unwrap();
    }
    text.push_str("statuses:\n");
    for info in kinds.iter().filter(|info| !info.status) {
        let edges = KnownKind::ALL.iter().flat_map(|kind| kind.creators());
        let accounts = accounts(edges.filter(|edge| (edge.group, edge.kind) == (info.group, info.kind)));
        let accounts = accounts.join(", ");
        writeln!(
            text,
            "  - {{apiGroup: {:?}, resource: {}, owner: {}, accounts: [{accounts}]}}",
            info.group,
            info.plural,
            qualified(info.kind, info.group),
        )
        .unwrap();
    }
    text.push_str("children:\n");
    for kind in KnownKind::ALL {
        let (info, edges) = (kind.info(), kind.creators().collect::<Vec<_>>());
        // Only kinds that a second layer looks at.
        if edges.is_empty() || !info.trains() && !info.is_core() {
            continue;
        }
        let built_in = |account: &str| account.starts_with("kube-system:");
        let mut users = accounts(edges.iter().copied());
        if edges.iter().flat_map(|edge| edge.accounts).any(|it| built_in(it)) {
            users.push("\"system:kube-controller-manager\"".to_owned());
        }
        let own = edges.iter().filter(|edge| edge.accounts.is_empty());
        let own: Vec<&str> = own.map(|edge| edge.kind).collect();
        let edges = edges
            .iter()
            .map(|edge| format!("{}/{}", qualified(edge.kind, edge.group), info.kind));
        let edges: Vec<String> = edges.collect();
        writeln!(
            text,
            "  - apiGroup: {:?}\n    resource: {}\n    accounts: [{}]\n    own: [{}]\n    edges: [{}]",
            info.group,
            info.plural,
            users.join(", "),
            own.join(", "),
            edges.join(", "),
        )
        .unwrap();
    }
    text.push_str("adoption:\n");
    for adoption in ADOPTIONS {
        let core = |kind: &&KnownKind| kind.info().is_core() && adoption.adopts(**kind);
        let children: Vec<&Info> = KnownKind::ALL
            .iter()
            .filter(core)
            .map(|kind| kind.info())
            .collect();
        let list = |items: Vec<String>| items.join(", ");
        let edges = adoption
            .makes()
            .map(|(child, edge)| format!("{}/{}", qualified(edge.kind, edge.group), child.info().kind));
        writeln!(
            text,
            "  - operator: {}\n    resources: [{}]\n    keys: [{}]\n    owners: [{}/]\n    accounts: [{}]\n    edges: [{}]",
            adoption.operator,
            list(children.iter().map(|info| info.plural.to_owned()).collect()),
            adoption.keys.join(", "),
            adoption.owners,
            list(accounts(adoption.makes().map(|(_, edge)| edge))),
            list(edges.collect()),
        )
        .unwrap();
    }
    text
}

/// As `--controller-account` names a kind.
pub fn qualified(kind: &str, group: &str) -> String {
    match group {
        "" | "apps" | "batch" => kind.to_owned(),
        group => format!("{kind}.{group}"),
    }
}

/// The user names of the accounts of some edges, each once.
fn accounts(edges: impl Iterator<Item = &'static Edge>) -> Vec<String> {
    let mut accounts: Vec<String> = edges
        .flat_map(|edge| edge.accounts)
        .map(|account| format!("\"system:serviceaccount:{account}\""))
        .collect();
    accounts.sort();
    accounts.dedup();
    accounts
}

/// Whether some kind may have an owner of this kind.
fn owns(info: &Info) -> bool {
    let mut edges = KnownKind::ALL.iter().flat_map(|child| child.creators());
    edges.any(|edge| edge.kind == info.kind && edge.group == info.group)
}

/// Whether some kind refers to objects of this kind.
fn is_referred_to(info: &Info) -> bool {
    let mut kinds = KnownKind::ALL.iter().flat_map(|kind| kind.info().refers_to);
    kinds.any(|(group, kind)| *kind == info.kind && *group == info.group)
}

/// Keeps the list honest about scopes: a cluster-scoped kind is never made for an owner in a namespace.
#[test]
fn nobody_makes_cluster_scoped_kinds() {
    for kind in KnownKind::ALL {
        let info = kind.info();
        assert!(
            info.scope == Scope::Namespaced || info.creators.is_empty(),
            "{}",
            info.kind
        );
    }
}
