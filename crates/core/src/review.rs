//! The request: an AdmissionReview read once, borrowed from its body.
//!
//! The API server writes `kind` before `object`, so the object is read as what it is on the way. Any surprise falls back
//! to reading the envelope alone, so that every readable request gets its own uid back.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::text::Text;
use crate::workload::{KnownKind, Object, ReadError};

/// `admission.k8s.io/v1` AdmissionRequest, of which only what is read.
#[derive(Debug, Default)]
pub struct Review<'a> {
    /// Must be copied into the answer.
    pub uid: Text<'a>,
    /// What was submitted.
    pub kind: GroupVersionKind<'a>,
    /// The subresource, for example `ephemeralcontainers`; empty for the object itself.
    pub sub_resource: Text<'a>,
    /// Name of the object; empty with `generateName` on some paths.
    pub name: Text<'a>,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: Text<'a>,
    /// What is done to it.
    pub operation: Operation,
    /// Who asks.
    pub user: Text<'a>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The object, read; absent if its kind is not one of ours.
    pub object: Option<Result<Object<'a>, ReadError>>,
    /// The object's text, if it was not read at once.
    pub raw_object: Option<&'a str>,
    /// The object before an update.
    pub old_object: Option<&'a str>,
}

/// `metav1.GroupVersionKind`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct GroupVersionKind<'a> {
    /// Group; empty for core.
    #[serde(borrow, default)]
    pub group: Text<'a>,
    /// Version.
    #[serde(borrow, default)]
    pub version: Text<'a>,
    /// Kind.
    #[serde(borrow, default)]
    pub kind: Text<'a>,
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Created.
    #[default]
    Create,
    /// Changed.
    Update,
    /// Deleted.
    Delete,
    /// Connected to (exec, attach).
    Connect,
}

impl Operation {
    /// As Kubernetes writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A body that is no review.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a readable admission.k8s.io/v1 AdmissionReview: {what}")]
pub struct Unreadable {
    /// The uid, if it came before the part that cannot be read.
    pub uid: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl<'a> Review<'a> {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// If it is no AdmissionReview, with its uid wherever that could be read.
    pub fn read(body: &'a str) -> Result<Self, Unreadable> {
        let uid = RefCell::new(None);
        match parse(body, Objects::Typed, &uid) {
            Ok(review) => Ok(review),
            Err(_) => {
                uid.replace(None);
                let review = parse(body, Objects::Raw, &uid);
                let mut review = review.map_err(|error| Unreadable {
                    uid: uid.take(),
                    what: error.to_string(),
                })?;
                review.read_object();
                Ok(review)
            }
        }
    }

    /// The kind, if it is one of ours.
    #[must_use]
    pub fn known_kind(&self) -> Option<KnownKind> {
        KnownKind::find(&self.kind.group, &self.kind.kind)
    }

    fn read_object(&mut self) {
        if self.object.is_none()
            && let (Some(kind), Some(raw)) = (self.known_kind(), self.raw_object)
        {
            self.object = Some(kind.read(raw));
        }
    }
}

fn parse<'a>(
    body: &'a str,
    objects: Objects,
    uid: &RefCell<Option<String>>,
) -> Result<Review<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let mut review = Envelope { objects, uid }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    if objects == Objects::Typed {
        review.read_object();
    }
    Ok(review)
}

/// Whether objects are read on the way or kept as text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Objects {
    Typed,
    Raw,
}

struct Envelope<'u> {
    objects: Objects,
    uid: &'u RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Review<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Review<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AdmissionReview")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        use serde::de::Error;
        let mut review = None;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "kind" => expect("kind", "AdmissionReview", &map.next_value()?)?,
                "apiVersion" => expect("apiVersion", "admission.k8s.io/v1", &map.next_value()?)?,
                "request" if review.is_some() => return Err(A::Error::duplicate_field("request")),
                "request" => {
                    review = Some(map.next_value_seed(Request {
                        objects: self.objects,
                        uid: self.uid,
                    })?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        review.ok_or_else(|| A::Error::missing_field("request"))
    }
}

fn expect<E: serde::de::Error>(field: &str, wanted: &str, given: &Text<'_>) -> Result<(), E> {
    if given.as_str() == wanted {
        Ok(())
    } else {
        Err(E::custom(format_args!("{field} is not {wanted}")))
    }
}

struct Request<'u> {
    objects: Objects,
    uid: &'u RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Request<'_> {
    type Value = Review<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
struct UserInfo<'a> {
    #[serde(borrow, default)]
    username: Text<'a>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Uid,
    Kind,
    SubResource,
    Name,
    Namespace,
    Operation,
    UserInfo,
    Object,
    OldObject,
    DryRun,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for Request<'_> {
    type Value = Review<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AdmissionRequest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        use serde::de::Error;
        let mut review = Review::default();
        let mut operation = None;
        let mut seen_object = false;
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Uid => {
                    review.uid = map.next_value()?;
                    self.uid.replace(Some(review.uid.to_string()));
                }
                Field::Kind => review.kind = map.next_value()?,
                Field::SubResource => review.sub_resource = map.next_value()?,
                Field::Name => review.name = map.next_value()?,
                Field::Namespace => review.namespace = map.next_value()?,
                Field::Operation => {
                    operation = Some(match map.next_value::<Text<'de>>()?.as_str() {
                        "CREATE" => Operation::Create,
                        "UPDATE" => Operation::Update,
                        "DELETE" => Operation::Delete,
                        "CONNECT" => Operation::Connect,
                        other => return Err(A::Error::custom(format_args!("unknown operation {other}"))),
                    });
                }
                Field::UserInfo => review.user = map.next_value::<UserInfo<'de>>()?.username,
                Field::DryRun => review.dry_run = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                Field::Object => {
                    if std::mem::replace(&mut seen_object, true) {
                        return Err(A::Error::duplicate_field("object"));
                    }
                    // Of a version that is not known its text is compared, however well it reads.
                    let typed = |kind: &KnownKind| {
                        self.objects == Objects::Typed && kind.version(&review.kind.version).is_some()
                    };
                    match review.known_kind().filter(typed) {
                        Some(kind) => review.object = Some(Ok(map.next_value_seed(kind)?)),
                        None => review.raw_object = map.next_value::<Option<&RawValue>>()?.map(RawValue::get),
                    }
                }
                Field::OldObject => {
                    review.old_object = map.next_value::<Option<&RawValue>>()?.map(RawValue::get);
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if review.uid.is_empty() {
            return Err(A::Error::missing_field("request.uid"));
        }
        review.operation = operation.ok_or_else(|| A::Error::missing_field("request.operation"))?;
        Ok(review)
    }
}
