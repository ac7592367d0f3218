//! What a namespace adds to the workloads in it: defaults for what they leave unsaid, and a ceiling of purposes.

use crate::decide::Ceiling;
use crate::declaration::{self, Declared};
use crate::path::{Paths, Seg};
use crate::purpose::Purposes;
use crate::submission::{Carrier, Key};
use crate::text::Text;
use crate::world::Namespace;

/// The defaults that a namespace sets for workloads that declare no data, or no purpose.
pub(super) fn default_keys<'a>(
    namespace: &'a Namespace,
    name: &Text<'a>,
    paths: &mut Paths<'a>,
) -> Vec<Key<'a>> {
    if !namespace.says_something() {
        return Vec::new();
    }
    let root = paths.push(Paths::ROOT, Seg::Inside("Namespace", name.clone()));
    [declaration::DATASETS, declaration::PURPOSE]
        .into_iter()
        .flat_map(|key| namespace.values(key).map(move |value| (key, value)))
        .map(|(key, value)| Key {
            name: key.into(),
            value: Some(value.into()),
            carrier: Carrier::Annotation,
            at: paths.push(root, Seg::Key("metadata.annotations", key.into())),
        })
        .collect()
}

/// A declaration, with the defaults for what it leaves unsaid.
pub(super) fn with_defaults<'k>(mut declared: Declared<'k>, defaults: &'k [Key<'k>]) -> Declared<'k> {
    let (data, purpose) = (!declared.names_data(), declared.purposes.is_empty());
    let wanted = |key: &&Key<'_>| match key.name.as_str() {
        declaration::PURPOSE => purpose,
        _ => data,
    };
    if defaults.iter().any(|key| wanted(&key)) {
        declared.join(Declared::read(defaults.iter().filter(wanted)));
    }
    declared
}

/// The purposes that a namespace allows, if it names any.
pub(super) fn ceiling<'n>(namespace: &Namespace, name: &'n str) -> Option<Ceiling<'n>> {
    let values = namespace.values(declaration::ALLOWED_PURPOSES);
    let allowed = values.map(|value| {
        let purposes: Result<Purposes, _> = value
            .split(',')
            .map(|word| word.trim_ascii().parse::<Purposes>())
            .collect();
        // A ceiling that cannot be read allows nothing.
        purposes.unwrap_or(Purposes::NONE)
    });
    let allowed = allowed.reduce(Purposes::common)?;
    Some(Ceiling {
        namespace: name,
        allowed,
    })
}
