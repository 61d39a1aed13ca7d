//! Traces as trees, and the log lines that belong to them. In: the stack. Out: text. It talks to Jaeger, to VictoriaLogs and to the
//! cluster.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::{Forward, Span, Stack, http_get, spans_of_service, spans_of_trace, victoria_logs};

use crate::profiles::{EXPORTER, OPERATOR, Profile};
use crate::show::{line, title, wait};

/// How many traces Jaeger is asked for.
const TRACES: u32 = 200;
/// How many spans of one name are shown side by side.
const ALIKE: usize = 3;
/// What is told of a span, as far as it has it.
const ATTRIBUTES: [&str; 9] = [
    "profile",
    "trigger",
    "result",
    "kind",
    "name",
    "verb",
    "http.method",
    "http.status_code",
    "otel.status_description",
];

/// The reconcile that has made the application's children, and what the operator has logged of it.
pub fn show_reconcile(stack: &Stack) -> Result<()> {
    let jaeger = jaeger(stack, &OPERATOR)?;
    let trace = wait("the trace of the reconcile in the operator's Jaeger", || {
        find(&jaeger, &OPERATOR, |spans| {
            let root =
                spans.iter().any(|span| span.name == "reconcile" && span.tag("profile") == EXPORTER.name);
            root && spans.iter().any(|span| span.tag("verb") == "created")
        })
    })?;
    title(&format!("the reconcile that has made them: trace {} in the operator's own Jaeger", id(&trace)));
    show_tree(&trace);
    show_log_line(stack, &OPERATOR, id(&trace), "reconciled")
}

/// An export of an application that knows nothing of the operator, hop by hop.
pub fn show_export(stack: &Stack) -> Result<()> {
    let jaeger = jaeger(stack, &EXPORTER)?;
    let trace = wait("the trace of an export in the application's Jaeger", || {
        find(&jaeger, &EXPORTER, |spans| {
            spans.iter().any(|span| span.name == "export" && span.parent.is_none())
        })
    })?;
    title(&format!("an export: trace {} in the application's Jaeger", id(&trace)));
    show_tree(&trace);
    show_hops(stack, &trace)?;
    show_log_line(stack, &EXPORTER, id(&trace), "export.done")?;
    show_stored_records(stack, id(&trace))
}

/// The trace's records in the log store, oldest first: what Grafana shows when it goes from a trace to its logs.
fn show_stored_records(stack: &Stack, trace: &str) -> Result<()> {
    let store = victoria_logs::forward(stack)?;
    let query = format!("trace_id:={trace} | sort by (_time)");
    let records = wait("the log records of the export's trace in the log store", || {
        let records = victoria_logs::records(&store.url(), &query)?;
        Ok(records.iter().any(|record| record["_msg"] == "export.done").then_some(records))
    })?;
    title(&format!("the same trace's records in the log store: {query}"));
    for record in &records {
        let field = |name: &str| record[name].as_str().unwrap_or_default();
        line(&["_time", "severity_text", "service.name", "span_id", "_msg"].map(field).join("  "));
    }
    Ok(())
}

/// Where the trace has been: each hop has left something that the one before could not know.
fn show_hops(stack: &Stack, trace: &[Span]) -> Result<()> {
    let simulator = stack.node().forward(EXPORTER.namespace, "trakt-sim", 8090)?;
    let (_, books) = http_get(&format!("{}/sim/requests", simulator.url()))?;
    let books: Value = serde_json::from_str(&books)?;
    let mut parents = books["latest"].as_array().into_iter().flatten().map(|request| &request["traceparent"]);
    let example = parents.find_map(|parent| parent.as_str().filter(|text| text.contains(id(trace))));
    let root = trace.iter().find(|span| span.parent.is_none()).context("the trace has no root")?;
    let of_resource = |keys: [&str; 2]| {
        keys.map(|key| format!("{key}={}", root.resource.get(key).map_or("", String::as_str))).join(" ")
    };
    let injected = of_resource(["k8s.deployment.name", "k8s.container.name"]);
    let written = of_resource(["service.version", "deployment.environment.name"]);
    println!();
    println!(
        "exporter to Trakt      a request arrived with traceparent {}",
        example.unwrap_or("(forgotten)")
    );
    println!(
        "exporter to sidecar    by the variables that came with it, which tell where it runs: {injected}"
    );
    println!("sidecar to collector   which has written what the profile says: {written}");
    println!("collector to Jaeger    which has given back the {} spans above", trace.len());
    Ok(())
}

