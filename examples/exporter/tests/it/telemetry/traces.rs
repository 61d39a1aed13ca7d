//! One run is one trace: what Trakt was asked, what Jaeger has, and what was logged are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use exporter::simulator::{Behaviour, Simulator};
use serde_json::Value;
use testbed::{Daemon, Directory, Readiness, Span, wait_until};

use super::stack::*;
use crate::common::*;

const PARTS: [&str; 3] = ["export.movies", "export.ratings", "export.watchlist"];

/// `--once`, and its only trace and correlation id.
fn once(simulator: &Simulator, directory: &Directory) -> (Output, String, String) {
    let collector = backends().collector();
    let cache = directory.path().join("cache");
    let arguments = ["--once", "--config", CONFIG, "--cache", cache.to_str().expect("a path")];
    let mut command = program(&simulator.url(), directory.path(), &arguments);
    let output = command.envs(environment(&collector.grpc_endpoint()).0).output().expect("the exporter");

    let of = |value: Option<String>| value.expect("trace context and correlation id in every request");
    let asked = asked(simulator);
    let traces: BTreeSet<_> = asked.iter().map(|asked| of(asked.context.clone().map(|ids| ids.0))).collect();
    let correlations: BTreeSet<_> = asked.iter().map(|asked| of(asked.correlation.clone())).collect();
    assert_eq!((traces.len(), correlations.len()), (1, 1), "{traces:?} {correlations:?}");
    let only = |set: BTreeSet<String>| set.into_iter().next().expect("one");
    (output, only(traces), only(correlations))
}

/// What every span has, and whose child each one is.
fn assert_one_run(spans: &[Span], correlation: &str) {
    let root = named(spans, "export");
    assert_eq!(root.parent, None);
    let parts = PARTS.map(|name| named(spans, name));
    for span in spans {
        assert_eq!(span.tag("correlation.id"), correlation, "{span:#?}");
        let call = span.name.starts_with("api.");
        assert_eq!(span.tag("span.kind"), if call { "client" } else { "internal" }, "{span:#?}");
        for (key, value) in [
            ("service.name", "export-trakt-4-letterboxd"),
            ("service.version", "1.0.0"),
            ("deployment.environment.name", "production"),
        ] {
            // Jaeger shows the name on its own.
            let of_resource = span.resource.get(key).map(String::as_str);
            assert!(key == "service.name" || of_resource == Some(value), "{key}: {span:#?}");
        }
        assert_eq!(span.tag("service.name"), "export-trakt-4-letterboxd", "{span:#?}");
    }
    for part in parts {
        assert_eq!(part.parent.as_ref(), Some(&root.id), "{part:#?}");
    }
    let [movies, ratings, watchlist] = parts;
    for span in spans.iter().filter(|span| span.name.starts_with("api.")) {
        let part = match span.name.as_str() {
            "api.sync/history/movies" => [movies, movies],
            "api.sync/ratings/movies" => [ratings, ratings],
            "api.sync/watchlist/movies" => [watchlist, watchlist],
            // The first part that needs it asks, and whoever reads several pages asks again.
            "api.sync/last_activities" => [ratings, movies],
            name => panic!("a span called {name}"),
        };
        assert!(part.iter().any(|part| span.parent.as_ref() == Some(&part.id)), "{span:#?}");
    }
}

/// That lines and OTLP records are the same ones, of spans that Jaeger has.
fn assert_logged(lines: &[Value], spans: &[Span], trace: &str, correlation: &str) {
    let known: BTreeSet<_> = spans.iter().map(|span| span.id.clone()).collect();
    for line in lines {
        assert_eq!(
            (&line["trace_id"], &line["correlation_id"]),
            (&trace.into(), &correlation.into()),
            "{line}"
        );
        assert!(known.contains(&text(&line["span_id"])), "{line} is of no span in {known:?}");
    }
    let records = backends().log_records(correlation, lines.len());
    let mut sent: Vec<_> = records
        .iter()
        .map(|record| [&record["traceId"], &record["spanId"], &record["body"]["stringValue"]].map(text))
        .collect();
    let mut written: Vec<_> =
        lines.iter().map(|line| [&line["trace_id"], &line["span_id"], &line["message"]].map(text)).collect();
    sent.sort();
    written.sort();
    assert_eq!(sent, written);
}

