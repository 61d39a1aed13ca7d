//! Questions to the data sources. In: a target with nothing left to fill in. Out: what was asked, and how much the answer has.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::{STEP, TimeRange};
use crate::net::http_get;
use crate::prometheus::{self, encoded};
use crate::victoria_logs;

/// Where the data sources are.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Prometheus.
    pub prometheus: String,
    /// Jaeger.
    pub jaeger: Option<String>,
    /// VictoriaLogs.
    pub logs: Option<String>,
}

/// Asks one target.
pub(super) fn ask(target: &Value, sources: &Sources, range: TimeRange) -> Result<(String, usize)> {
    let expression = || -> Result<String> {
        Ok(range.fill(target["expr"].as_str().context("a target without an expression")?))
    };
    match target["datasource"]["type"].as_str() {
        Some("prometheus") => ask_prometheus(target, &expression()?, &sources.prometheus, range),
        Some("jaeger") => ask_jaeger(target, sources.jaeger.as_deref().context("no Jaeger is known")?, range),
        Some("victoriametrics-logs-datasource") => {
            let url = sources.logs.as_deref().context("no VictoriaLogs is known")?;
            ask_logs(target, &expression()?, url, range)
        }
        other => bail!("nobody here speaks to a data source of type {other:?}"),
    }
}

fn ask_prometheus(target: &Value, expression: &str, url: &str, range: TimeRange) -> Result<(String, usize)> {
    let TimeRange { from, to } = range;
    let query = encoded(expression);
    let path = if target["instant"] == true {
        format!("/api/v1/query?query={query}&time={to}")
    } else {
        format!("/api/v1/query_range?query={query}&start={from}&end={to}&step={STEP}")
    };
    if target["exemplar"] == true {
        prometheus::ask(url, &format!("/api/v1/query_exemplars?query={query}&start={from}&end={to}"))?;
    }
    let data = prometheus::ask(url, &path)?;
    let series = data["result"].as_array().context("the result is no list")?;
    // A NaN is drawn as nothing.
    let shown = series.iter().filter(|series| {
        let values = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
        values.iter().any(|value| value[1].as_str().is_some_and(|number| number != "NaN"))
    });
    Ok((expression.to_owned(), shown.count()))
}

fn ask_jaeger(target: &Value, url: &str, range: TimeRange) -> Result<(String, usize)> {
    let TimeRange { from, to } = range;
    let path = match target["queryType"].as_str() {
        Some("search") => {
            let service = target["service"].as_str().context("a search without a service")?;
            let mut path = format!(
                "/api/traces?service={}&limit={}&start={from}000000&end={to}000000&lookback=custom",
                encoded(service),
                target["limit"]
            );
            if let Some(tags) = target["tags"].as_str() {
                path += &format!("&tags={}", encoded(&Value::Object(logfmt(tags)?).to_string()));
            }
            path
        }
        Some("dependencyGraph") => {
            format!("/api/dependencies?endTs={to}000&lookback={}000", range.seconds())
        }
        other => bail!("Jaeger has no query of type {other:?}"),
    };
    let (status, text) = http_get(&format!("{url}{path}"))?;
    ensure!(status == 200, "{path}: {status}: {text}");
    let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    Ok((path, answer["data"].as_array().map_or(0, Vec::len)))
}

/// `a=b c=d`, as Grafana's data source reads tags, each a text for Jaeger.
fn logfmt(text: &str) -> Result<Map<String, Value>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').with_context(|| format!("{pair:?} is no tag"))?;
        Ok((key.to_owned(), Value::from(value)))
    };
    text.split_whitespace().map(pair).collect()
}

fn ask_logs(target: &Value, expression: &str, url: &str, range: TimeRange) -> Result<(String, usize)> {
    let (from, to, step) = (range.from.to_string(), range.to.to_string(), format!("{STEP}s"));
    let limit = target["maxLines"].to_string();
    let common = [("query", expression), ("start", &*from), ("end", &*to)];
    let with = |what: &str, more: &[(&str, &str)]| {
        victoria_logs::ask(url, what, &common.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let series = |answer: String| -> Result<usize> {
        let answer: Value = serde_json::from_str(&answer)?;
        Ok(answer["data"]["result"].as_array().context("the result is no list")?.len())
    };
    let size = match target["queryType"].as_str() {
        Some("instant") => with("query", &[("limit", &limit)])?.lines().count(),
        Some("stats") => series(with("stats_query", &[("time", &to)])?)?,
        Some("statsRange") => series(with("stats_query_range", &[("step", &step)])?)?,
        other => bail!("VictoriaLogs has no query of type {other:?}"),
    };
    Ok((expression.to_owned(), size))
}
