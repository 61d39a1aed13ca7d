//! What `run` would apply, without a cluster: (file name, text, assumptions, settings) → children and their YAML. No
//! cluster.
//!
//! The same `validate` and `plan` as in `run`, behind the same checks as `validate` on the command line.

use std::collections::BTreeSet;
use std::fmt;

use crate::kinds::ChildKind;
use crate::lint::{self, Finding};
use crate::observed::Observed;
use crate::plan::{Child, Plan};
use crate::settings::Settings;
use crate::validate::ValidatedProfile;
use crate::yaml::{self, YamlError};

/// What is taken for granted where a cluster would be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assumptions {
    /// Optional kinds that the cluster serves.
    pub served: BTreeSet<ChildKind>,
    /// Namespace of profiles that name none.
    pub namespace: Option<String>,
    /// UID of the profile in the cluster. Without it there are no owner references: the garbage collector deletes an
    /// object whose owner does not exist.
    pub owner_uid: Option<String>,
}

/// One profile and its children.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// `namespace/name` of the profile.
    pub profile: String,
    /// The children in the order of applying.
    pub children: Vec<Child>,
}

/// Why nothing can be rendered: everything that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RenderError(pub Vec<Finding>);

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the profiles have {} finding(s)", self.0.len())?;
        self.0.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Renders every profile of a file.
///
/// # Errors
/// Everything that is wrong with any of them: then nothing is rendered.
pub fn render(
    file_name: &str,
    text: &str,
    assumptions: &Assumptions,
    settings: &Settings,
) -> Result<Vec<Rendered>, RenderError> {
    let planned = planned(file_name, text, assumptions, settings)?;
    let rendered = planned.into_iter().map(|(profile, plan)| Rendered {
        profile: format!("{}/{}", profile.namespace, profile.name),
        children: plan.children,
    });
    Ok(rendered.collect())
}

/// Validates and plans every profile of a file.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn planned(
    file_name: &str,
    text: &str,
    assumptions: &Assumptions,
    settings: &Settings,
) -> Result<Vec<(ValidatedProfile, Plan)>, RenderError> {
    let observed =
        Observed { served: assumptions.served.clone(), profiles_served: true, ..Observed::default() };
    let mut planned = Vec::new();
    let mut findings = Vec::new();
    for read in lint::read(file_name, text) {
        let located = match read {
            Ok(located) => located,
            Err(found) => {
                findings.extend(found);
                continue;
            }
        };
        let mut profile = located.profile.clone();
        let metadata = &mut profile.metadata;
        let namespace = metadata.namespace.take().or_else(|| assumptions.namespace.clone());
        metadata.namespace = Some(namespace.unwrap_or_else(|| "default".to_owned()));
        metadata.uid.clone_from(&assumptions.owner_uid);
        match located.plan(&profile, &observed, settings) {
            Ok(both) => planned.push(both),
            Err(found) => findings.extend(found),
        }
    }
    if findings.is_empty() { Ok(planned) } else { Err(RenderError(findings)) }
}

/// The children as one YAML stream, a document each. Words like `on`, `no` and `1_000` stay text for every reader.
///
/// # Errors
/// When a child cannot be written as YAML.
pub fn to_yaml_stream(children: &[Child]) -> Result<String, YamlError> {
    let documents: Vec<_> =
        children.iter().map(|child| yaml::to_string(&child.body)).collect::<Result<_, _>>()?;
    Ok(documents.join("---\n"))
}

/// The file for a child: `namespace.kind-name.yaml`. A namespace has no dot, so two children never share a file.
#[must_use]
pub fn file_name(child: &Child) -> String {
    let namespace = child.body["metadata"]["namespace"].as_str().unwrap_or("default");
    format!("{namespace}.{}-{}.yaml", child.kind.name().to_lowercase(), child.name)
}
