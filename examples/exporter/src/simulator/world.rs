//! Everything that the simulator knows. In: a request. Out: what to answer. Pure, but for the clock of the rate limit.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use serde_json::{Value, json};

use super::Options;
use super::account::Account;
use super::behaviour::{Behaviour, Fault, RateLimit};
use super::films::random;
use super::requests::Requests;

const DEFAULT_LIMIT: u64 = 100;
const LARGEST_LIMIT: u64 = 250;

#[derive(Debug)]
pub(super) struct World {
    pub(super) account: Account,
    pub(super) behaviour: Behaviour,
    pub(super) requests: Requests,
    seed: u64,
    token: String,
    window: Option<(Instant, u64)>,
    history_pages: u64,
}

/// What to answer.
#[derive(Debug)]
pub(super) enum Answer {
    Page { body: Value, page: u64, limit: u64, pages: u64, total: u64 },
    Other(Value),
    Refused { status: u16, reason: &'static str },
    RateLimited { wait: u64, limit: RateLimit },
    Faulty(Fault, Value),
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Page { .. } | Self::Other(_) | Self::Faulty(Fault::Drop | Fault::Malformed, _) => 200,
            Self::Faulty(Fault::Error(status), _) | Self::Refused { status, .. } => *status,
            Self::RateLimited { .. } => 429,
        }
    }
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        Self {
            account: Account::new(options.size, options.seed),
            behaviour: Behaviour::default(),
            requests: Requests::default(),
            seed: options.seed,
            token: options.token,
            window: None,
            history_pages: 0,
        }
    }

    pub(super) fn behave(&mut self, behaviour: Behaviour) {
        self.behaviour = behaviour;
        self.window = None;
        self.history_pages = 0;
    }

    /// The answer, and how long it takes.
    pub(super) fn answer(&mut self, uri: &Uri, headers: &HeaderMap) -> (Duration, Answer) {
        let answer = self.decide(uri, headers);
        self.requests.add(uri, headers, answer.status());
        (Duration::from_millis(self.behaviour.latency_ms), answer)
    }

    fn decide(&mut self, uri: &Uri, headers: &HeaderMap) -> Answer {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if header("trakt-api-version") != Some("2") || header("trakt-api-key").is_none_or(str::is_empty) {
            return Answer::Refused {
                status: 403,
                reason: "trakt-api-version: 2 and trakt-api-key are required",
            };
        }
        if header("authorization").and_then(|value| value.strip_prefix("Bearer ")) != Some(&self.token) {
            return Answer::Refused { status: 401, reason: "the token is not valid" };
        }
        if let Some((wait, limit)) = self.over_limit() {
            return Answer::RateLimited { wait, limit };
        }
        let fault = self.behaviour.fault(self.seed, self.requests.total());
        if let Some(fault @ Fault::Error(_)) = fault {
            return Answer::Faulty(fault, Value::Null);
        }
        match (self.content(uri), fault) {
            (Answer::Page { body, .. } | Answer::Other(body), Some(fault)) => Answer::Faulty(fault, body),
            (answer, _) => answer,
        }
    }

    fn content(&mut self, uri: &Uri) -> Answer {
        let query = uri.query().unwrap_or_default();
        match uri.path() {
            "/sync/history/movies" => {
                self.change();
                page(&self.account.history, query)
            }
            "/sync/ratings/movies" => page(&self.account.ratings, query),
            "/sync/watchlist/movies" => page(&self.account.watchlist, query),
            "/sync/last_activities" => {
                let changed = self.account.changed;
                let all = changed.history.max(changed.ratings).max(changed.watchlist);
                Answer::Other(json!({
                    "all": all,
                    "movies": {
                        "watched_at": changed.history,
                        "rated_at": changed.ratings,
                        "watchlisted_at": changed.watchlist,
                    },
                    "watchlist": {"updated_at": changed.watchlist},
                }))
            }
            _ => Answer::Refused { status: 404, reason: "the simulator has no such path" },
        }
    }

    /// Something may happen to the account before a page of it is cut.
    fn change(&mut self) {
        self.history_pages += 1;
        let Some(mut changes) = self.behaviour.changes else { return };
        if !self.history_pages.is_multiple_of(changes.every) {
            return;
        }
        if changes.removals > 0 {
            changes.removals -= 1;
            self.account.remove(random(self.seed, self.history_pages));
        }
        if changes.additions > 0 {
            changes.additions -= 1;
            self.account.add(None, None, None);
        }
        self.behaviour.changes = Some(changes);
    }

    /// Counts the request. Over the limit: how many seconds are left of the window.
    fn over_limit(&mut self) -> Option<(u64, RateLimit)> {
        let limit = self.behaviour.rate_limit?;
        let length = Duration::from_secs(limit.window_seconds);
        let current = self.window.filter(|(start, _)| start.elapsed() < length);
        let (start, count) = current.unwrap_or_else(|| (Instant::now(), 0));
        self.window = Some((start, count + 1));
        let left = length.saturating_sub(start.elapsed());
        (count >= limit.requests).then(|| (left.as_secs() + u64::from(left.subsec_nanos() > 0), limit))
    }
}

fn page<T: Serialize>(items: &[T], query: &str) -> Answer {
    let number = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let page = number("page").unwrap_or(1).max(1);
    let limit = number("limit").unwrap_or(DEFAULT_LIMIT).clamp(1, LARGEST_LIMIT);
    let total = items.len() as u64;
    let bound = |pages: u64| usize::try_from(pages.saturating_mul(limit).min(total)).unwrap_or(items.len());
    match serde_json::to_value(&items[bound(page - 1)..bound(page)]) {
        Ok(body) => Answer::Page { body, page, limit, pages: total.div_ceil(limit), total },
        Err(_) => Answer::Refused { status: 500, reason: "the simulator cannot write its own data" },
    }
}
