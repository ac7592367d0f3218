//! CustomResourceDefinitions, read from a page of their list without holding more of it than the page's text.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Kind;
use super::schema::{self, Seen};

/// Our own kinds name images, and make nothing of them.
const OURS: &str = datagate_api::v1alpha1::GROUP;

/// What a page holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The groups of all definitions.
    pub groups: BTreeSet<String>,
    /// A kind for each definition that could be read, is served and is not ours.
    pub kinds: Vec<Kind>,
    /// Names of those that could not, each with what is wrong.
    pub unread: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    metadata: ListMeta,
    // Read one by one, so that one odd definition spoils no other.
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    metadata: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Definition<'a> {
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    group: String,
    names: Names,
    scope: String,
    /// Kept from the first version of the API, and means what the schema says in the second.
    #[serde(default)]
    preserve_unknown_fields: bool,
    #[serde(borrow)]
    versions: Vec<Version<'a>>,
}

#[derive(Deserialize)]
struct Names {
    kind: String,
    plural: String,
}

#[derive(Deserialize)]
struct Version<'a> {
    name: String,
    served: bool,
    #[serde(borrow, default)]
    schema: Option<Schema<'a>>,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow, default, rename = "openAPIV3Schema")]
    open_api: Option<&'a RawValue>,
}

/// Reads a page of the list.
///
/// # Errors
///
/// If it is no list.
pub fn read(json: &str) -> Result<Page, serde_json::Error> {
    let list: List<'_> = serde_json::from_str(json)?;
    let mut page = Page {
        next: list.metadata.next.filter(|next| !next.is_empty()),
        ..Page::default()
    };
    for item in list.items {
        let name = serde_json::from_str::<Head>(item.get()).map(|head| head.metadata.name);
        // A definition is called `<plural>.<group>`.
        let group = name.as_deref().ok().and_then(|it| it.split_once('.'));
        page.groups.extend(group.map(|(_, group)| group.to_owned()));
        match kind(item.get()) {
            Ok(kind) if kind.group == OURS || kind.versions.is_empty() => {}
            Ok(kind) => page.kinds.push(kind),
            Err(error) => {
                let name = name.as_deref().unwrap_or("one without a name");
                page.unread
                    .push(format!("the CustomResourceDefinition {name}: {error}"));
            }
        }
    }
    Ok(page)
}

fn kind(json: &str) -> Result<Kind, serde_json::Error> {
    let spec = serde_json::from_str::<Definition<'_>>(json)?.spec;
    let mut versions = Vec::new();
    let mut seen = Seen::default();
    for version in spec.versions.into_iter().filter(|it| it.served) {
        let schema = version.schema.and_then(|it| it.open_api);
        match schema.filter(|_| !spec.preserve_unknown_fields) {
            Some(schema) => seen.join(schema::look(schema.get())?),
            None => seen.join(Seen::nothing()),
        }
        versions.push(version.name);
    }
    Ok(Kind {
        group: spec.group,
        kind: spec.names.kind,
        plural: spec.names.plural,
        namespaced: spec.scope != "Cluster",
        versions,
        seen,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn definition(group: &str, versions: &Value) -> Value {
        json!({
            "metadata": {"name": format!("things.{group}"), "managedFields": [{"x": "y"}]},
            "spec": {
                "group": group, "scope": "Namespaced", "versions": versions,
                "names": {"kind": "Thing", "plural": "things", "singular": "thing"},
            },
            "status": {"conditions": []},
        })
    }

    fn version(name: &str, served: bool, spec: &Value) -> Value {
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        json!({"name": name, "served": served, "storage": true, "schema": {"openAPIV3Schema": schema}})
    }

    fn page(items: &[Value], next: &str) -> Page {
        read(&json!({"kind": "List", "metadata": {"continue": next}, "items": items}).to_string()).unwrap()
    }

    #[test]
    fn served_versions_are_read_and_joined() {
        let container = json!({"properties": {"image": {}}});
        let template = json!({"properties": {"containers": {"items": container}}});
        let versions = json!([
            version("v1", true, &json!({"properties": {"new": template}})),
            version("v1beta1", true, &json!({"properties": {"old": template}})),
            version("v1alpha1", false, &json!({"properties": {"older": template}})),
        ]);
        let page = page(&[definition("example.com", &versions)], "more");
        assert_eq!(page.next.as_deref(), Some("more"));
        let [kind] = page.kinds.as_slice() else {
            panic!("{page:?}")
        };
        assert_eq!(
            (&*kind.group, &*kind.kind, &*kind.plural),
            ("example.com", "Thing", "things")
        );
        assert_eq!(kind.versions, ["v1", "v1beta1"]);
        assert_eq!(kind.seen.places, ["spec.new.containers", "spec.old.containers"]);
    }

    #[test]
    fn without_a_schema_nothing_is_seen() {
        let bare = json!([{"name": "v1", "served": true}]);
        let mut kept = definition("b.example.com", &json!([version("v1", true, &json!({}))]));
        kept["spec"]["preserveUnknownFields"] = json!(true);
        let page = page(&[definition("a.example.com", &bare), kept], "");
        assert_eq!(page.next, None);
        for kind in page.kinds {
            assert_eq!(kind.seen, Seen::nothing());
        }
    }

    #[test]
    fn an_odd_one_spoils_no_other() {
        let fine = definition("example.com", &json!([version("v1", true, &json!({}))]));
        let mut odd = fine.clone();
        odd["metadata"]["name"] = json!("odd.example.com");
        odd["spec"]["versions"] = json!("v1");
        let page = page(&[odd, json!(3), fine], "");
        assert_eq!(page.kinds.len(), 1);
        let starts: Vec<&str> = page
            .unread
            .iter()
            .map(|it| it.split(':').next().unwrap())
            .collect();
        let expected = ["odd.example.com", "one without a name"];
        assert_eq!(
            starts,
            expected.map(|it| format!("the CustomResourceDefinition {it}"))
        );
        assert!(read("{").is_err());
    }

    #[test]
    fn our_own_and_those_not_served_are_left_out() {
        let not_served = definition("example.com", &json!([version("v1", false, &json!({}))]));
        let ours = definition(OURS, &json!([version("v1", true, &json!({}))]));
        let page = page(&[not_served, ours], "");
        assert_eq!((page.kinds, page.unread), (vec![], vec![]));
        assert_eq!(
            page.groups,
            ["datagate.dev".to_owned(), "example.com".to_owned()].into()
        );
    }
}
