//! Whether a schema has room for containers, found while reading it.
//!
//! No tree is built: the full schemas of some projects are megabytes, and a tree is many times its text. A *container*
//! is an item of a list named as pods name theirs (`containers`, `initContainers`, ..., Tekton's `steps`) that has an
//! `image`, or anything that has both an `image` and a `command`, whatever its name.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Levels that are looked into. A pod in a list of jobs in an object ends before thirty.
const DEEPEST: usize = 48;

/// Nodes that are looked at. The largest schemas known have about a hundred thousand.
const MOST: usize = 500_000;

/// Places that are told, of each sort.
pub(super) const TOLD: usize = 8;

/// A name in a path is cut after this; longer ones are nobody's field.
const LONGEST: usize = 63;

/// Lists whose items are containers as soon as they have an image.
const LISTS: [&str; 5] = [
    "containers",
    "ephemeralContainers",
    "initContainers",
    "sidecars",
    "steps",
];

/// What a schema shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where containers are: at most eight paths such as `spec.template.spec.containers`.
    pub places: Vec<String>,
    /// Where anything may stand, so that nothing can be seen: at most eight paths; `.` is the object itself.
    pub open: Vec<String>,
    /// Whether it was too deep or too large to be looked at to the end.
    pub cut: bool,
}

/// Looks for containers in an `openAPIV3Schema`.
///
/// # Errors
///
/// If it is no JSON object.
pub fn look(json: &str) -> Result<Seen, serde_json::Error> {
    let mut walk = Walk::default();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Node {
        walk: &mut walk,
        depth: 0,
    }
    .deserialize(&mut deserializer)?;
    Ok(walk.seen)
}

impl Seen {
    /// One that shows nothing, because anything may stand there.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            open: vec![".".to_owned()],
            ..Self::default()
        }
    }

    /// What either shows: of two versions of a kind.
    pub fn join(&mut self, other: Self) {
        for (ours, theirs) in [(&mut self.places, other.places), (&mut self.open, other.open)] {
            for path in theirs {
                tell(ours, &path);
            }
        }
        self.cut |= other.cut;
    }
}

fn tell(paths: &mut Vec<String>, path: &str) {
    if paths.len() < TOLD && !paths.iter().any(|known| known == path) {
        paths.push(path.to_owned());
    }
}

/// One pass over a schema.
#[derive(Default)]
struct Walk {
    /// Where it is.
    path: String,
    nodes: usize,
    seen: Seen,
}

impl Walk {
    /// Whether there is room for one more node at that depth.
    fn enter(&mut self, depth: usize) -> bool {
        self.nodes = self.nodes.saturating_add(1);
        let fine = depth <= DEEPEST && self.nodes <= MOST;
        self.seen.cut |= !fine;
        fine
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        // A path is printed on terminals, and a field may be called anything.
        let fine = name.chars().filter(|c| !c.is_control());
        self.path.extend(fine.take(LONGEST));
    }

    fn open(&mut self) {
        let path = if self.path.is_empty() { "." } else { &self.path };
        tell(&mut self.seen.open, path);
    }
}

/// What is remembered of a node when it has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    image: bool,
    command: bool,
    /// Whether anything may stand there.
    open: bool,
    /// Whether its items, or the values of its map, are containers by themselves.
    holds: bool,
    /// Whether it is a list whose items have an image, or may have one.
    lists_images: bool,
}

impl Shape {
    fn is_container(self) -> bool {
        self.image && self.command
    }

    /// Whether a field of that name and shape is or holds containers.
    fn is_place(self, name: &str) -> bool {
        self.is_container() || self.holds || (self.lists_images && LISTS.contains(&name))
    }
}

