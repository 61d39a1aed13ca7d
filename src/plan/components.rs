//! The table of collector components, which is data: `collector/builder.yaml` says what a plan may use, and
//! `collector/distributions.yaml` what the public images contain of it.
//!
//! In: an image and the components that a configuration uses. Out: nothing, or an error that names the component which
//! the image lacks. No cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use super::PlanError;

/// The builder's list.
const BUILDER: &str = include_str!("../../collector/builder.yaml");
/// The public images.
const DISTRIBUTIONS: &str = include_str!("../../collector/distributions.yaml");

/// A table that could not be read would be empty, and every component then reported as missing; a test reads both.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    Table::new(
        &serde_yaml::from_str(BUILDER).unwrap_or_default(),
        serde_yaml::from_str(DISTRIBUTIONS).unwrap_or_default(),
    )
});

/// The classes of components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Takes telemetry in.
    Receiver,
    /// Changes it on its way.
    Processor,
    /// Sends it out.
    Exporter,
    /// Joins two pipelines.
    Connector,
    /// Stands beside the pipelines.
    Extension,
}

impl Class {
    /// The word in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Connector => "connector",
            Self::Extension => "extension",
        }
    }
}

/// Checks that the image contains every component that is used.
///
/// # Errors
/// [`PlanError::MissingComponent`] for the first one that it lacks.
pub fn check<'a>(image: &str, used: impl IntoIterator<Item = (Class, &'a str)>) -> Result<(), PlanError> {
    used.into_iter().try_for_each(|(class, component)| {
        TABLE.missing_from(image, class, component).map_or(Ok(()), |distribution| {
            Err(PlanError::MissingComponent {
                image: image.to_owned(),
                distribution,
                class: class.as_str().to_owned(),
                component: component.to_owned(),
            })
        })
    })
}

/// The part of the builder's file that matters here.
#[derive(Debug, Default, Deserialize)]
struct Builder {
    receivers: Vec<Module>,
    processors: Vec<Module>,
    exporters: Vec<Module>,
    connectors: Vec<Module>,
    extensions: Vec<Module>,
}

impl Builder {
    /// Every module with its class, by the last part of its path.
    fn modules(&self) -> impl Iterator<Item = (Class, &str)> {
        [
            (Class::Receiver, &self.receivers),
            (Class::Processor, &self.processors),
            (Class::Exporter, &self.exporters),
            (Class::Connector, &self.connectors),
            (Class::Extension, &self.extensions),
        ]
        .into_iter()
        .flat_map(|(class, modules)| modules.iter().map(move |module| (class, module.short_name())))
    }
}

/// A Go module and its version.
#[derive(Debug, Deserialize)]
struct Module {
    gomod: String,
}

