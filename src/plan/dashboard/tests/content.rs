//! What the panels of each dashboard ask and say.

use super::*;
use crate::validate::Slo;

#[test]
fn every_type_of_instrument_has_its_panels() {
    let board = boards(&everything()).remove("metrics").expect("a dashboard");
    let app = r#"namespace="media",job="media/trakt-metrics""#;
    let cases = [
        (
            "films_exported_total per second",
            "short",
            vec![format!("sum(rate(films_exported_total{{{app}}}[$__rate_interval]))")],
        ),
        (
            "export_duration_seconds quantiles",
            "s",
            ["0.5", "0.95", "0.99"]
                .map(|quantile| {
                    let rate = format!("rate(export_duration_seconds_bucket{{{app}}}[$__rate_interval])");
                    format!("histogram_quantile({quantile}, sum by (le) ({rate}))")
                })
                .to_vec(),
        ),
        (
            "export_duration_seconds distribution",
            "cps",
            vec![format!("sum by (le) (rate(export_duration_seconds_bucket{{{app}}}[$__rate_interval]))")],
        ),
        (
            "export_duration_seconds recorded per second",
            "cps",
            vec![format!("sum(rate(export_duration_seconds_count{{{app}}}[$__rate_interval]))")],
        ),
        (
            "cache_hit_ratio",
            "percentunit",
            vec![format!("sum without (instance) (cache_hit_ratio{{{app}}})")],
        ),
        ("active_operations", "short", vec![format!("sum(active_operations{{{app}}})")]),
    ];
    for (title, unit, expected) in cases {
        let panel = panel(&board, title);
        assert_eq!(expressions(panel), expected, "{title}");
        assert_eq!(panel["fieldConfig"]["defaults"]["unit"], unit, "{title}");
    }
    let films = panel(&board, "films_exported_total per second");
    assert_eq!(films["fieldConfig"]["defaults"]["custom"]["axisLabel"], "film/s");
    assert!(films["description"].as_str().is_some_and(|text| text.contains("Films that were exported. ")));
}

/// Text that each of the readers of a dashboard would act on.
const NASTY: &str = r#"{{pod}} $datasource ${__all_variables} [[x]] "q" \ <<instrument>>
# <script>alert(1)</script> | **b** `c` [l](javascript:x) &amp;"#;

#[test]
fn descriptions_are_only_shown() {
    let mut profile = everything();
    let clean = boards(&profile).remove("metrics").expect("a dashboard");
    for instrument in &mut profile.metrics.as_mut().expect("metrics").instruments {
        instrument.description = Some(NASTY.to_owned());
    }
    let board = boards(&profile).remove("metrics").expect("a dashboard");
    assert_eq!(titles(&board), titles(&clean));
    for (dirty, clean) in panels(&board).iter().zip(panels(&clean)) {
        let mut rest = dirty.clone();
        if let Some(description) = rest.get_mut("description") {
            *description = clean["description"].clone();
        }
        assert_eq!(&rest, clean, "a description reaches nothing but the description");
    }
    for title in ["films_exported_total per second", "export_duration_seconds quantiles", "active_operations"]
    {
        let text = panel(&board, title)["description"].as_str().expect("a description");
        assert!(text.contains("alert(1)"), "{text}");
        assert!(!text.contains(['$', '{', '[', '<', '>', '`', '*', '"', '\n', '|', '\\']), "{text}");
    }
}

#[test]
fn as_many_instruments_and_slos_as_there_may_be_fit() {
    let mut profile = everything();
    let metrics = profile.metrics.as_mut().expect("metrics");
    let mut instrument = metrics.instruments[1].clone();
    instrument.description = Some("$".repeat(253));
    instrument.unit = Some("{characters_of_an_instrument...}".to_owned());
    metrics.instruments = (0..100)
        .map(|number| {
            instrument.name = format!("n{number:02}{}", "n".repeat(125));
            instrument.clone()
        })
        .collect();
    let slo = profile.slos[0].clone();
    profile.slos = (0..20)
        .map(|number| Slo { name: format!("s{number:02}{}", "s".repeat(60)), ..slo.clone() })
        .collect();
    for child in plan(&profile).expect("a plan") {
        let bytes = text(&child).len();
        // A ConfigMap holds 1 MiB.
        assert!(bytes < 1_000_000, "{} has {bytes} bytes", child.name);
    }
}

