//! The plan: (validated profile) → every object that shall exist. Pure: the same input gives the same bytes.
//!
//! In: [`ValidatedProfile`]. Out: [`Plan`], its children in the order of applying. No cluster, no client types.

pub mod collector;
pub mod components;
pub mod dashboard;
pub mod datasource;
pub mod jaeger;
pub mod meta;
pub mod network;
pub mod pipeline;
pub mod pod;
pub mod prometheus;
pub mod scrape;
pub mod sidecar;
pub mod slo;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kinds::ChildKind;
use crate::validate::ValidatedProfile;
use crate::yaml::YamlError;

/// Annotation with the hash of the planned object. A live object with another hash was applied from another plan: it
/// is applied again even if every planned field is equal, because a field may have left the plan.
pub const APPLIED_HASH: &str = "telemetry-operator.dev/applied-hash";

/// One object that shall exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// The whole object as it is sent.
    pub body: Value,
}

impl Child {
    /// A child from a typed object whose metadata carries a name.
    ///
    /// # Errors
    /// When the object cannot be written as JSON or has no name.
    pub fn new<T: Serialize>(kind: ChildKind, object: &T) -> Result<Self, PlanError> {
        let mut body = serde_json::to_value(object)?;
        let name = body["metadata"]["name"].as_str().ok_or(PlanError::NoName(kind.name()))?.to_owned();
        if let Value::Object(map) = &mut body {
            map.insert("apiVersion".to_owned(), kind.api_version().into());
            map.insert("kind".to_owned(), kind.name().into());
        }
        Ok(Self { kind, name, body })
    }

    /// `Kind/name`, as status and messages write it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind.name(), self.name)
    }
}

/// Every object that shall exist for a profile, in the order of applying.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The children.
    pub children: Vec<Child>,
}

/// Why a valid profile has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A configuration needs a component that the collector image does not contain.
    #[error(
        "the collector image {image} ({distribution} distribution) does not contain the {class} {component}: \
         use the contrib distribution or one built from collector/builder.yaml"
    )]
    MissingComponent {
        /// The image.
        image: String,
        /// Its distribution.
        distribution: String,
        /// receiver, processor, exporter, connector or extension.
        class: String,
        /// The component's type.
        component: String,
    },
    /// A file does not fit into a ConfigMap.
    #[error(
        "{reference} would hold {bytes} bytes, and a ConfigMap holds at most 1048576: use fewer instruments or SLOs"
    )]
    TooLarge {
        /// Kind/name.
        reference: String,
        /// Size of its data.
        bytes: usize,
    },
    /// A generated object has no name.
    #[error("a planned {0} has no name")]
    NoName(&'static str),
    /// A generated object cannot be written.
    #[error("a planned object cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A generated file cannot be written.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

impl PlanError {
    /// One fixed word for the condition, the event and the metric label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingComponent { .. } => "ComponentMissing",
            Self::TooLarge { .. } => "ChildTooLarge",
            Self::NoName(_) | Self::Json(_) | Self::Yaml(_) => "PlanFailed",
        }
    }
}

/// Plans every child of the profile.
///
/// # Errors
/// When the collector image lacks a component that the profile needs, or a generated file is too large.
pub fn plan(profile: &ValidatedProfile) -> Result<Plan, PlanError> {
    let mut children = Vec::new();
    children.extend(collector::plan(profile)?);
    children.extend(sidecar::plan(profile)?);
    children.extend(jaeger::plan(profile)?);
    children.extend(scrape::plan(profile)?);
    children.extend(slo::plan(profile)?);
    children.extend(prometheus::plan(profile)?);
    children.extend(dashboard::plan(profile)?);
    children.extend(datasource::plan(profile)?);
    children.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    children.iter_mut().for_each(stamp);
    Ok(Plan { children })
}

/// Writes the object's hash into it. Owner references are left out of the hash: they are the same for all children, and
/// without them `render` needs no UID to print the same annotation.
fn stamp(child: &mut Child) {
    let mut unowned = child.body.clone();
    if let Some(metadata) = unowned["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
    }
    let hash = short_hash(unowned.to_string().as_bytes());
    child.body["metadata"]["annotations"][APPLIED_HASH] = Value::from(hash);
}

/// The first 16 hexadecimal digits of the SHA-256 of `bytes`.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