/// The newest failed export: which attempts have failed, and what the application has logged.
pub fn show_failed_export(stack: &Stack) -> Result<()> {
    let jaeger = jaeger(stack, &EXPORTER)?;
    let failed = |span: &Span| span.name.starts_with("api.") && span.tag("otel.status_code") == "ERROR";
    let trace = wait("the trace of an export with failed calls", || {
        find(&jaeger, &EXPORTER, |spans| {
            spans.iter().any(|span| span.name == "export") && spans.iter().any(failed)
        })
    })?;
    // Read again: the newest spans may have come after the first question.
    let trace = spans_of_trace(&jaeger.url(), id(&trace))?;
    title(&format!("why: failed calls in the latest such export, trace {}", id(&trace)));
    for span in trace.iter().filter(|span| failed(span)) {
        line(&describe(span));
    }
    show_log_line(stack, &EXPORTER, id(&trace), "trying again")
}

fn jaeger(stack: &Stack, profile: &Profile) -> Result<Forward> {
    stack.jaeger(profile.namespace, profile.name)
}

/// The newest trace of a profile's service for which `wanted` holds.
fn find(jaeger: &Forward, profile: &Profile, wanted: impl Fn(&[Span]) -> bool) -> Result<Option<Vec<Span>>> {
    let mut spans = spans_of_service(&jaeger.url(), profile.name, TRACES)?;
    spans.sort_by(|one, other| one.trace.cmp(&other.trace));
    let traces = spans.chunk_by(|one, other| one.trace == other.trace).filter(|spans| wanted(spans));
    Ok(traces.max_by_key(|spans| begin(spans)).map(<[Span]>::to_vec))
}

fn begin(spans: &[Span]) -> Duration {
    spans.iter().map(|span| span.start).min().unwrap_or_default()
}

fn id(spans: &[Span]) -> &str {
    spans.first().map_or("", |span| &span.trace)
}

/// The newest line of a trace with this message, and how many there are besides.
fn show_log_line(stack: &Stack, profile: &Profile, trace: &str, message: &str) -> Result<()> {
    let Profile { namespace, name, .. } = profile;
    let command = format!("logs -n {namespace} deployment/{name}");
    title(&format!("a log line with the same trace_id: kubectl {command}"));
    let log = stack.kubectl(&command)?;
    let lines: Vec<_> = log.lines().filter(|line| line.contains(trace)).collect();
    let found = lines.iter().rfind(|line| line.contains(&format!("\"{message}\"")));
    println!("{}", found.with_context(|| format!("no line of trace {trace} says {message}"))?);
    println!("… and {} more lines with it", lines.len() - 1);
    Ok(())
}

/// One line a span; of many that are alike, the first ones.
fn show_tree(spans: &[Span]) {
    for root in spans.iter().filter(|span| span.parent.is_none()) {
        branch(spans, root, 0);
    }
}

fn branch(spans: &[Span], span: &Span, depth: usize) {
    let indent = "  ".repeat(depth);
    line(&format!("{indent}{}", describe(span)));
    let mut children: Vec<_> = spans.iter().filter(|child| child.parent.as_ref() == Some(&span.id)).collect();
    children.sort_by_key(|child| child.start);
    for alike in children.chunk_by(|one, other| one.name == other.name) {
        for child in alike.iter().take(ALIKE) {
            branch(spans, child, depth + 1);
        }
        if alike.len() > ALIKE {
            println!("{indent}  … and {} more {}", alike.len() - ALIKE, alike[0].name);
        }
    }
}

fn describe(span: &Span) -> String {
    let told = ATTRIBUTES.iter().filter_map(|key| span.tags.get(*key).map(|value| format!("{key}={value} ")));
    format!("{}  {}{:.1} ms", span.name, told.collect::<String>(), span.duration.as_secs_f64() * 1000.0)
}
