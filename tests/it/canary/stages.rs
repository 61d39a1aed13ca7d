//! What becomes of payloads on their way into a profile: the API server refuses, or `validate` does, each with the field's
//! path, or both let it pass. In: a base, fields, a payload. Out: who refused how many, and the fields that took it.

use kube::Client;
use serde_json::Value;
use telemetry_operator::observed::Observed;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::{ValidatedProfile, validate};

use super::fields::Field;
use crate::invalid::refusal;

/// What became of one payload in many fields.
pub struct Outcome {
    pub payload: String,
    pub refused_by_schema: usize,
    pub refused_by_validate: usize,
    /// The fields that took it.
    pub accepted: Vec<Field>,
}

/// Who says no: the paths that are refused, none when all is well.
enum Gate<'a> {
    Schema(&'a Client, &'a str),
    Validate,
}

impl Gate<'_> {
    async fn refusals(&self, body: &Value) -> Vec<String> {
        match self {
            Self::Schema(client, namespace) => {
                // The API server says so when it did not try the rules after a broken bound.
                let found = refusal(client, namespace, body).await.into_iter().map(|(field, _)| field);
                found.filter(|field| field != "<nil>").collect()
            }
            Self::Validate => match validated(body) {
                Ok(_) => Vec::new(),
                Err(paths) => paths,
            },
        }
    }

    /// All fields hold the payload at once, and what is refused is taken out until the rest passes. A refusal that can be
    /// about several fields is asked for again for each alone.
    async fn pass(&self, base: &Value, fields: &[Field], payload: &str) -> Vec<Field> {
        let mut left = fields.to_vec();
        loop {
            let paths = self.refusals(&with(base, &left, payload)).await;
            if paths.is_empty() {
                return left;
            }
            let before = left.len();
            for path in paths {
                let (meant, others): (Vec<_>, Vec<_>) =
                    left.into_iter().partition(|field| field.is_meant_by(&path, payload));
                left = others;
                if meant.len() == 1 {
                    continue;
                }
                for field in meant {
                    if self.refusals(&with(base, std::slice::from_ref(&field), payload)).await.is_empty() {
                        left.push(field);
                    }
                }
            }
            assert!(left.len() < before, "{payload:?} is refused in no field alone: {left:#?}");
        }
    }
}

/// The base with a payload in these fields.
pub fn with(base: &Value, fields: &[Field], payload: &str) -> Value {
    let mut body = base.clone();
    fields.iter().for_each(|field| field.put(&mut body, payload));
    body
}

/// The profile as everything after `validate` sees it, or the paths that are refused.
pub fn validated(body: &Value) -> Result<ValidatedProfile, Vec<String>> {
    let mut profile: TelemetryProfile = serde_json::from_value(body.clone()).expect("a profile");
    profile.metadata.namespace.get_or_insert_with(|| "media".to_owned());
    validate(&profile, &Observed::default(), &Settings::default())
        .map_err(|error| error.0.into_iter().map(|problem| problem.path).collect())
}

/// Sends one payload through both gates.
pub async fn outcome(
    client: &Client,
    namespace: &str,
    base: &Value,
    fields: &[Field],
    payload: &str,
) -> Outcome {
    let stored = Gate::Schema(client, namespace).pass(base, fields, payload).await;
    let accepted = Gate::Validate.pass(base, &stored, payload).await;
    Outcome {
        payload: payload.to_owned(),
        refused_by_schema: fields.len() - stored.len(),
        refused_by_validate: stored.len() - accepted.len(),
        accepted,
    }
}
