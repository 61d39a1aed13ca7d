//! Every example, for periods from one day to ninety: an outage makes each tier's alert fire within its computed time, and
//! after the outage each of them stops.
//!
//! Pages are played minute by minute. For tickets days must pass: there the rules are evaluated every twenty minutes, and see
//! one minute of them. The share of bad events, and with it every burn rate, is the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use telemetry_operator::burn_rate::Severity;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::slo::{self, LATENESS};
use telemetry_operator::profile::{HistogramType, TelemetryProfile};
use telemetry_operator::promql::Selector;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::{Events, Indicator, Slo, Success, ValidatedProfile, validate};

use super::run_test;

/// Minutes of good events before the outage.
const QUIET: u32 = 30;
const QUIET_FOR_TICKETS: u32 = 37 * 60;
/// Minutes from one evaluation to the next, where tickets are played.
const STRIDE: u32 = 20;

/// An example with all of its SLOs over this period, scraped once a minute.
fn example(name: &str, days: u32) -> ValidatedProfile {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let text = fs::read_to_string(&file).expect("the example");
    let mut body: Value = serde_yaml::from_str(&text).expect("YAML");
    body["metadata"]["namespace"] = json!("media");
    body["spec"]["metrics"]["interval"] = json!("60s");
    for slo in body["spec"]["slos"].as_array_mut().expect("SLOs") {
        slo["window"] = json!(format!("{days}d"));
        // What is refused for such a period, with an explanation: an age longer than it, a page that could never fire.
        if days == 1 && slo["freshness"].is_object() {
            slo["freshness"]["maxAge"] = json!("13h");
        }
        if days == 90 && slo["objective"] == "90" {
            slo["alerting"]["page"] = json!(false);
        }
    }
    let profile: TelemetryProfile = serde_json::from_value(body).expect("a profile");
    validate(&profile, &Observed::default(), &Settings::default())
        .unwrap_or_else(|error| panic!("{name}, {days}d: {error}"))
}

/// An outage: good events each minute until `from`, bad ones until `to`, good ones until `end`.
#[derive(Clone, Copy)]
struct Outage {
    from: u32,
    to: u32,
    end: u32,
}

impl Outage {
    /// A counter that grows while events are good, and one that grows while they are bad.
    fn counters(self) -> [String; 2] {
        let Self { from, to, end } = self;
        let last = 100 * from;
        [
            format!("0+100x{from} {last}x{} {last}+100x{}", to - from - 1, end - to),
            format!("0x{from} 100+100x{} {}x{}", to - from - 1, 100 * (to - from), end - to),
        ]
    }

    /// Native histograms with 100 observations a minute, good ones in the first bucket.
    fn histogram(self) -> String {
        let Self { from, to, end } = self;
        let sample = |good: u32, bad: u32| {
            format!("{{{{schema:0 sum:1 count:{} buckets:[{good} 0 0 0 0 0 {bad}] offset:-5}}}}", good + bad)
        };
        format!(
            "{}+{}x{from} {}+{}x{} {}+{}x{}",
            sample(0, 0),
            sample(100, 0),
            sample(100 * from, 100),
            sample(0, 100),
            to - from - 1,
            sample(100 * from + 100, 100 * (to - from)),
            sample(100, 0),
            end - to
        )
    }
}

/// Labels that meet a selector, or with `not` those that miss its last matcher.
fn labels(selector: &Selector, not: bool) -> String {
    let last = selector.matchers.len().checked_sub(1).filter(|_| not);
    let target = [("namespace", "media"), ("job", "j"), ("instance", "a"), ("channel", "web")];
    let mut labels: BTreeMap<_, _> = target.into_iter().collect();
    for (index, (label, operator, value)) in selector.matchers.iter().enumerate() {
        let meets = last != Some(index);
        let value = match (*operator, value.as_str()) {
            ("=", value) if meets => value,
            ("=", _) => "another",
            ("!~", "5..") if meets => "200",
            ("!~", "5..") => "500",
            other => panic!("no value is known for {other:?}"),
        };
        labels.insert(label, value);
    }
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{{{}}}", labels.join(","))
}

/// The series of an SLO, with good events and bad ones as counters.
fn series(profile: &ValidatedProfile, slo: &Slo, outage: Outage) -> Vec<Value> {
    let [good, bad] = outage.counters();
    let one = |series: String, values: &str| json!({"series": series, "values": values});
    match &slo.indicator {
        Indicator::Ratio { events: Events::Good(selector), .. } => vec![
            one(format!("{}{}", selector.metric, labels(selector, false)), &good),
            one(format!("{}{}", selector.metric, labels(selector, true)), &bad),
        ],
        Indicator::Ratio { events: Events::Bad(selector), .. } => vec![
            one(format!("{}{}", selector.metric, labels(selector, false)), &bad),
            one(format!("{}{}", selector.metric, labels(selector, true)), &good),
        ],
        Indicator::Latency { histogram, threshold, kind: HistogramType::Classic } => {
            let bound = histogram.clone().with_matcher("le", "=", &**threshold);
            let all = format!("0+100x{}", outage.end);
            vec![
                one(format!("{}_count{}", histogram.metric, labels(histogram, false)), &all),
                one(format!("{}_bucket{}", histogram.metric, labels(&bound, false)), &good),
            ]
        }
        Indicator::Latency { histogram, kind: HistogramType::Native, .. } => {
            vec![one(format!("{}{}", histogram.metric, labels(histogram, false)), &outage.histogram())]
        }
        Indicator::Operation { name, threshold } => {
            let span = format!("service_name=\"{}\",span_name=\"{name}\"", profile.service.name);
            let target = "namespace=\"media\",job=\"c\",instance=\"b\"";
            match threshold {
                None => ["UNSET", "ERROR"]
                    .iter()
                    .zip([&good, &bad])
                    .map(|(status, values)| {
                        let labels = format!("{target},{span},status_code=\"STATUS_CODE_{status}\"");
                        one(format!("traces_span_metrics_calls_total{{{labels}}}"), values)
                    })
                    .collect(),
                Some(threshold) => {
                    let metric = "traces_span_metrics_duration_seconds";
                    let all = format!("0+100x{}", outage.end);
                    vec![
                        one(format!("{metric}_count{{{target},{span}}}"), &all),
                        one(format!("{metric}_bucket{{{target},{span},le=\"{threshold}\"}}"), &good),
                    ]
                }
            }
        }
        Indicator::Freshness { success: Success::Counter(selector), .. } => {
            vec![one(format!("{}{}", selector.metric, labels(selector, false)), &good)]
        }
        Indicator::Freshness { success: Success::Timestamp(selector), .. } => {
            // A time of success each minute, and none in the outage.
            let Outage { from, to, end } = outage;
            let values = format!("0+60x{from} {}x{} {}+60x{}", 60 * from, to - from - 1, 60 * to, end - to);
            vec![one(format!("{}{}", selector.metric, labels(selector, false)), &values)]
        }
    }
}