fn count(lines: &[Value], message: &str) -> usize {
    lines.iter().filter(|line| line["message"] == message).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_with_a_span_for_every_attempt_and_its_log_lines_belong_to_it() {
    let simulator = simulator(size(450, 150, 30), 3).await;
    simulator.behave(Behaviour { error_rate: 0.2, ..Behaviour::default() }).expect("a behaviour");
    let directory = Directory::create("exporter").expect("a directory");
    let (output, trace, correlation) = once(&simulator, &directory);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_exported(&directory.path().join("out"), &simulator);

    let asked = asked(&simulator);
    let failed = asked.iter().filter(|asked| asked.status != 200).count();
    assert!(failed > 0, "nothing went wrong");
    let spans = backends().spans(&trace, asked.len() + 4);
    assert_one_run(&spans, &correlation);

    let calls: BTreeMap<_, _> =
        spans.iter().filter(|span| span.name.starts_with("api.")).map(|span| (&span.id, span)).collect();
    assert_eq!(calls.len(), asked.len(), "a span that is no request");
    for asked in &asked {
        let (_, id) = asked.context.as_ref().expect("a trace context");
        let span = calls[id];
        assert_eq!(span.name, format!("api.{}", asked.endpoint));
        assert_eq!(span.tag("http.response.status_code"), asked.status.to_string());
        let events: Vec<_> = span.events.iter().map(|event| event["event"].as_str()).collect();
        let expected: &[_] = if asked.status == 200 { &[] } else { &["exception"] };
        assert_eq!((is_failed(span), events.as_slice()), (asked.status != 200, expected), "{span:#?}");
        for event in &span.events {
            let told = format!("Trakt is in trouble ({})", asked.status);
            assert!(event["exception.message"].contains(&told), "{event:?}");
        }
    }
    // What went well in the end is no failure.
    assert!(!["export"].iter().chain(&PARTS).any(|name| is_failed(named(&spans, name))));

    let lines = json_lines(&stderr);
    assert_eq!([count(&lines, "export.done"), count(&lines, "trying again")], [3, failed]);
    assert_eq!(lines.len(), 3 + failed, "{stderr}");
    assert_logged(&lines, &spans, &trace, &correlation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_marked_from_the_attempt_up_to_the_root() {
    let simulator = simulator(size(10, 10, 10), 3).await;
    simulator.behave(Behaviour { malformed_rate: 1.0, ..Behaviour::default() }).expect("a behaviour");
    let directory = Directory::create("exporter").expect("a directory");
    let (output, trace, correlation) = once(&simulator, &directory);
    assert_eq!(output.status.code(), Some(1));

    let spans = backends().spans(&trace, asked(&simulator).len() + 4);
    for span in &spans {
        assert!(is_failed(span), "{span:#?}");
        assert_eq!(span.events.len(), 1, "{span:#?}");
        let told = if span.name == "export" {
            "failed: export.ratings, export.movies, export.watchlist"
        } else {
            "is not what Trakt's API documents"
        };
        assert!(span.tag("otel.status_description").contains(told), "{span:#?}");
    }
    // What is for people follows the lines for machines.
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = stderr.lines().filter(|line| !line.starts_with("error: ")).collect();
    let lines = json_lines(&lines.join("\n"));
    assert_eq!((count(&lines, "export.failed"), lines.len()), (3, 3), "{stderr}");
    assert_logged(&lines, &spans, &trace, &correlation);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_of_a_schedule_is_a_trace_of_its_own() {
    let simulator = simulator(size(10, 10, 10), 3).await;
    let directory = Directory::create("exporter").expect("a directory");
    let collector = backends().collector();
    let mut command = program(&simulator.url(), directory.path(), &["--schedule", "1s", "--config", CONFIG]);
    command.envs(environment(&collector.grpc_endpoint()).0);
    let mut process = Daemon::start("exporter", command, &directory.path().join("log"), Readiness::Spawned)
        .expect("a start");
    wait_until("two runs", PLENTY, || Ok((simulator.requests("/sync/watchlist/movies") >= 2).then_some(())))
        .expect("two runs");
    assert_eq!(process.terminate().expect("an end").code(), Some(0));

    let mut runs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for asked in asked(&simulator) {
        let (trace, _) = asked.context.expect("a trace context");
        runs.entry((trace, asked.correlation.expect("an id"))).or_default().push(asked.endpoint);
    }
    let distinct = |ids: Vec<&String>| ids.into_iter().collect::<BTreeSet<_>>().len();
    assert!(runs.len() >= 2);
    assert_eq!(distinct(runs.keys().map(|run| &run.0).collect()), runs.len());
    assert_eq!(distinct(runs.keys().map(|run| &run.1).collect()), runs.len());
    for ((trace, correlation), endpoints) in &runs {
        assert_one_run(&backends().spans(trace, endpoints.len() + 4), correlation);
    }
}
