//! The page's way to people: an Alertmanager with the configuration of docs/alerting.md. In: the stack, the page and the
//! incident. Out: how long the page took and may take, its arrival, the ticket that it mutes. It talks to the cluster, to
//! Prometheus and to Alertmanager.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Forward, Image, Part, Stack, http, http_get, output, prometheus};

use crate::show::{now, title, wait};

/// What the operator is told as `ALERTMANAGER_URL`.
pub const URL: &str = "http://alertmanager.monitoring:9093";
/// Where it runs.
pub const NAMESPACE: &str = "monitoring";
const MANIFESTS: &str = include_str!("alertmanager.yaml");
const DOCUMENT: &str = include_str!("../../../../../docs/alerting.md");

/// Seconds from scrape to scrape in the demo's profiles.
const SCRAPE: f64 = 10.0;
/// Seconds from evaluation to evaluation of an SLO.
pub const EVALUATION: f64 = 30.0;
/// Seconds from export to export, each a burst of calls.
const BURST: f64 = 10.0;
/// Seconds that rules wait for samples which come late.
const LATENESS: f64 = 15.0;

/// What a page follows from.
pub struct Incident {
    /// When it began, in Unix seconds.
    pub begun: f64,
    /// How many events, all of them good, had been counted by then.
    pub before: f64,
    /// Events a second since.
    pub rate: f64,
    /// The share of bad ones among these.
    pub bad: f64,
}

/// Starts Alertmanager, without waiting for it.
pub fn start(stack: &Stack) -> Result<()> {
    stack.node().load(&[Image::of_part(Part::Alertmanager)?])?;
    stack.namespace(NAMESPACE)?;
    let config = DOCUMENT.split("```").find_map(|block| block.strip_prefix("yaml\n"));
    let config = config.context("docs/alerting.md has no configuration")?;
    let mut create = stack.command(&format!("create configmap alertmanager -n {NAMESPACE}"));
    output(create.arg(format!("--from-literal=alertmanager.yml={config}")))?;
    stack.apply(Some(NAMESPACE), MANIFESTS)
}

/// Its API, through a loopback port.
pub fn forward(stack: &Stack) -> Result<Forward> {
    stack.node().forward(NAMESPACE, "alertmanager", 9093)
}

/// Follows the page from Prometheus to Alertmanager, and shows that it was in time.
pub fn show(stack: &Stack, prometheus: &Forward, page: &Value, incident: &Incident) -> Result<()> {
    let alertmanager = forward(stack)?;
    let received = wait("the page in Alertmanager", || find(&alertmanager, &page["labels"]))?;
    let arrived = now()? - incident.begun;
    let fired = active_since(prometheus)? - incident.begun;
    let (latest, computation) = latest(page, incident)?;
    title("the page's way, by seconds since the incident began");
    println!("{fired:>8.0}  it fires in Prometheus");
    println!("{arrived:>8.0}  Alertmanager has it, for receiver {}", word(&received["receivers"][0]["name"]));
    println!("{latest:>8.0}  it had to fire by then: {computation}");
    ensure!(fired <= latest, "the page fired after {fired:.0} s, and {latest:.0} s were computed");
    show_muted_ticket(prometheus, &alertmanager)
}

/// A real ticket needs twelve hours of records, so this one is made, from the rule that would send it.
fn show_muted_ticket(prometheus: &Forward, alertmanager: &Forward) -> Result<()> {
    let groups = prometheus::ask(&prometheus.url(), "/api/v1/rules?type=alert")?;
    let mut rules = groups["groups"].as_array().into_iter().flatten().flat_map(|group| {
        group["rules"].as_array().into_iter().flatten().filter(|rule| {
            rule["labels"]["slo"] == crate::incident::SLO && rule["labels"]["slo_tier"] == "slow"
        })
    });
    let rule = rules.next().context("the SLO has no rule for the tier slow")?;
    let mut labels = rule["labels"].clone();
    labels["alertname"] = rule["name"].clone();
    let alert = json!([{"labels": labels}]).to_string();
    let (status, answer) = http("POST", &format!("{}/api/v2/alerts", alertmanager.url()), &alert)?;
    ensure!(status == 200, "Alertmanager answers {status}: {answer}");
    let ticket = wait("the ticket in Alertmanager", || find(alertmanager, &labels))?;
    let by = &ticket["status"]["inhibitedBy"][0];
    let by = alerts(alertmanager)?.into_iter().find(|alert| alert["fingerprint"] == *by);
    let by = by.with_context(|| format!("no alert mutes the ticket: {ticket}"))?;
    title("a ticket of the same SLO, sent by the demo: Alertmanager mutes it while the page lasts");
    let words = |alert: &Value| {
        ["alertname", "severity", "slo", "slo_tier"]
            .map(|key| format!("{key}={}", word(&alert["labels"][key])))
            .join(" ")
    };
    println!("{} {}\n  by {}", word(&ticket["status"]["state"]), words(&ticket), words(&by));
    Ok(())
}

/// Seconds after which the page fires at the latest, and how they come about. The long window is not full yet: all events are
/// in it, and it burns too fast once more than the factor times the budget of them are bad.
fn latest(page: &Value, incident: &Incident) -> Result<(f64, String)> {
    let number = |label: &str| {
        let text = page["labels"][label].as_str().with_context(|| format!("the page has no {label}"))?;
        text.parse::<f64>().with_context(|| format!("{label}: {text}"))
    };
    let (factor, objective) = (number("burn_rate_factor")?, number("slo_objective")?);
    let limit = factor * (100.0 - objective) / 100.0;
    let Incident { before, rate, bad, .. } = *incident;
    ensure!(bad > limit, "the share of bad events is {bad}, and no page is due up to {limit}");
    let burn = before * limit / (rate * (bad - limit));
    let computation = format!(
        "after {before:.0} good events, {rate:.1} a second of which {:.0} % are bad need {burn:.0} s to make {:.1} % of all; \
         and {BURST} s from export to export, scrape {SCRAPE}, late samples {LATENESS}, evaluation {EVALUATION}",
        100.0 * bad,
        100.0 * limit
    );
    Ok((burn + BURST + SCRAPE + LATENESS + EVALUATION, computation))
}

/// The evaluation since which the page fires, in Unix seconds.
fn active_since(prometheus: &Forward) -> Result<f64> {
    let query = format!("ALERTS_FOR_STATE{{slo=\"{}\", slo_tier=\"fast\"}}", crate::incident::SLO);
    let since = wait("the page's beginning", || Ok(prometheus::query(&prometheus.url(), &query)?.pop()))?;
    Ok(since.value)
}

/// The alert with exactly these labels.
fn find(alertmanager: &Forward, labels: &Value) -> Result<Option<Value>> {
    Ok(alerts(alertmanager)?.into_iter().find(|alert| alert["labels"] == *labels))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn alerts(alertmanager: &Forward) -> Result<Vec<Value>> {
    let (_, text) = http_get(&format!("{}/api/v2/alerts", alertmanager.url()))?;
    serde_json::from_str(&text).context(text)
}
