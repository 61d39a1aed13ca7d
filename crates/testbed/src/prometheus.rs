//! Questions to a Prometheus. In: its address and a query. Out: samples, or the answer as JSON. Does not talk to the
//! cluster.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::net::http_get;

/// One sample of an instant query.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, the metric's name under `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// One label; empty when there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// What a PromQL expression with a vector as its result gives now.
pub fn query(url: &str, expression: &str) -> Result<Vec<Sample>> {
    let data = ask(url, &format!("/api/v1/query?query={}", encoded(expression)))?;
    let samples = data["result"].as_array().context("the result is no list")?;
    samples.iter().map(sample).collect::<Result<_>>().with_context(|| format!("{expression}: {data}"))
}

/// The samples of each series that a range selector finds, for example `up[5m]`: Unix seconds and values.
pub fn history(url: &str, selector: &str) -> Result<Vec<Vec<(f64, f64)>>> {
    let data = ask(url, &format!("/api/v1/query?query={}", encoded(selector)))?;
    let series = data["result"].as_array().context("the result is no list")?;
    let samples = |series: &Value| {
        let values: Vec<(f64, String)> = serde_json::from_value(series["values"].clone())?;
        values.into_iter().map(|(time, value)| Ok((time, value.parse()?))).collect()
    };
    series.iter().map(samples).collect::<Result<_>>().with_context(|| format!("{selector}: {data}"))
}

/// The `data` of an answer of Prometheus' API, or the error that it tells.
pub fn ask(url: &str, path: &str) -> Result<Value> {
    let (status, text) = http_get(&format!("{url}{path}"))?;
    let mut answer: Value =
        serde_json::from_str(&text).with_context(|| format!("{path}: {status}: {text}"))?;
    if answer["status"] != "success" {
        bail!("{path}: {status}: {text}");
    }
    Ok(answer["data"].take())
}

fn sample(sample: &Value) -> Result<Sample> {
    let value = sample["value"][1].as_str().context("a sample without a value")?.parse()?;
    Ok(Sample { labels: serde_json::from_value(sample["metric"].clone())?, value })
}

/// The text as a part of a URL's query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
