//! What was asked. In: requests and their answers. Out: counts of all, and the latest ones. Pure; memory is bounded.

use std::collections::{BTreeMap, VecDeque};

use axum::http::{HeaderMap, Uri};
use serde::Serialize;

const LATEST: usize = 1000;
/// Paths are the caller's choice; those beyond are counted together.
const PATHS: usize = 50;

#[derive(Debug, Default, Serialize)]
pub(super) struct Requests {
    total: u64,
    by_path: BTreeMap<String, u64>,
    /// The last one is the latest.
    latest: VecDeque<Request>,
}

#[derive(Debug, Serialize)]
struct Request {
    number: u64,
    path: String,
    query: Option<String>,
    status: u16,
    traceparent: Option<String>,
    correlation_id: Option<String>,
}

impl Requests {
    pub(super) fn count(&self, path: &str) -> u64 {
        self.by_path.get(path).copied().unwrap_or_default()
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn add(&mut self, uri: &Uri, headers: &HeaderMap, status: u16) {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.total += 1;
        let known = self.by_path.len() < PATHS || self.by_path.contains_key(uri.path());
        let path = if known { uri.path() } else { "others" };
        *self.by_path.entry(path.to_owned()).or_default() += 1;
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(Request {
            number: self.total,
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            status,
            traceparent: header("traceparent"),
            correlation_id: header("x-correlation-id"),
        });
    }
}
