//! What SLO rules cost a Prometheus: `cargo bench --bench slo_rules`, or with `-- 1 100` for these numbers of SLOs only.
//!
//! A real Prometheus gets 30 days of history: a counter with ten series, scraped every 30 s, and what the rules of each SLO would
//! have recorded. Then every expression of every SLO is evaluated once, at the end of the history, and Prometheus says how long
//! it took and how many samples it read. The rules are ours, and what Sloth and Pyrra would write for the same SLO, by
//! what their documents and code say: windows straight from the counters. Each group counts as often as it is evaluated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::remote_write::{Labels, Sample, series, write};
use testbed::{Daemon, Directory, Part, Readiness, free_ports, http_with};

/// Seconds from one scrape, and one evaluation, to the next.
const STEP: i64 = 30;
const DAYS: i64 = 30;
const STEPS: i64 = DAYS * 24 * 3600 / STEP;
const PODS: usize = 5;

/// Rules of one SLO that are evaluated together.
struct Group {
    /// Seconds.
    interval: u64,
    /// Expressions of records, then of alerts.
    records: Vec<String>,
    alerts: Vec<String>,
}

/// Who writes rules.
struct Generator {
    name: &'static str,
    groups: fn(usize) -> Vec<Group>,
    /// The records of an SLO that its other rules read, by name.
    history: &'static [&'static str],
}

const GENERATORS: [Generator; 3] = [
    Generator {
        name: "telemetry-operator",
        groups: ours,
        history: &["slo:events:increase", "slo:bad_events:increase"],
    },
    Generator { name: "Sloth", groups: sloth, history: &["slo:sli_error:ratio_rate5m"] },
    Generator { name: "Pyrra", groups: pyrra, history: &[] },
];

fn name(slo: usize) -> String {
    format!("slo-{slo}")
}

fn ours(slo: usize) -> Vec<Group> {
    let spec = format!(
        "{{selector: {{matchLabels: {{app: x}}}}, service: {{name: x}}, slos: [{{name: {}, objective: '99.9', \
         ratio: {{bad: 'calls_total{{code=\"500\"}}', total: calls_total}}}}]}}",
        name(slo)
    );
    let mut profile = TelemetryProfile::new("x", serde_yaml::from_str(&spec).unwrap());
    profile.metadata.namespace = Some("media".to_owned());
    let profile = validate(&profile, &Observed::default(), &Settings::default()).unwrap();
    let file: Value = serde_yaml::from_str(&plan::slo::rule_file(&profile).unwrap().unwrap()).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    groups
        .map(|group| {
            let expressions = |key: &str| -> Vec<String> {
                let rules = group["rules"].as_array().unwrap().iter().filter(|rule| rule[key].is_string());
                rules.map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect()
            };
            let interval = if group["interval"] == "2m" { 120 } else { 30 };
            Group { interval, records: expressions("record"), alerts: expressions("alert") }
        })
        .collect()
}

const TOTAL: &str = "calls_total{namespace=\"media\"}";
const BAD: &str = "calls_total{namespace=\"media\",code=\"500\"}";

fn ratio(window: &str) -> String {
    format!("sum(rate({BAD}[{window}])) / sum(rate({TOTAL}[{window}]))")
}

/// Every window but the period from the counters, the period as the average of the recorded ratios of five minutes.
fn sloth(slo: usize) -> Vec<Group> {
    let id = format!("{{sloth_slo=\"{}\"}}", name(slo));
    let windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];
    let period = format!("slo:sli_error:ratio_rate5m{id}[30d]");
    let mut records: Vec<_> = windows.iter().map(|window| ratio(window)).collect();
    records.push(format!("sum_over_time({period}) / count_over_time({period})"));
    records.extend(["vector(0.999)", "vector(1-0.999)", "vector(30)", "vector(1)"].map(str::to_owned));
    records.push(format!("slo:sli_error:ratio_rate5m{id} / slo:error_budget:ratio{id}"));
    records.push(format!("slo:sli_error:ratio_rate30d{id} / slo:error_budget:ratio{id}"));
    records.push(format!("1 - slo:period_burn_rate:ratio{id}"));
    let pair = |short: &str, long: &str, factor: &str| {
        let above = |window: &str| format!("max(slo:sli_error:ratio_rate{window}{id} > ({factor} * 0.001))");
        format!("({} and {})", above(short), above(long))
    };
    let alerts = vec![
        format!("{} or {}", pair("5m", "1h", "14.4"), pair("30m", "6h", "6")),
        format!("{} or {}", pair("2h", "1d", "3"), pair("6h", "3d", "1")),
    ];
    vec![Group { interval: 30, records, alerts }]
}

/// Burn rates from the counters, and the increase over the period from them, too.
fn pyrra(slo: usize) -> Vec<Group> {
    let id = format!("{{slo=\"{}\"}}", name(slo));
    let windows = ["5m", "32m", "64m", "129m", "6h26m", "1d1h43m", "4d6h51m"];
    let above = |window: &str, factor: &str| format!("calls:burnrate{window}{id} > ({factor} * (1-0.999))");
    let alerts =
        [("5m", "64m", "14"), ("32m", "6h26m", "7"), ("129m", "1d1h43m", "2"), ("6h26m", "4d6h51m", "1")]
            .map(|(short, long, factor)| format!("{} and {}", above(short, factor), above(long, factor)));
    vec![
        Group {
            interval: 150,
            records: vec![format!("sum by (code) (increase({TOTAL}[30d]))")],
            alerts: vec![format!("absent({TOTAL}) == 1")],
        },
        Group {
            interval: 30,
            records: windows.iter().map(|window| ratio(window)).collect(),
            alerts: alerts.into(),
        },
    ]
}

