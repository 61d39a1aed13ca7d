//! What runs where, drawn with the names and addresses of the pods. In: the stack. Out: text. It talks to the cluster.

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::{Stack, victoria_logs};

use crate::pager;
use crate::profiles::{EXPORTER, OPERATOR, Profile};
use crate::show::title;

/// Both stacks, and what both send to.
pub fn show(stack: &Stack) -> Result<()> {
    title("what runs here");
    println!("namespace {}\n", EXPORTER.namespace);
    let simulator = pod(stack, EXPORTER.namespace, "app.kubernetes.io/name=trakt-sim")?;
    println!("  {}:8090", text(&simulator));
    println!("    ▲ HTTP with traceparent");
    show_stack(stack, &EXPORTER, 8081, "OTLP :4317, from its sidecar")?;
    println!("\nnamespace {}\n", OPERATOR.namespace);
    println!("  API server");
    println!("    ▲ watches profiles, applies their children");
    show_stack(stack, &OPERATOR, 8080, "OTLP :4317")?;
    println!("\nnamespace {}\n", pager::NAMESPACE);
    let alertmanager = pod(stack, pager::NAMESPACE, "app.kubernetes.io/name=alertmanager")?;
    println!("  {}:9093 ◀─ alerts of both Prometheuses", text(&alertmanager));
    println!("\nnamespace {}\n", victoria_logs::NAMESPACE);
    let store = pod(stack, victoria_logs::NAMESPACE, "app.kubernetes.io/name=victoria-logs")?;
    println!("  {}:9428 ◀─ log records from the collectors", text(&store));
    Ok(())
}

fn show_stack(stack: &Stack, profile: &Profile, metrics: u16, spans: &str) -> Result<()> {
    let part = |component: &str, port: &str| {
        let labels =
            format!("app.kubernetes.io/instance={},app.kubernetes.io/component={component}", profile.name);
        Ok::<_, anyhow::Error>(format!("  {}{port} ", text(&pod(stack, profile.namespace, &labels)?)))
    };
    let application = format!("  {} ", text(&application(stack, profile)?));
    let (collector, jaeger) = (part("collector", "")?, part("jaeger", ":16686")?);
    let prometheus = part("prometheus", ":9090")?;
    let width = [&application, &collector, &jaeger, &prometheus].map(|text| text.chars().count());
    let width = width.into_iter().max().unwrap_or_default();
    let across = |text: &str, head: &str, rest: &str| {
        println!("{text}{head}{}{rest}", "─".repeat(width - text.chars().count()));
    };
    let beside = |text: &str| println!("{text:<width$}                     │");
    across(&application, "◀", &format!("─ scrape :{metrics} ─────┐"));
    beside(&format!("    │ {spans}"));
    beside("    ▼");
    across(&collector, "◀", "─ scrape :8889 ─────┤");
    beside("    │ OTLP :4317");
    beside("    ▼");
    beside(&jaeger);
    beside("");
    across(&prometheus, "─", "─ rules, alerts ────┘");
    Ok(())
}

fn text((name, address): &(String, String)) -> String {
    format!("{name}  {address}")
}

/// The pod of a profile's application: name and address.
pub fn application(stack: &Stack, profile: &Profile) -> Result<(String, String)> {
    pod(
        stack,
        profile.namespace,
        &format!("app.kubernetes.io/name={},!app.kubernetes.io/component", profile.name),
    )
}

/// The address of a profile's application.
pub fn application_address(stack: &Stack, profile: &Profile) -> Result<String> {
    application(stack, profile).map(|(_, address)| address)
}

/// Name and address of the newest pod with these labels.
fn pod(stack: &Stack, namespace: &str, labels: &str) -> Result<(String, String)> {
    let pods =
        stack.get(namespace, &format!("pods --selector={labels} --sort-by=.metadata.creationTimestamp"))?;
    let pod: &Value = pods["items"]
        .as_array()
        .and_then(|pods| pods.last())
        .with_context(|| format!("no pod in namespace {namespace} has the labels {labels}"))?;
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    Ok((word(&pod["metadata"]["name"]), word(&pod["status"]["podIP"])))
}