#[test]
fn sampling_is_told() {
    let profiles: BTreeMap<_, _> = table().into_iter().collect();
    let descriptions = |name: &str| {
        let boards = boards(&profiles[name]);
        let of =
            |title: &str| panel(&boards["traces"], title)["description"].as_str().expect("text").to_owned();
        (of("Spans per second"), of("Newest traces"))
    };
    let (counted, kept) = descriptions("sampled");
    assert!(
        counted.contains("All spans are counted, although only 25 % of the traces are kept."),
        "{counted}"
    );
    assert!(kept.contains("The collector keeps 25 % of the traces."), "{kept}");
    let (counted, kept) = descriptions("sampled by the SDK");
    assert!(counted.contains("sends only a share of 0.25 of its traces"), "{counted}");
    assert!(kept.contains("sends only a share of 0.25 of its traces"), "{kept}");
    let (counted, kept) = descriptions("minimal");
    assert!(!counted.contains("share of 0") && !kept.contains("keeps"), "{counted} {kept}");
}

#[test]
fn slos_show_where_their_alerts_fire() {
    let board = boards(&everything()).remove("slos").expect("a dashboard");
    assert_eq!(board["time"]["from"], "now-30d", "the longest window");
    let slo = r#"namespace="media",telemetry_profile="trakt",slo="availability""#;
    let burn = panel(&board, "Burn rate by window, last day");
    assert_eq!(expressions(burn)[0], format!("max(slo:burn_rate:5m{{{slo}}})"));
    assert_eq!(expressions(burn).len(), slo::BURN_RATES.len());
    let steps = burn["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().expect("steps");
    let lines: Vec<_> =
        steps.iter().map(|step| (step["color"].as_str().unwrap_or(""), step["value"].as_f64())).collect();
    assert_eq!(
        lines,
        [
            ("green", None),
            ("orange", Some(1.0)),
            ("orange", Some(3.0)),
            ("red", Some(6.0)),
            ("red", Some(14.4))
        ]
    );
    let share = panel(&board, "Share of bad events");
    assert_eq!(share["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"], 0.005);

    let profiles: BTreeMap<_, _> = table().into_iter().collect();
    let silent = boards(&profiles["no alerts"]).remove("slos").expect("a dashboard");
    assert!(!titles(&silent).contains(&"Firing alerts"), "{:?}", titles(&silent));
    let burn = panel(&silent, "Burn rate by window, last day");
    assert_eq!(burn["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().map(Vec::len), Some(1));
}

#[test]
fn lines_ascend_for_every_window() {
    for window in ["7d", "14d", "28d", "90d"] {
        let spec = SLOS.replace("objective: \"99.5\"", &format!("objective: \"99.9\", window: {window}"));
        let board = boards(&fixture(&format!("{BASE}{spec}"))).remove("slos").expect("a dashboard");
        let burn = panel(&board, "Burn rate by window, last day");
        let steps = burn["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().expect("steps");
        let lines: Vec<_> = steps.iter().filter_map(|step| step["value"].as_f64()).collect();
        assert!(lines.len() == 4 && lines.is_sorted_by(|a, b| a < b), "{window}: {lines:?}");
    }
}

#[test]
fn logs_are_parsed_as_they_are_written_and_lead_to_their_traces() {
    let profiles: BTreeMap<_, _> = table().into_iter().collect();
    let of = |name: &str| boards(&profiles[name]).remove("logs").expect("a dashboard");
    let selector = r#"{service_name="export-trakt-4-letterboxd"}"#;
    assert_eq!(expressions(panel(&of("text logs"), "Newest records")), [selector]);
    let json = of("everything");
    assert!(expressions(panel(&json, "Newest records"))[0].starts_with(&format!("{selector} | json")));
    let links = |board: &Value| {
        strings(panel(board, "Newest errors")).into_iter().filter(|t| t.starts_with("/explore")).count()
    };
    assert_eq!(links(&json), 1);
    assert_eq!(links(&of("only logs")), 0, "without traces there is nowhere to go");
}

#[test]
fn the_link_to_a_trace_is_what_explore_reads() {
    let board = boards(&everything()).remove("logs").expect("a dashboard");
    let texts = strings(&board);
    let url =
        texts.iter().find_map(|text| text.strip_prefix("/explore?schemaVersion=1&panes=")).expect("a link");
    let mut decoded = url.to_owned();
    for (code, c) in
        [("%7B", "{"), ("%7D", "}"), ("%22", "\""), ("%3A", ":"), ("%2C", ","), ("%5B", "["), ("%5D", "]")]
    {
        decoded = decoded.replace(code, c);
    }
    let panes: Value = serde_json::from_str(&decoded).expect("JSON once it is decoded");
    assert_eq!(panes["trace"]["datasource"], "${jaeger_datasource}");
    assert_eq!(panes["trace"]["queries"][0]["query"], "${__value.raw}");
}

#[test]
fn the_traces_of_the_service_are_searched() {
    let board = boards(&everything()).remove("traces").expect("a dashboard");
    for title in ["Newest traces", "Newest traces with an error"] {
        let panel = panel(&board, title);
        assert_eq!(panel["targets"][0]["service"], "export-trakt-4-letterboxd");
        assert_eq!(panel["targets"][0]["queryType"], "search");
        assert_eq!(panel["targets"][0]["datasource"]["uid"], "${jaeger_datasource}");
    }
}

/// What a search by tags gives depends on the storage: tests/it/jaeger.rs has the answers of each.
#[test]
fn failed_traces_are_searched_as_their_back_end_knows_them() {
    for (traces, tag) in [
        ("", "otel.status_code=ERROR"),
        ("traces: {jaeger: {storage: Badger}}", "error=true"),
        ("traces: {endpoint: 'http://tempo:4317'}", "error=true"),
    ] {
        let board = boards(&fixture(&format!("{BASE}{traces}"))).remove("traces").expect("a dashboard");
        assert_eq!(panel(&board, "Newest traces with an error")["targets"][0]["tags"], tag, "{traces}");
        // Of a Jaeger of its own every span is the application's.
        let map = titles(&board).contains(&"Services and who calls whom");
        assert_eq!(map, traces.contains("endpoint"), "{traces}");
    }
}

#[test]
fn the_way_of_each_signal_through_the_collector_is_shown() {
    let boards = boards(&everything());
    for (view, metric, queue) in [("traces", "spans", "traces"), ("logs", "log_records", "logs")] {
        let board = &boards[view];
        let received = expressions(panel(board, "Received and refused"))[0];
        assert!(
            received.starts_with(&format!("sum(rate(otelcol_receiver_accepted_{metric}_total{{")),
            "{received}"
        );
        assert!(expressions(panel(board, "Queue"))[0].contains(&format!("data_type=\"{queue}\"")), "{view}");
    }
    assert!(!titles(&boards["metrics"]).contains(&"Queue"), "metrics are scraped");
}

#[test]
fn an_slo_of_time_has_time_left_and_others_have_events() {
    let board = boards(&everything()).remove("slos").expect("a dashboard");
    let unit = |title: &str| panel(&board, title)["fieldConfig"]["defaults"]["unit"].clone();
    assert_eq!((unit("Bad events left"), unit("Time left")), ("short".into(), "s".into()));
    let events = expressions(panel(&board, "Bad events left"))[0];
    assert!(events.starts_with("1 * min(0.005 * slo:events:period{"), "{events}");
    let time = expressions(panel(&board, "Time left"))[0];
    assert!(time.starts_with("30 * min(0.1 * slo:events:period{"), "{time}");
    let lasts = expressions(panel(&board, "Budget lasts for"))[0];
    assert!(lasts.contains(" * 2592000 / "), "{lasts}");
}

#[test]
fn alerts_lead_to_their_runbooks() {
    for (base, link) in [
        (
            "",
            "https://github.com/telemetry-operator/telemetry-operator/blob/main/docs/runbooks/${__value.raw}.md",
        ),
        (
            "alerting: {runbookBaseURL: 'https://runbooks.example/x'}\n",
            "https://runbooks.example/x/${__value.raw}",
        ),
    ] {
        let board = boards(&fixture(&format!("{BASE}{SLOS}{base}"))).remove("slos").expect("a dashboard");
        let alerts = panel(&board, "Alerts now, with their runbooks");
        assert!(strings(alerts).contains(&link), "{alerts}");
        // The names of the files, as the table makes them.
        let expression = expressions(alerts)[0];
        for file in ["error-budget-burn-$1", "slo-metric-absent"] {
            assert!(expression.contains(&format!("\"{file}\"")), "{expression}");
        }
    }
}

#[test]
fn what_would_always_be_empty_is_left_out() {
    for (name, profile) in table() {
        for (view, board) in boards(&profile) {
            let text = board.to_string();
            let forbid = |word: &str, why: &str| {
                assert!(!text.contains(word), "{name}, {view}: {word}, although {why}")
            };
            if profile.traces.is_none() {
                forbid(pipeline::SPAN_METRICS_NAMESPACE, "traces are off");
                forbid("jaeger", "traces are off");
            }
            if profile.metrics.is_none() {
                forbid("prometheus", "metrics are off");
            }
            let rows: Vec<_> = panels(&board).iter().map(|panel| panel["type"] == "row").collect();
            assert!(
                !rows.windows(2).any(|pair| pair[0] && pair[1]) && rows.last() == Some(&false),
                "{name}, {view}: an empty row"
            );
        }
    }
    let board = boards(&fixture(BASE)).remove("metrics").expect("a dashboard");
    assert!(!titles(&board).contains(&"Instruments"));
}
