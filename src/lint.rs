//! Offline checks of profile files: (file name, text) → [`Finding`]s. No cluster.
//!
//! In order: YAML, the kind of object, the CRD's schema, its CEL rules, the operator's own `validate` and `plan`. A
//! document that fails one step is not put through the next. What passes here the API server accepts and the operator
//! can plan; docs/validation.md explains every code.

mod code;
mod rules;
mod schema;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Value, json};

pub use code::Code;

use crate::manifest::document::{self, Document, SyntaxError};
use crate::observed::Observed;
use crate::plan::{Plan, PlanError, plan};
use crate::profile::{API_VERSION, GROUP, KIND, TelemetryProfile, crd};
use crate::settings::Settings;
use crate::validate::{ValidatedProfile, validate};
use schema::Draft;

/// Made once: every file is checked against the same one.
static SCHEMA: LazyLock<Result<Value, serde_json::Error>> = LazyLock::new(full_schema);

/// Something that is wrong with a profile file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Code with an entry in docs/validation.md.
    pub code: &'static str,
    /// The file as it was named.
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// `namespace/name` of the profile, or `name`; empty when it has none.
    pub object: String,
    /// Path of the field, for example `spec.slos[1].objective`; empty for the whole document.
    pub path: String,
    /// What is wrong, and why.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ", self.file, self.line, self.code)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "\n    fix: {}", self.fix) }
    }
}

/// Checks every document of a file. Objects of other kinds are passed over.
#[must_use]
pub fn lint(file_name: &str, text: &str) -> Vec<Finding> {
    let check = |read: Result<Located, Vec<Finding>>| match read {
        Ok(located) => located
            .plan(&located.profile, &Observed::default(), &Settings::default())
            .err()
            .unwrap_or_default(),
        Err(findings) => findings,
    };
    let mut findings: Vec<_> = read(file_name, text).into_iter().flat_map(check).collect();
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// A profile that schema and rules accept, and where it stands.
pub(crate) struct Located {
    /// The profile with the schema's defaults.
    pub profile: TelemetryProfile,
    place: Place,
}

impl Located {
    /// Validates and plans `profile`, which is this one, possibly moved to another namespace.
    pub(crate) fn plan(
        &self,
        profile: &TelemetryProfile,
        observed: &Observed,
        settings: &Settings,
    ) -> Result<(ValidatedProfile, Plan), Vec<Finding>> {
        let drafts = match validate(profile, observed, settings) {
            Ok(valid) => match plan(&valid) {
                Ok(plan) => return Ok((valid, plan)),
                Err(error) => vec![plan_draft(&error)],
            },
            Err(error) => error
                .0
                .into_iter()
                .map(|problem| Draft {
                    code: problem.code,
                    path: problem.path,
                    message: problem.message,
                    fix: problem.fix,
                })
                .collect(),
        };
        Err(drafts.into_iter().map(|draft| self.place.finding(draft)).collect())
    }
}

fn plan_draft(error: &PlanError) -> Draft {
    let (code, path) = match error {
        PlanError::MissingComponent { .. } => (Code::ComponentMissing, "spec.collector.image"),
        PlanError::TooLarge { .. } => (Code::ChildTooLarge, "spec"),
        PlanError::NoName(_) | PlanError::Json(_) | PlanError::Yaml(_) => (Code::PlanFailed, "spec"),
    };
    let text = error.to_string();
    let (message, fix) = match code {
        Code::PlanFailed => (text.as_str(), "report this: the profile is in order, the operator is not"),
        _ => text.rsplit_once(": ").unwrap_or((text.as_str(), "")),
    };
    Draft { code: code.as_str(), path: path.to_owned(), message: message.to_owned(), fix: fix.to_owned() }
}

/// Reads every profile of a file through schema and rules.
pub(crate) fn read(file_name: &str, text: &str) -> Vec<Result<Located, Vec<Finding>>> {
    let documents = match document::read(text) {
        Ok(documents) => documents,
        Err(error) => return vec![Err(vec![syntax(file_name, error)])],
    };
    let profiles = read_documents(file_name, documents, is_ours);
    if profiles.is_empty() {
        let fix = format!("begin it with apiVersion: {API_VERSION} and kind: {KIND}");
        let message = format!("the file has no {KIND}");
        return vec![Err(vec![whole_file(file_name, Code::NoProfile, 1, message, fix)])];
    }
    profiles
}

/// The same for documents among which there may be no profile: only those of the operator's API group count.
pub(crate) fn read_among(file_name: &str, documents: Vec<Document>) -> Vec<Result<Located, Vec<Finding>>> {
    let of_our_group = |value: &Value| {
        value["apiVersion"].as_str().is_some_and(|version| version.split('/').next() == Some(GROUP))
    };
    read_documents(file_name, documents, of_our_group)
}

fn read_documents(
    file_name: &str,
    documents: Vec<Document>,
    wanted: impl Fn(&Value) -> bool,
) -> Vec<Result<Located, Vec<Finding>>> {
    let schema = match &*SCHEMA {
        Ok(schema) => schema,
        Err(error) => {
            let message = format!("the operator's own schema cannot be read: {error}");
            return vec![Err(vec![whole_file(file_name, Code::RuleNotEvaluated, 1, message, String::new())])];
        }
    };
    let mut seen = BTreeMap::new();
    documents
        .into_iter()
        .flat_map(Document::expand)
        .filter(|document| wanted(&document.value))
        .map(|document| read_one(schema, Place::new(file_name, document), &mut seen))
        .collect()
}

/// A text that is neither YAML nor JSON.
pub(crate) fn syntax(file_name: &str, error: SyntaxError) -> Finding {
    let fix = "correct the YAML at or just before this line".to_owned();
    whole_file(file_name, Code::Syntax, error.line, error.message, fix)
}

fn whole_file(file: &str, code: Code, line: usize, message: String, fix: String) -> Finding {
    let (file, object, path) = (file.to_owned(), String::new(), String::new());
    Finding { code: code.as_str(), file, line, object, path, message, fix }
}

/// True for profiles and for what was meant to be one.
fn is_ours(value: &Value) -> bool {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let group = text("apiVersion").split('/').next().unwrap_or_default();
    let typed = value.get("apiVersion").is_some() && value.get("kind").is_some();
    match value {
        Value::Null => false,
        _ => !typed || group == GROUP || text("kind").eq_ignore_ascii_case(KIND),
    }
}

fn read_one(
    schema: &Value,
    mut place: Place,
    seen: &mut BTreeMap<String, usize>,
) -> Result<Located, Vec<Finding>> {
    let mut drafts = place.duplicates();
    let identity = identity(&place.document.value);
    if identity.is_empty() {
        schema::prune_nulls(schema, &mut place.document.value);
        drafts.extend(schema::check(schema, &place.document));
    }
    drafts.extend(identity);
    let profile = match serde_json::from_value::<TelemetryProfile>(place.document.value.clone()) {
        Ok(profile) => profile,
        Err(error) => {
            if drafts.is_empty() {
                let fix = "compare the fields with docs/profile-reference.md".to_owned();
                drafts.push(Draft {
                    code: Code::Unreadable.as_str(),
                    path: "spec".to_owned(),
                    message: format!("the operator cannot read this profile: {error}"),
                    fix,
                });
            }
            return Err(place.findings(drafts));
        }
    };
    if drafts.is_empty() {
        drafts = match serde_json::to_value(&profile) {
            Ok(value) => rules::check(schema, &value),
            Err(error) => vec![Draft {
                code: Code::RuleNotEvaluated.as_str(),
                path: "spec".to_owned(),
                message: format!("the profile cannot be written as JSON for the rules: {error}"),
                fix: "check this profile with kubectl apply --dry-run=server".to_owned(),
            }],
        };
        drafts.extend(twice(&place, seen));
    }
    if drafts.is_empty() { Ok(Located { profile, place }) } else { Err(place.findings(drafts)) }
}

/// Checks what says that a document is a profile at all.
fn identity(value: &Value) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (key, wanted, code) in [("apiVersion", API_VERSION, Code::ApiVersion), ("kind", KIND, Code::Kind)] {
        let message = match &value[key] {
            Value::String(given) if given == wanted => continue,
            Value::Null => format!("{key} is missing"),
            given => format!("{given} is not served"),
        };
        drafts.push(Draft {
            code: code.as_str(),
            path: key.to_owned(),
            message,
            fix: format!("write {key}: {wanted}"),
        });
    }
    drafts
}