/// Minutes by which a success may be late; none where events are counted.
fn age(slo: &Slo) -> u32 {
    match &slo.indicator {
        Indicator::Freshness { max_age, .. } => {
            max_age.trim_end_matches('h').parse::<u32>().expect("hours") * 60
        }
        _ => 0,
    }
}

fn minutes(seconds: f64) -> u32 {
    format!("{:.0}", (seconds / 60.0).ceil()).parse().expect("a number")
}

/// Plays an outage of those SLOs of the profile for which this holds, long enough for every alert of these severities.
fn play(
    profile: &ValidatedProfile,
    wanted: impl Fn(&Slo) -> bool,
    severities: &[Severity],
    quiet: u32,
    stride: u32,
) {
    for slo in profile.slos.iter().filter(|slo| wanted(slo)) {
        let tiers: Vec<_> =
            slo::wanted_tiers(slo).into_iter().filter(|tier| severities.contains(&tier.severity)).collect();
        if tiers.is_empty() {
            continue;
        }
        let late = minutes(f64::from(LATENESS)) + 1 + stride;
        let detect = |tier: &telemetry_operator::burn_rate::Tier| {
            minutes(tier.time_to_detect(slo.objective, 1.0).expect("an outage is enough")) + late
        };
        let longest = tiers.iter().map(detect).max().expect("tiers");
        let slowest = tiers.iter().map(|tier| tier.short_seconds() / 60).max().expect("tiers") + late;
        let from = quiet;
        let round = |minute: u32| minute.div_ceil(stride) * stride;
        // It is still there when the last alert is looked for.
        let to = round(from + age(slo) + longest) + 1;
        let outage = Outage { from, to, end: to + slowest };
        let mut checks = vec![json!({"eval_time": format!("{}m", from / stride * stride), "exp_samples": [],
            "expr": format!("ALERTS{{alertname=\"ErrorBudgetBurn\",slo=\"{}\"}}", slo.name)})];
        for tier in &tiers {
            let firing = format!(
                "count(ALERTS{{alertstate=\"firing\",slo=\"{}\",slo_tier=\"{}\"}})",
                slo.name, tier.name
            );
            let (fires, stops) = (from + age(slo) + detect(tier), to + tier.short_seconds() / 60 + late);
            checks.push(json!({"eval_time": format!("{}m", round(fires)), "expr": firing,
                "exp_samples": [{"labels": "{}", "value": 1}]}));
            checks
                .push(json!({"eval_time": format!("{}m", round(stops)), "expr": firing, "exp_samples": []}));
        }
        let rules = only(profile, slo);
        let test = json!({"interval": "1m", "input_series": series(profile, slo, outage), "promql_expr_test": checks});
        run_test(&json!(format!("{stride}m")), &rules, test);
    }
}

/// The rules of one SLO.
fn only(profile: &ValidatedProfile, slo: &Slo) -> String {
    let mut profile = profile.clone();
    profile.slos.retain(|other| other.name == slo.name);
    slo::rule_file(&profile).expect("rules").expect("some")
}

fn every_tier_fires_and_stops(days: u32) {
    let names = [
        "bring-your-own.yaml",
        "everything-on.yaml",
        "export-trakt-4-letterboxd.yaml",
        "telemetry-operator.yaml",
    ];
    for name in names {
        let profile = example(name, days);
        assert!(!profile.slos.is_empty(), "{name}");
        let is_fresh = |slo: &Slo| age(slo) > 0;
        play(&profile, |slo| !is_fresh(slo), &[Severity::Page], QUIET, 1);
        play(&profile, |slo| !is_fresh(slo), &[Severity::Ticket], QUIET_FOR_TICKETS, STRIDE);
        play(&profile, is_fresh, &[Severity::Page, Severity::Ticket], QUIET_FOR_TICKETS, STRIDE);
    }
}

#[test]
fn over_1_day() {
    every_tier_fires_and_stops(1);
}

#[test]
fn over_7_days() {
    every_tier_fires_and_stops(7);
}

#[test]
fn over_28_days() {
    every_tier_fires_and_stops(28);
}

#[test]
fn over_30_days() {
    every_tier_fires_and_stops(30);
}

#[test]
fn over_90_days() {
    every_tier_fires_and_stops(90);
}