/// A schema of something.
struct Node<'w> {
    walk: &'w mut Walk,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        if self.walk.enter(self.depth) {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_ignored_any(IgnoredAny)?;
            Ok(Shape::default())
        }
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema")
    }

    /// `additionalProperties: true`.
    fn visit_bool<E>(self, anything: bool) -> Result<Shape, E> {
        if anything {
            self.walk.open();
        }
        Ok(Shape {
            open: anything,
            ..Shape::default()
        })
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        let depth = self.depth.saturating_add(1);
        while let Some(word) = map.next_key_seed(WordSeed)? {
            match word {
                Word::Properties => {
                    let fields = map.next_value_seed(Fields {
                        walk: &mut *self.walk,
                        depth,
                    })?;
                    shape.image = fields.image;
                    shape.command = fields.command;
                }
                Word::Items | Word::Values => {
                    let here = self.walk.path.len();
                    let step = if word == Word::Items { "[*]" } else { ".*" };
                    self.walk.path.push_str(step);
                    let child = map.next_value_seed(Node {
                        walk: &mut *self.walk,
                        depth,
                    })?;
                    self.walk.path.truncate(here);
                    shape.holds |= child.is_container();
                    shape.lists_images |= word == Word::Items && (child.image || child.open);
                }
                Word::Open => shape.open |= map.next_value::<bool>()?,
                Word::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if shape.open {
            self.walk.open();
        }
        Ok(shape)
    }

    /// Lists of schemas for the items are in no CRD, and nothing to fail over.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::default())
    }
}

/// The `properties` of a node.
struct Fields<'w> {
    walk: &'w mut Walk,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of schemas")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        // One pod has several lists of containers; it is told once.
        let mut place: Option<String> = None;
        let here = self.walk.path.len();
        // What an object is and what became of it says nothing about what it makes.
        let root = self.depth == 1;
        while let Some(name) = map.next_key::<String>()? {
            if root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            shape.image |= name == "image";
            shape.command |= name == "command";
            self.walk.push(&name);
            let child = map.next_value_seed(Node {
                walk: &mut *self.walk,
                depth: self.depth,
            })?;
            if child.is_place(&name) && (place.is_none() || name == "containers") {
                place = Some(self.walk.path.clone());
            }
            self.walk.path.truncate(here);
        }
        if let Some(place) = place {
            tell(&mut self.walk.seen.places, &place);
        }
        Ok(shape)
    }
}

/// A key of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Properties,
    Items,
    Values,
    Open,
    Other,
}

struct WordSeed;

