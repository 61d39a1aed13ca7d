//! A Prometheus that holds the history: series go in by remote write, whatever their age, and expressions are evaluated over
//! all of it. Does not talk to a cluster.
//!
//! Why remote write: it takes native histograms and staleness markers, which the text formats cannot say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use testbed::http_with;
use testbed::remote_write::{Labels, Sample, Series, series, write};

use super::clock::{STEP, STEPS, at, step_at};
use crate::prometheus::Prometheus;

/// Most steps that Prometheus answers at once.
const MOST_STEPS: usize = 11_000;
/// The NaN by which Prometheus tells that a series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The value at each step; none where there is none.
pub type Values = Vec<Option<f64>>;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Matrix<'a>,
}

#[derive(Deserialize)]
struct Matrix<'a> {
    #[serde(borrow)]
    result: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    metric: Labels,
    #[serde(borrow)]
    values: Vec<(f64, &'a str)>,
}

pub struct Store {
    prometheus: Prometheus,
}

impl Store {
    /// Starts an empty one. Its head block is as long as the history, so that nothing is too old, and has few chunks, because
    /// reading a series of the head costs the square of their number and more.
    pub fn start(directory: &Path) -> Self {
        let config = directory.join("prometheus.yml");
        fs::write(&config, "{}").expect("a file is written");
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", directory.join("data").display()),
            "--storage.tsdb.min-block-duration=100d".to_owned(),
            "--storage.tsdb.max-block-duration=100d".to_owned(),
            "--storage.tsdb.samples-per-chunk=10000".to_owned(),
            "--storage.tsdb.retention.time=10y".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
            "--enable-feature=native-histograms".to_owned(),
        ];
        Self { prometheus: Prometheus::start(&arguments, directory) }
    }

    pub fn write(&self, series: Series) {
        write(&self.prometheus.url, vec![series]).expect("Prometheus takes the series");
    }

    /// Writes what a rule gave, and like Prometheus a staleness marker where it gives no more.
    pub fn record(&self, labels: Labels, values: &Values, every: usize) {
        let mut series = series(labels);
        let mut was_there = false;
        for (step, value) in values.iter().enumerate().step_by(every) {
            let sample = value.or(was_there.then_some(f64::from_bits(STALE)));
            series.samples.extend(sample.map(|value| Sample { value, timestamp: at(step) * 1000 }));
            was_there = value.is_some();
        }
        self.write(series);
    }

    /// What the expression gives for each set of labels at every step, or at each of so many.
    pub fn evaluate(&self, expression: &str, every: usize) -> BTreeMap<Labels, Values> {
        let mut found = BTreeMap::new();
        for first in (0..STEPS).step_by(MOST_STEPS * every) {
            let last = (first + MOST_STEPS * every).min(STEPS) - 1;
            let text = self.query_range(
                expression,
                &format!("start={}&end={}&step={}", at(first), at(last), STEP * every),
            );
            let answer: Answer<'_> = serde_json::from_str(&text).expect("a matrix");
            for Row { metric, values } in answer.data.result {
                let row = found.entry(metric).or_insert_with(|| vec![None; STEPS]);
                for (time, value) in values {
                    row[step_at(time)] = Some(value.parse().expect("a number"));
                }
            }
        }
        found
    }

    fn query_range(&self, expression: &str, range: &str) -> String {
        let expression = expression.replace('%', "%25").replace('&', "%26").replace('+', "%2B");
        let url = format!("{}/api/v1/query_range", self.prometheus.url);
        let form = format!("{range}&query={expression}");
        let (status, text) = http_with("POST", &url, "application/x-www-form-urlencoded", form.as_bytes())
            .expect("Prometheus answers");
        assert_eq!(status, 200, "{expression}: {text}");
        text
    }
}
