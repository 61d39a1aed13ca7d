//! An incident: the service that the exporter reads from fails one call in five. In: the stack. Out: the burn rate before
//! and while it lasts, the alert that fires, and what explains it. It talks to Prometheus, Jaeger and the simulator.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Forward, Stack, http, prometheus};

use crate::metrics;
use crate::profiles::EXPORTER;
use crate::show::{Progress, title, wait, wait_for};
use crate::traces;

const SLO: &str = "api-calls";
/// How long the alert may take. It has no `for`: it fires with the first evaluation, every 30 s, in which both windows burn.
/// While the records are young, both begin with the first sample, and so the burn rate over an hour follows at once.
const PATIENCE: Duration = Duration::from_secs(300);
/// How far back the records are read: everything since the node was started.
const LOOK_BACK: &str = "15m";

/// Waits until all has been well for long enough to be seen in the records.
pub fn wait_for_calm(stack: &Stack) -> Result<()> {
    let prometheus = metrics::of(stack, &EXPORTER)?;
    wait("two evaluations with a burn rate below 1", || {
        let history = history(&prometheus, "1h")?;
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
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let mut told = begun;
    let alert = wait_for("the page", PATIENCE, || {
        if let Some((time, rate)) = history(&prometheus, "5m")?.pop().filter(|(time, _)| *time > told) {
            progress.say(&format!("burn rate {rate:.1} over 5m"));
            told = time;
        }
        firing(&prometheus)
    })?;
    show_history(&prometheus, begun)?;
    show_alert(&alert);
    traces::show_failed_export(stack)?;
    progress.say(
        "the incident ends; the page ends when the burn rate over 5m is low again, in some four minutes",
    );
    behave(&simulator, &json!({}))
}

/// The burn rates over this window that were recorded in the last minutes.
fn history(prometheus: &Forward, window: &str) -> Result<Vec<(f64, f64)>> {
    let selector = format!("slo:burn_rate:{window}{{slo=\"{SLO}\"}}[{LOOK_BACK}]");
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
    let (short, long) = (history(prometheus, "5m")?, history(prometheus, "1h")?);
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