impl<'de> DeserializeSeed<'de> for WordSeed {
    type Value = Word;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Word, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for WordSeed {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Word, E> {
        Ok(match key {
            "properties" => Word::Properties,
            "items" => Word::Items,
            "additionalProperties" => Word::Values,
            // Either keeps whatever is written there.
            "x-kubernetes-preserve-unknown-fields" | "x-kubernetes-embedded-resource" => Word::Open,
            _ => Word::Other,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(fields: Value) -> Value {
        json!({"type": "object", "properties": fields})
    }

    fn list(items: Value) -> Value {
        json!({"type": "array", "items": items})
    }

    fn pod() -> Value {
        let text = json!({"type": "string"});
        let probe = object(json!({"exec": object(json!({"command": list(text.clone())}))}));
        let container = object(json!({"name": text, "image": text, "livenessProbe": probe}));
        let volume = object(json!({"image": object(json!({"reference": text}))}));
        object(json!({
            "containers": list(container.clone()),
            "ephemeralContainers": list(container.clone()),
            "initContainers": list(container),
            "volumes": list(volume),
        }))
    }

    #[track_caller]
    fn seen(schema: Value) -> Seen {
        look(&schema.to_string()).unwrap()
    }

    #[track_caller]
    fn places(spec: Value, expected: &[&str]) {
        let seen = seen(object(json!({"spec": spec})));
        assert_eq!(seen.places, expected);
        assert_eq!((seen.open, seen.cut), (vec![], false));
    }

    #[test]
    fn a_pod_is_told_once_wherever_it_is() {
        places(pod(), &["spec.containers"]);
        let template = object(json!({"metadata": {"type": "object"}, "spec": pod()}));
        places(
            object(json!({"template": template})),
            &["spec.template.spec.containers"],
        );
        let roles = json!({"type": "object", "additionalProperties": object(json!({"template": template}))});
        places(
            object(json!({"roles": roles})),
            &["spec.roles.*.template.spec.containers"],
        );
        let jobs = list(object(
            json!({"replicas": {"type": "integer"}, "template": template}),
        ));
        places(
            object(json!({"jobs": jobs, "launcher": template})),
            &[
                "spec.jobs[*].template.spec.containers",
                "spec.launcher.spec.containers",
            ],
        );
    }

    #[test]
    fn without_a_name_of_pods_an_image_with_a_command_is_a_container() {
        let text = json!({"type": "string"});
        let container = object(json!({"image": text, "command": list(text.clone())}));
        let only_image = object(json!({"image": text}));
        places(object(json!({"trainer": container})), &["spec.trainer"]);
        places(
            object(json!({"workers": list(container.clone())})),
            &["spec.workers"],
        );
        places(
            object(json!({"by": {"type": "object", "additionalProperties": container}})),
            &["spec.by"],
        );
        places(
            object(json!({"steps": list(only_image.clone())})),
            &["spec.steps"],
        );
        places(
            object(json!({"mirrors": list(only_image.clone()), "server": only_image})),
            &[],
        );
        // A patch of containers without their image makes none.
        places(
            object(json!({"containers": list(object(json!({"name": text})))})),
            &[],
        );
        places(object(json!({"containers": {"type": "integer"}})), &[]);
    }

    #[test]
    fn what_became_of_an_object_is_not_looked_at() {
        let schema =
            object(json!({"status": pod(), "metadata": {"x-kubernetes-preserve-unknown-fields": true}}));
        assert_eq!(seen(schema), Seen::default());
    }

    #[test]
    fn where_anything_may_stand_nothing_is_seen() {
        let keep = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true});
        let anything = json!({"type": "object", "additionalProperties": true});
        let not = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false});
        let spec = object(json!({"a": keep, "b": list(embedded), "c": anything, "d": not}));
        let found = seen(object(json!({"spec": spec})));
        assert_eq!(found.open, ["spec.a", "spec.b[*]", "spec.c.*"]);
        assert_eq!(found.places, Vec::<String>::new());
        assert_eq!(seen(keep.clone()), Seen::nothing());
        // By its name it can only be one thing.
        let found = seen(object(json!({"spec": object(json!({"containers": list(keep)}))})));
        assert_eq!(found.places, ["spec.containers"]);
    }

    #[test]
    fn depth_is_bounded() {
        let bury = |levels: usize| (0..levels).fold(pod(), |inner, _| object(json!({"x": inner})));
        let near = seen(bury(20));
        assert_eq!((near.places.len(), near.cut), (1, false));
        let far = seen(bury(DEEPEST));
        assert_eq!((far.places.len(), far.cut), (0, true));
        // Far deeper than JSON is read elsewhere.
        let text = "{\"items\":".repeat(50_000) + "{}" + &"}".repeat(50_000);
        assert!(look(&text).unwrap().cut);
    }

    #[test]
    fn size_is_bounded() {
        let many: serde_json::Map<String, Value> =
            (0..MOST + 1).map(|i| (format!("f{i}"), json!({}))).collect();
        assert!(seen(object(many.into())).cut);
        let places: serde_json::Map<String, Value> = (0..50).map(|i| (format!("f{i}"), pod())).collect();
        assert_eq!(seen(object(places.into())).places.len(), TOLD);
        let long = seen(object(json!({"n".repeat(10_000): pod()})));
        assert_eq!(long.places.first().unwrap().len(), LONGEST + ".containers".len());
        let rude = seen(object(json!({"a\u{1b}[2Jb\n": pod()})));
        assert_eq!(rude.places, ["a[2Jb.containers"]);
    }

    #[test]
    fn odd_schemas_are_no_failure() {
        for odd in [
            json!({}),
            json!({"items": [{}, {}]}),
            json!({"properties": {"a": null, "b": true}}),
        ] {
            look(&odd.to_string()).unwrap();
        }
        assert!(look("[").is_err());
        assert!(look("\"text\"").is_err());
    }

    #[test]
    fn versions_are_joined() {
        let mut one = seen(object(json!({"a": pod()})));
        one.join(seen(object(json!({"a": pod(), "b": pod()}))));
        assert_eq!(one.places, ["a.containers", "b.containers"]);
    }
}
