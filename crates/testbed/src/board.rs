//! Asks what a Grafana dashboard asks. In: the dashboard's JSON, the addresses of its data sources, a time range. Out: the answer
//! of every target of every panel, for every choice of its variables. It talks to Prometheus, Jaeger and VictoriaLogs as
//! Grafana's data sources do; Grafana itself cannot be had here. What it does not know is an error that names the panel.

mod source;
mod variables;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::Value;

pub use source::Sources;
use variables::Choice;

/// The step of a graph of the usual width over a quarter of an hour, and Grafana's idea of a scrape interval where nobody says
/// another, in seconds.
const STEP: u64 = 15;

/// What is shown, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct TimeRange {
    /// Its beginning.
    pub from: u64,
    /// Its end.
    pub to: u64,
}

impl TimeRange {
    /// The last `seconds`.
    pub fn last(seconds: u64) -> Result<TimeRange> {
        let to = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(TimeRange { from: to - seconds, to })
    }

    fn seconds(self) -> u64 {
        self.to - self.from
    }

    /// The text with the values of Grafana's own variables.
    fn fill(self, text: &str) -> String {
        let (step, range) = (STEP, self.seconds());
        text.replace("$__rate_interval", &format!("{}s", 4 * step))
            .replace("$__interval", &format!("{step}s"))
            .replace("$__auto", &format!("{step}s"))
            .replace("$__range", &format!("{range}s"))
    }
}

/// The answer to one target.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The dashboard's title.
    pub dashboard: String,
    /// The panel's title.
    pub panel: String,
    /// The panel's type.
    pub kind: String,
    /// The target's letter.
    pub target: String,
    /// What was chosen for the variables; empty with all at their defaults.
    pub choice: String,
    /// What was asked.
    pub query: String,
    /// Series, rows, records or traces in the answer.
    pub size: usize,
    /// What the panel shows for an empty answer, where that is more than that there is no data.
    pub no_value: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dashboard, panel, kind, target, choice, size, .. } = self;
        write!(f, "{size:>5}  {dashboard} | {panel} | {kind} {target} | {choice}")
    }
}

/// Asks everything that the dashboard asks, with each variable at its default; with `each_value` then with one variable after the
/// other at each of its values.
///
/// # Errors
/// When a data source does not answer or says that a query is wrong, or the dashboard has something that is not known here.
pub fn ask(board: &Value, sources: &Sources, range: TimeRange, each_value: bool) -> Result<Vec<Answer>> {
    let dashboard = board["title"].as_str().context("a dashboard without a title")?.to_owned();
    let mut answers = Vec::new();
    let mut choices = variables::choices(board, sources, range).with_context(|| dashboard.clone())?;
    if !each_value {
        choices.truncate(1);
    }
    for panel in board["panels"].as_array().into_iter().flatten().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            for choice in choices.iter().filter(|choice| choice.concerns(target)) {
                let answer = ask_target(&dashboard, panel, target, choice, sources, range);
                answers.push(answer.with_context(|| format!("{dashboard}, {}: {target}", panel["title"]))?);
            }
        }
    }
    Ok(answers)
}

/// False for what stands for no data, or for a number.
fn says_why(no_value: &str) -> bool {
    no_value != "no data" && no_value.parse::<f64>().is_err()
}

fn ask_target(
    dashboard: &str,
    panel: &Value,
    target: &Value,
    choice: &Choice,
    sources: &Sources,
    range: TimeRange,
) -> Result<Answer> {
    let target = choice.fill(target);
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let no_value = panel["fieldConfig"]["defaults"]["noValue"].as_str();
    let (query, size) = source::ask(&target, sources, range)?;
    Ok(Answer {
        dashboard: dashboard.to_owned(),
        panel: word(&panel["title"]),
        kind: word(&panel["type"]),
        target: word(&target["refId"]),
        choice: choice.name.clone(),
        query,
        size,
        no_value: no_value.filter(|text| says_why(text)).map(str::to_owned),
    })
}