/// A profile that stands in the file before.
fn twice(place: &Place, seen: &mut BTreeMap<String, usize>) -> Option<Draft> {
    let line = place.document.line("metadata.name");
    let first = seen.insert(place.object.clone(), line)?;
    Some(Draft {
        code: Code::DuplicateProfile.as_str(),
        path: "metadata.name".to_owned(),
        message: format!("the profile at line {first} has the same name, and the later one would replace it"),
        fix: "give each profile a name of its own".to_owned(),
    })
}

/// Where a document stands.
struct Place {
    file: String,
    object: String,
    document: Document,
}

impl Place {
    fn new(file: &str, document: Document) -> Self {
        let metadata = |key: &str| document.value["metadata"][key].as_str().unwrap_or_default();
        let object = match (metadata("namespace"), metadata("name")) {
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        };
        Self { file: file.to_owned(), object, document }
    }

    fn duplicates(&self) -> Vec<Draft> {
        let draft = |(path, first): &(String, usize)| Draft {
            code: Code::DuplicateKey.as_str(),
            path: path.clone(),
            message: format!("this key stands at line {first}, too, and only the last one would count"),
            fix: "keep one of them".to_owned(),
        };
        self.document.duplicates.iter().map(draft).collect()
    }

    fn findings(&self, drafts: Vec<Draft>) -> Vec<Finding> {
        drafts.into_iter().map(|draft| self.finding(draft)).collect()
    }

    fn finding(&self, draft: Draft) -> Finding {
        let Draft { code, path, message, fix } = draft;
        let line = self.document.line(&path);
        Finding { code, file: self.file.clone(), line, object: self.object.clone(), path, message, fix }
    }
}

/// The CRD's schema with what the API server checks by itself: `apiVersion`, `kind` and `metadata`.
fn full_schema() -> Result<Value, serde_json::Error> {
    let crd = crd()?;
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let objects = json!({"type": "array", "items": {"type": "object", "additionalProperties": {}}});
    schema["properties"]["apiVersion"] = text.clone();
    schema["properties"]["kind"] = text.clone();
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "description": "Name of the profile; the names of its objects begin with it",
            },
            "namespace": {
                "type": "string",
                "maxLength": 63,
                "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                "description": "Lower-case letters, digits and '-'",
            },
            "labels": {
                "type": "object",
                "additionalProperties": {
                    "type": "string",
                    "maxLength": 63,
                    "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
                    "description": "Letters, digits, '-', '_' and '.'",
                },
            },
            "annotations": texts,
            "finalizers": {"type": "array", "items": text},
            "ownerReferences": objects,
            "managedFields": objects,
            "generateName": text,
            "uid": text,
            "resourceVersion": text,
            "selfLink": text,
            "creationTimestamp": {"type": "string", "nullable": true},
            "deletionTimestamp": {"type": "string", "nullable": true},
            "generation": {"type": "integer"},
            "deletionGracePeriodSeconds": {"type": "integer", "nullable": true},
        },
    });
    Ok(schema)
}
