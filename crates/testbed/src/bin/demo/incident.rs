//! An incident: the service that the exporter reads from fails one call in five. In: the stack. Out: the burn rate before
//! and while it lasts, the alert that fires, and what explains it. It talks to Prometheus, Jaeger and the simulator.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Forward, Stack, http, prometheus};

use crate::metrics;
use crate::pager::{self, EVALUATION, Incident};
use crate::profiles::EXPORTER;
use crate::show::{Progress, now, title, wait, wait_for};
use crate::traces;

/// The SLO that it hurts.
pub const SLO: &str = "api-calls";
/// How long the alert may take. It has no `for`: it fires with the first evaluation, every 30 s, in which both windows burn.
/// While the records are young, both begin with the first sample, and so the burn rate over an hour follows at once.
const PATIENCE: Duration = Duration::from_secs(300);
/// How far back the records are read: everything since the node was started.
const LOOK_BACK: &str = "15m";

/// Waits until all has been well for long enough to be seen in the records.
pub fn wait_for_calm(stack: &Stack) -> Result<()> {
    let prometheus = metrics::of(stack, &EXPORTER)?;
    wait("two evaluations with a burn rate below 1", || {
        let history = history(&prometheus, "slo:burn_rate:1h")?;
        let calm = history.iter().rev().take_while(|(_, rate)| *rate < 1.0).count();
        ensure!(calm >= 2, "{history:?}");
        Ok(Some(()))
    })
}

/// Plays it and shows it.
pub fn play(stack: &Stack, progress: &Progress) -> Result<()> {
    let prometheus = metrics::of(stack, &EXPORTER)?;
    let simulator = stack.node().forward(EXPORTER.namespace, "trakt-sim", 8090)?;
    progress.say("the incident begins: the service answers one call in five with an error");
    behave(&simulator, &json!({"error_rate": 0.2}))?;
    let begun = now()?;
    let mut told = begun;
    let alert = wait_for("the page", PATIENCE, || {
        if let Some((time, rate)) =
            history(&prometheus, "slo:burn_rate:5m")?.pop().filter(|(time, _)| *time > told)
        {
            progress.say(&format!("burn rate {rate:.1} over 5m"));
            told = time;
        }
        firing(&prometheus)
    })?;
    pager::show(stack, &prometheus, &alert, &measured(&prometheus, begun)?)?;
    show_history(&prometheus, begun)?;
    show_alert(&alert);
    traces::show_failed_export(stack)?;
    progress.say(
        "the incident ends; the page ends when the burn rate over 5m is low again, in some four minutes",
    );
    behave(&simulator, &json!({}))
}

/// What the SLO has counted before and since.
fn measured(prometheus: &Forward, begun: f64) -> Result<Incident> {
    // A record has the events of the half minute up to 15 s ago: the first ones have more from before than since.
    let counts = |record| -> Result<(Vec<f64>, Vec<f64>)> {
        let (since, before): (Vec<_>, Vec<_>) =
            history(prometheus, record)?.into_iter().partition(|(time, _)| *time > begun + 30.0);
        let counts = |records: Vec<(f64, f64)>| records.into_iter().map(|(_, count)| count).collect();
        Ok((counts(before), counts(since)))
    };
    let (before, since) = counts("slo:events:increase")?;
    let (_, bad) = counts("slo:bad_events:increase")?;
    let evaluations: f64 = since.iter().map(|_| EVALUATION).sum();
    let (since, bad): (f64, f64) = (since.iter().sum(), bad.iter().sum());
    Ok(Incident { begun, before: before.iter().sum(), rate: since / evaluations, bad: bad / since })
}

/// What was recorded for the SLO in the last minutes.
fn history(prometheus: &Forward, record: &str) -> Result<Vec<(f64, f64)>> {
    let selector = format!("{record}{{slo=\"{SLO}\"}}[{LOOK_BACK}]");
    let series = prometheus::history(&prometheus.url(), &selector)?;
    series.into_iter().next().with_context(|| format!("no sample of {selector} yet"))
}

/// The page of the fast tier, once it fires.
fn firing(prometheus: &Forward) -> Result<Option<Value>> {
    let alerts = prometheus::ask(&prometheus.url(), "/api/v1/alerts")?;
    let mut alerts = alerts["alerts"].as_array().cloned().unwrap_or_default().into_iter();
    Ok(alerts.find(|alert| {
        let labels = &alert["labels"];
        alert["state"] == "firing" && labels["slo"] == SLO && labels["slo_tier"] == "fast"
    }))
}

fn show_history(prometheus: &Forward, begun: f64) -> Result<()> {
    title(&format!(
        "the burn rates of SLO {SLO} in Prometheus' records, by seconds since the incident began"
    ));
    println!("{:>8}  {:>8}  {:>8}", "seconds", "over 5m", "over 1h");
    let (short, long) = (history(prometheus, "slo:burn_rate:5m")?, history(prometheus, "slo:burn_rate:1h")?);
    for ((time, short), (_, long)) in short.into_iter().zip(long) {
        println!("{:>+8.0}  {short:>8.1}  {long:>8.1}", time - begun);
    }
    Ok(())
}

fn show_alert(alert: &Value) {
    title("the alert that fires");
    let word = |group: &str, key: &str| alert[group][key].as_str().unwrap_or_default().to_owned();
    let labels = ["alertname", "severity", "slo", "slo_tier", "team"]
        .map(|key| format!("{key}={}", word("labels", key)));
    println!("{} {}", alert["state"].as_str().unwrap_or_default(), labels.join(" "));
    println!("{}\n{}", word("annotations", "summary"), word("annotations", "description"));
}

fn behave(simulator: &Forward, behaviour: &Value) -> Result<()> {
    let (status, answer) =
        http("PUT", &format!("{}/sim/behaviour", simulator.url()), &behaviour.to_string())?;
    ensure!(status == 200, "the simulator answers {status}: {answer}");
    Ok(())
}