/// What one evaluation of an expression took.
#[derive(Clone, Copy, Default)]
struct Cost {
    seconds: f64,
    samples: f64,
}

struct Bed {
    url: String,
    end: i64,
    _prometheus: Daemon,
    _directory: Directory,
}

impl Bed {
    fn start() -> Self {
        let directory = Directory::create("bench-slo-rules").unwrap();
        let config = directory.path().join("prometheus.yml");
        fs::write(&config, "{}").unwrap();
        let [port] = free_ports().unwrap();
        let mut command = std::process::Command::new(testbed::path(Part::Prometheus).unwrap());
        command.args([
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--storage.tsdb.min-block-duration=100d".to_owned(),
            "--storage.tsdb.max-block-duration=100d".to_owned(),
            // All of the history is in the head, whose list of chunks is walked from its end: a few long ones are as quick as blocks.
            "--storage.tsdb.samples-per-chunk=10000".to_owned(),
            "--storage.tsdb.retention.time=10y".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
        ]);
        let url = format!("http://127.0.0.1:{port}");
        let ready = Readiness::Http { url: format!("{url}/-/ready"), deadline: Duration::from_secs(60) };
        let log = directory.path().join("prometheus.log");
        let prometheus = Daemon::start("prometheus", command, &log, ready).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let end = i64::try_from(now).unwrap() / STEP * STEP;
        Self { url, end, _prometheus: prometheus, _directory: directory }
    }

    /// A series over the whole history.
    fn fill(&self, labels: &[(&str, &str)], value: impl Fn(i64) -> f64) {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut series = series(labels);
        let sample =
            |step: i64| Sample { value: value(step), timestamp: (self.end - (STEPS - step) * STEP) * 1000 };
        series.samples = (0..=STEPS).map(sample).collect();
        write(&self.url, vec![series]).unwrap();
    }

    fn evaluate(&self, expression: &str) -> Cost {
        let encoded = expression.replace('%', "%25").replace('&', "%26").replace('+', "%2B");
        let form = format!("time={}&stats=true&query={encoded}", self.end);
        let url = format!("{}/api/v1/query", self.url);
        let (status, text) =
            http_with("POST", &url, "application/x-www-form-urlencoded", form.as_bytes()).unwrap();
        assert_eq!(status, 200, "{expression}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let stats = &answer["data"]["stats"];
        Cost {
            seconds: stats["timings"]["execTotalTime"].as_f64().unwrap(),
            samples: stats["samples"]["totalQueryableSamples"].as_f64().unwrap(),
        }
    }
}

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![1, 100, 1000] } else { asked };
    let bed = Bed::start();
    for pod in 0..PODS {
        let instance = format!("pod-{pod}");
        for (code, rate) in [("200", 997_i32), ("500", 3)] {
            let labels = [
                ("__name__", "calls_total"),
                ("code", code),
                ("instance", &instance),
                ("job", "media/x-metrics"),
                ("namespace", "media"),
            ];
            bed.fill(&labels, |step| f64::from(i32::try_from(step).unwrap()) * f64::from(rate));
        }
    }
    println!("| rules by | SLOs | series | samples a day | samples read in 30 s | seconds in 30 s |");
    println!("|---|---|---|---|---|---|");
    for generator in &GENERATORS {
        let mut filled = 0;
        for size in &sizes {
            for slo in filled..*size {
                fill_history(&bed, generator, slo);
            }
            filled = filled.max(*size);
            measure(&bed, generator, *size);
        }
    }
}

/// What the SLO's rules would have recorded.
fn fill_history(bed: &Bed, generator: &Generator, slo: usize) {
    let slo = name(slo);
    for record in generator.history {
        let value = move |step: i64| {
            // Not all alike, as in life.
            let some = f64::from(i32::try_from(step * 7919 % 13).unwrap());
            if record.contains("bad") {
                some
            } else if record.contains("ratio") {
                some / 4096.0
            } else {
                5000.0 + some
            }
        };
        let labels = [
            ("__name__", *record),
            ("namespace", "media"),
            ("service", "x"),
            ("slo", &slo),
            ("sloth_slo", &slo),
            ("telemetry_profile", "x"),
        ];
        bed.fill(&labels, value);
    }
}

fn measure(bed: &Bed, generator: &Generator, slos: usize) {
    let (mut cost, mut records, mut written) = (Cost::default(), 0, 0.0);
    for slo in 0..slos {
        for group in (generator.groups)(slo) {
            let share = f64::from(u32::try_from(STEP).unwrap()) / group.interval as f64;
            for expression in group.records.iter().chain(&group.alerts) {
                let one = bed.evaluate(expression);
                cost.seconds += one.seconds * share;
                cost.samples += one.samples * share;
            }
            records += group.records.len();
            written += group.records.len() as f64 * 86_400.0 / group.interval as f64;
        }
    }
    println!(
        "| {} | {slos} | {records} | {written:.0} | {:.0} | {:.3} |",
        generator.name, cost.samples, cost.seconds
    );
}
