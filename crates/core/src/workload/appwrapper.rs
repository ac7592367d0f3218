//! `workload.codeflare.dev` AppWrapper: whole objects that are created together.
//!
//! Its components are created one after another without waiting for anything, so their order proves nothing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::head::Head;
use super::leaf::List;
use super::meta::{Meta, null_is_default};
use super::{Info, Kind};
use crate::draft::{Draft, Embedded};
use crate::render::shown;
use crate::submission::{OrderId, Runs, Unseen};
use crate::text::Text;

/// `workload.codeflare.dev` AppWrapper.
#[derive(Debug)]
pub struct AppWrapperKind;

/// An AppWrapper.
#[derive(Debug, Deserialize)]
pub struct AppWrapper<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: AppWrapperSpec<'a>,
}

/// `AppWrapperSpec`.
#[derive(Debug, Default, Deserialize)]
struct AppWrapperSpec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    suspend: bool,
    #[serde(borrow, default)]
    components: List<Component<'a>>,
}

/// `AppWrapperComponent`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    #[serde(borrow, default)]
    template: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pod_sets: Option<&'a RawValue>,
    /// Kueue writes here where the pods are to run; labels and annotations for them stand here too.
    #[serde(borrow, default)]
    pod_set_infos: List<Meta<'a>>,
}

impl Kind for AppWrapperKind {
    const INFO: Info = Info {
        proof: "what proves it in the kind of the component that trains; nothing of another component",
        limits: &[
            "Components start together, whatever their order.",
            "A component of a kind that is not read is refused if it has a list of containers anywhere, and left alone if it has none: an operator may make pods of it, which are judged when they are made.",
        ],
        ..Info::new(
            "workload.codeflare.dev",
            "AppWrapper",
            "appwrappers",
            &["v1beta2"],
        )
    };
    type Object<'a> = AppWrapper<'a>;

    fn draft<'a>(wrapper: AppWrapper<'a>, d: &mut Draft<'a, '_>) {
        d.object(wrapper.metadata);
        d.held(wrapper.spec.suspend);
        let (base, spec) = (d.base(), d.field(d.root(), "spec"));
        for (component, i) in wrapper.spec.components.0.into_iter().zip(0..) {
            let at = d.item(spec, "components", i);
            d.raw(component.pod_sets);
            for (info, i) in component.pod_set_infos.0.into_iter().zip(0..) {
                let at = d.item(at, "podSetInfos", i);
                d.template_meta(info, at);
            }
            let Some(template) = component.template else {
                continue;
            };
            let at = d.field(at, "template");
            let head = Head::of(template.get());
            let (kind, name) = head
                .as_ref()
                .map_or(Default::default(), |head| (&*head.kind, &*head.name));
            let told = shown(&format!("{kind} {name}"));
            match d.embed(template.get(), head.as_ref(), at, &told.clone().into()) {
                Embedded::Frame(frame) => {
                    let name = head.map(|head| head.name).unwrap_or_default();
                    d.call(base, name, frame, OrderId(0), Runs::Once, at);
                }
                Embedded::Unknown => {
                    d.raw(Some(template));
                    if has_containers(template.get()) {
                        d.opaque(told, Unseen::UnknownKind, at);
                    }
                }
                Embedded::Unreadable => d.raw(Some(template)),
            }
        }
    }
}

/// Whether an object of an unknown kind has a list of containers anywhere. A Service or a ConfigMap beside a Job runs
/// nothing. What cannot be looked at to the end (128 levels are serde_json's limit, so this cannot overflow the stack)
/// counts as one that has.
fn has_containers(json: &str) -> bool {
    serde_json::from_str::<Shape>(json).map_or(true, |shape| shape.has_containers)
}

/// What is seen of a value while it is read; nothing is kept.
#[derive(Clone, Copy, Default)]
struct Shape {
    /// It is an object with an image.
    has_image: bool,
    /// It is a list with an object that has an image.
    lists_images: bool,
    /// In it is a list of containers.
    has_containers: bool,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        while let Some(item) = list.next_element::<Shape>()? {
            shape.lists_images |= item.has_image;
            shape.has_containers |= item.has_containers;
        }
        Ok(shape)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let value: Shape = map.next_value()?;
            shape.has_image |= &*key == "image";
            let names = matches!(&*key, "containers" | "initContainers");
            shape.has_containers |= value.has_containers || names && value.lists_images;
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::has_containers;

    #[test]
    fn only_lists_of_containers_run() {
        for (json, expected) in [
            (r#"{"kind":"Service","spec":{"ports":[{"port":1}]}}"#, false),
            (
                r#"{"kind":"ConfigMap","data":{"image":"a","containers":"b"}}"#,
                false,
            ),
            (r#"{"spec":{"containers":[]}}"#, false),
            (
                r#"{"spec":{"template":{"spec":{"containers":[{"image":"a"}]}}}}"#,
                true,
            ),
            (
                r#"{"roles":[{"initContainers":[{"name":"a"},{"image":"a"}]}]}"#,
                true,
            ),
        ] {
            assert_eq!(has_containers(json), expected, "{json}");
        }
        let deep = format!("{}{}", r#"{"a":"#.repeat(500), "1");
        assert!(has_containers(&deep), "too deep to be looked at");
    }
}
