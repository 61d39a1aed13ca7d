//! One question of the API server and its answer. In: the bytes of an AdmissionReview, the profiles. Out: the bytes of the
//! answer, and what came of it. Pure: whoever sends whatever changes nothing and reaches nothing.
//!
//! The pod is read as raw JSON and never written again: only the patch goes back, so fields that nobody here knows stay as
//! they are. Mutation fails open: a pod that cannot be read or is too large starts as it is, and the status of its profile
//! names it. Only bytes that are no question at all are refused.

use k8s_openapi::ByteString;
use kube::ResourceExt;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoredProfile;
use crate::inject::{self, Decision, Injector};
use crate::settings::Settings;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The API server sends 36 characters.
const LONGEST_UID: usize = 256;
/// A pod of more JSON values than this is not read: each may take some hundred bytes of memory. Real ones have some hundred.
const MOST_VALUES: usize = 50_000;
/// A pod of more containers is left alone: each gets a patch of its own.
const MOST_CONTAINERS: usize = 1_000;
/// Upper bound of the memory that one JSON value takes, in bytes: a map with one short key.
const BYTES_PER_VALUE: usize = 400;

/// What came of a question, as the label of `telemetry_operator_webhook_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod gets a sidecar.
    Injected,
    /// It needs none: no profile selects it, it opts out, or it has one.
    Unchanged,
    /// A profile selects it, and it cannot have one.
    Refused,
    /// It is too large or cannot be read.
    Unread,
    /// The question is about something else than the creation of a pod.
    OffTopic,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview that goes back.
    pub body: Vec<u8>,
    /// What came of the question.
    pub outcome: Outcome,
}

/// Bytes that are no AdmissionReview.
#[derive(Debug, thiserror::Error)]
#[error("this is no AdmissionReview of {API_VERSION}: {0}")]
pub struct NotAReview(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<T> {
    api_version: String,
    kind: String,
    request: Request<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<T> {
    uid: String,
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default = "Option::default")]
    object: Option<T>,
}

#[derive(Default, Deserialize)]
struct Resource {
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    resource: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
}

/// The most memory in bytes that answering takes beside the body itself.
#[must_use]
pub fn memory(body: &[u8]) -> usize {
    body.len() * 2 + values(body).min(MOST_VALUES) * BYTES_PER_VALUE
}

/// Answers a question. The first profile by name that injects the pod has it.
///
/// # Errors
/// When the bytes are no AdmissionReview.
pub fn answer(body: &[u8], profiles: &[StoredProfile], settings: &Settings) -> Result<Answer, NotAReview> {
    if values(body) > MOST_VALUES {
        return unread(body);
    }
    let Ok(review) = serde_json::from_slice::<Review<Value>>(body) else { return unread(body) };
    let request = check(&review)?;
    let (patch, outcome) = match &request.object {
        Some(pod) if is_pod_creation(request) => decide(pod, &request.namespace, profiles, settings),
        _ => (None, Outcome::OffTopic),
    };
    reply(&request.uid, patch, outcome)
}

/// The answer to a question whose pod is not read.
fn unread(body: &[u8]) -> Result<Answer, NotAReview> {
    let review: Review<IgnoredAny> =
        serde_json::from_slice(body).map_err(|error| NotAReview(error.to_string()))?;
    reply(&check(&review)?.uid, None, Outcome::Unread)
}

fn check<T>(review: &Review<T>) -> Result<&Request<T>, NotAReview> {
    let wrong = |what: &str| Err(NotAReview(what.to_owned()));
    if review.api_version != API_VERSION || review.kind != KIND {
        return wrong("apiVersion or kind is another");
    }
    match review.request.uid.len() {
        0 => wrong("request.uid is empty"),
        length if length > LONGEST_UID => wrong("request.uid is too long"),
        _ => Ok(&review.request),
    }
}

fn is_pod_creation<T>(request: &Request<T>) -> bool {
    let Resource { group, version, resource } = &request.resource;
    group.is_empty()
        && version == "v1"
        && resource == "pods"
        && request.sub_resource.as_deref().unwrap_or_default().is_empty()
        && request.operation == "CREATE"
}

fn decide(
    pod: &Value,
    namespace: &str,
    profiles: &[StoredProfile],
    settings: &Settings,
) -> (Option<Vec<u8>>, Outcome) {
    let containers = |list: &str| pod["spec"][list].as_array().map_or(0, Vec::len);
    if containers("containers") + containers("initContainers") > MOST_CONTAINERS {
        return (None, Outcome::Unread);
    }
    let mut candidates: Vec<_> = profiles
        .iter()
        .filter_map(|stored| stored.0.as_ref().ok())
        .filter(|profile| profile.metadata.namespace.as_deref() == Some(namespace))
        .collect();
    candidates.sort_by_key(|profile| profile.name_any());
    let mut refused = false;
    for profile in candidates {
        match inject::decide(profile, pod) {
            Decision::Inject => {
                let patch = Injector::new(profile, settings).patch(pod);
                let patch = serde_json::to_vec(&patch).ok().filter(|patch| patch != b"[]");
                let outcome = if patch.is_some() { Outcome::Injected } else { Outcome::Unchanged };
                return (patch, outcome);
            }
            Decision::Refused(_) => refused = true,
            Decision::NotSelected | Decision::OptedOut | Decision::Injected => {}
        }
    }
    (None, if refused { Outcome::Refused } else { Outcome::Unchanged })
}

fn reply(uid: &str, patch: Option<Vec<u8>>, outcome: Outcome) -> Result<Answer, NotAReview> {
    let patch_type = patch.is_some().then_some("JSONPatch");
    let response = Response { uid, allowed: true, patch_type, patch: patch.map(ByteString) };
    let reply = Reply { api_version: API_VERSION, kind: KIND, response };
    let body = serde_json::to_vec(&reply).map_err(|error| NotAReview(error.to_string()))?;
    Ok(Answer { body, outcome })
}

/// An upper bound of the number of JSON values in `body`, without reading it: every value but the first follows one of these
/// characters outside of a string.
fn values(body: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' | b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests;
