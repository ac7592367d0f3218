//! What Spark's own configuration says of the pods: images, accelerators, and what cannot be seen.

use crate::text::Text;
use crate::workload::pod::VISIBLE_DEVICES;

/// `sparkConf`.
pub(super) struct Conf<'c, 'a>(pub(super) &'c [(Text<'a>, Text<'a>)]);

impl<'c, 'a> Conf<'c, 'a> {
    fn get(&self, key: &str) -> Option<&'c Text<'a>> {
        self.0
            .iter()
            .find(|(it, _)| it.as_str() == key)
            .map(|(_, value)| value)
    }

    /// The image of a part that has none in the application.
    pub(super) fn image(&self, word: &str) -> Option<Text<'a>> {
        self.get(&format!("spark.kubernetes.{word}.container.image"))
            .or_else(|| self.get("spark.kubernetes.container.image"))
            .cloned()
    }

    /// The extended resources of a part: `spark.executor.resource.gpu.amount` with its vendor.
    pub(super) fn resources(&self, word: &str) -> Vec<Text<'a>> {
        let prefix = format!("spark.{word}.resource.");
        let amounts = self.0.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(&*prefix)?.strip_suffix(".amount")?;
            (value.trim() != "0").then_some(name)
        });
        amounts
            .map(|name| {
                let vendor = self.get(&format!("{prefix}{name}.vendor"));
                let vendor = vendor.map_or("spark.apache.org", |vendor| vendor.as_str());
                format!("{vendor}/{name}").into()
            })
            .collect()
    }

    /// Whether a part's environment gives access to accelerators.
    pub(super) fn sees_devices(&self, word: &str) -> bool {
        let prefix = if word == "driver" {
            "spark.kubernetes.driverEnv."
        } else {
            "spark.executorEnv."
        };
        self.get(&format!("{prefix}{VISIBLE_DEVICES}")).is_some()
    }

    /// The keys that bring containers from files and classes.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &'c Text<'a>> {
        let unseen = |key: &Text<'_>| {
            key.starts_with("spark.kubernetes.")
                && (key.ends_with(".podTemplateFile") || key.ends_with(".pod.featureSteps"))
        };
        self.0.iter().map(|(key, _)| key).filter(move |key| unseen(key))
    }
}