impl Module {
    fn short_name(&self) -> &str {
        let path = self.gomod.split(' ').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

/// The file on the public images.
#[derive(Debug, Default, Deserialize)]
struct Distributions {
    types: BTreeMap<String, String>,
    since: BTreeMap<String, String>,
    images: BTreeMap<String, Distribution>,
}

/// A public image.
#[derive(Debug, Deserialize)]
struct Distribution {
    distribution: String,
    lacks: BTreeSet<String>,
}

/// Both files, joined.
#[derive(Debug)]
struct Table {
    /// (class, type) → module, for everything that a plan may use.
    known: BTreeMap<(Class, String), String>,
    since: BTreeMap<String, String>,
    images: BTreeMap<String, Distribution>,
}

impl Table {
    fn new(builder: &Builder, distributions: Distributions) -> Self {
        let known = builder.modules().filter_map(|(class, module)| {
            Some(((class, distributions.types.get(module)?.clone()), module.to_owned()))
        });
        Self { known: known.collect(), since: distributions.since, images: distributions.images }
    }

    /// The distribution that lacks the component, or none when the image has it.
    fn missing_from(&self, image: &str, class: Class, component: &str) -> Option<String> {
        let (repository, tag) = repository_and_tag(image);
        let public = self.images.get(repository);
        let name = public.map_or("builder.yaml", |public| &public.distribution);
        let Some(module) = self.known.get(&(class, component.to_owned())) else {
            return Some(name.to_owned());
        };
        if public?.lacks.contains(module) {
            return Some(name.to_owned());
        }
        let since = self.since.get(component)?;
        (version(tag)? < version(since)?).then(|| format!("{name} before {since}"))
    }
}

/// The last part of an image's repository, and its tag, which is empty when there is none.
fn repository_and_tag(image: &str) -> (&str, &str) {
    let named = image.split('@').next().unwrap_or_default();
    let last = named.rsplit('/').next().unwrap_or_default();
    last.split_once(':').unwrap_or((last, ""))
}

/// `0.155.0` as numbers; none for tags such as `latest`.
fn version(tag: &str) -> Option<Vec<u32>> {
    tag.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that no configuration of ours would be without.
    const OTLP: (Class, &str) = (Class::Receiver, "otlp");

    fn missing(image: &str, used: (Class, &str)) -> Option<String> {
        check(image, [OTLP, used]).err().map(|error| error.to_string())
    }

    #[test]
    fn both_tables_are_read_and_name_every_module() {
        let builder: Builder = serde_yaml::from_str(BUILDER).unwrap();
        let distributions: Distributions = serde_yaml::from_str(DISTRIBUTIONS).unwrap();
        let modules: BTreeSet<&str> = builder.modules().map(|(_, module)| module).collect();
        let typed: BTreeSet<&str> = distributions.types.keys().map(String::as_str).collect();
        assert_eq!(modules, typed, "builder.yaml and the types of distributions.yaml name the same modules");
        for (image, public) in &distributions.images {
            for module in &public.lacks {
                assert!(
                    modules.contains(module.as_str()),
                    "{image} lacks {module}, which is not in builder.yaml"
                );
            }
        }
        for (component, since) in &distributions.since {
            assert!(distributions.types.values().any(|name| name == component), "{component}");
            assert_eq!(version(since).map(|parts| parts.len()), Some(3), "{since}");
        }
        assert_eq!(TABLE.known.len(), modules.len());
    }

    #[test]
    fn a_missing_component_is_named_with_image_and_distribution() {
        let text = missing(
            "registry.example:5000/mirror/opentelemetry-collector-k8s:0.155.0",
            (Class::Exporter, "prometheus"),
        );
        let text = text.expect("the k8s distribution has no Prometheus exporter");
        for part in [
            "registry.example:5000/mirror/opentelemetry-collector-k8s:0.155.0",
            "k8s",
            "exporter",
            "prometheus",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn images_have_what_their_distribution_has() {
        let span_metrics = (Class::Connector, "span_metrics");
        let cases = [
            ("otel/opentelemetry-collector-contrib:0.155.0", span_metrics, true),
            ("otel/opentelemetry-collector-contrib@sha256:00", span_metrics, true),
            ("otel/opentelemetry-collector-contrib:latest", span_metrics, true),
            ("otel/opentelemetry-collector-contrib:0.99.0", span_metrics, false),
            ("otel/opentelemetry-collector-contrib:0.99.0", (Class::Processor, "batch"), true),
            ("otel/opentelemetry-collector-k8s", span_metrics, true),
            ("otel/opentelemetry-collector:0.155.0", span_metrics, false),
            ("otel/opentelemetry-collector:0.155.0", (Class::Exporter, "prometheus"), true),
            ("localhost:5000/our-collector:1.0", span_metrics, true),
            ("localhost:5000/our-collector:1.0", (Class::Processor, "k8s_attributes"), false),
            ("otel/opentelemetry-collector-contrib:0.155.0", (Class::Exporter, "otlp"), false),
        ];
        for (image, used, contained) in cases {
            assert_eq!(missing(image, used).is_none(), contained, "{used:?} in {image}");
        }
    }
}
