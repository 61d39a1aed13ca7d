//! Rules for every dashboard of the table: those of Grafana's dashboard linter that fit dashboards of one fixed job, and
//! what Grafana needs to load a file at all.

use std::collections::BTreeSet;

use promql_parser::parser::{self, Expr};
use serde_json::Value;

use super::{boards, panels, strings, table};

/// Units of Grafana that our dashboards may use.
const UNITS: [&str; 34] = [
    "none",
    "short",
    "percent",
    "percentunit",
    "bool",
    "ns",
    "µs",
    "ms",
    "s",
    "m",
    "h",
    "d",
    "bytes",
    "deckbytes",
    "decmbytes",
    "decgbytes",
    "kbytes",
    "mbytes",
    "gbytes",
    "decbits",
    "binBps",
    "bps",
    "KiBs",
    "MiBs",
    "GiBs",
    "KBs",
    "MBs",
    "GBs",
    "hertz",
    "celsius",
    "cps",
    "ops",
    "reqps",
    "volt",
];

/// Panel types without values of their own.
const UNITLESS: [&str; 2] = ["row", "logs"];

fn each_board(check: impl Fn(&str, &Value)) {
    for (name, profile) in table() {
        for (view, board) in boards(&profile) {
            check(&format!("{name}, {view}"), &board);
        }
    }
}

fn each_panel(check: impl Fn(&str, &Value, &Value)) {
    each_board(|at, board| {
        for panel in panels(board).iter().filter(|panel| panel["type"] != "row") {
            check(&format!("{at}, {}", panel["title"]), board, panel);
        }
    });
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Target,
    /// Only labels are read, so that a counter need not be in a rate.
    Variable,
}

/// Every PromQL expression with Grafana's variables in the place where it stands.
fn each_promql(check: impl Fn(&str, &str, Place)) {
    each_panel(|at, _, panel| {
        for target in panel["targets"].as_array().into_iter().flatten() {
            if target["datasource"]["type"] == "prometheus" {
                check(at, target["expr"].as_str().expect("an expression"), Place::Target);
            }
        }
    });
    each_board(|at, board| {
        for variable in board["templating"]["list"].as_array().into_iter().flatten() {
            if variable["type"] == "query" {
                let query = variable["query"].as_str().expect("a query");
                let inner = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
                let (selector, label) = inner.unwrap_or_else(|| panic!("{at}: no label_values: {query}"));
                assert!(label.ends_with(')') && variable["definition"] == query, "{at}: {query}");
                check(at, selector, Place::Variable);
            }
        }
    });
}

fn parse(at: &str, expression: &str) -> Expr {
    let plain = expression
        .replace("$__rate_interval", "7m")
        .replace("$__range", "3h")
        .replace("$span_kind", ".+")
        .replace("$operation", ".+")
        // Prometheus' own, which Grafana knows no variable for and leaves alone.
        .replace("$1", "");
    assert!(!plain.contains('$'), "{at}: an unknown variable in {expression}");
    parser::parse(&plain).unwrap_or_else(|error| panic!("{at}: {expression}: {error}"))
}

/// Every selector with the function around it.
fn selectors(
    expr: &Expr,
    around: &str,
    found: &mut Vec<(String, String, Option<u64>, parser::VectorSelector)>,
) {
    match expr {
        Expr::VectorSelector(selector) => {
            let name = selector.name.clone().unwrap_or_default();
            found.push((around.to_owned(), name, None, selector.clone()));
        }
        Expr::MatrixSelector(selector) => {
            let name = selector.vs.name.clone().unwrap_or_default();
            found.push((around.to_owned(), name, Some(selector.range.as_secs()), selector.vs.clone()));
        }
        Expr::Call(call) => {
            call.args.args.iter().for_each(|argument| selectors(argument, call.func.name, found));
        }
        Expr::Aggregate(aggregate) => selectors(&aggregate.expr, "", found),
        Expr::Unary(unary) => selectors(&unary.expr, "", found),
        Expr::Paren(paren) => selectors(&paren.expr, around, found),
        Expr::Subquery(subquery) => selectors(&subquery.expr, "", found),
        Expr::Binary(binary) => {
            selectors(&binary.lhs, "", found);
            selectors(&binary.rhs, "", found);
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

#[test]
fn a_dashboard_can_be_provisioned() {
    each_board(|at, board| {
        assert!(board.get("id").is_none() && board.get("__inputs").is_none(), "{at}");
        assert_eq!(board["schemaVersion"], 39, "{at}");
        assert_eq!(board["editable"], false, "{at}");
        assert_eq!(board["timezone"], "browser", "{at}");
        assert!(board["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{at}");
        assert!(board["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
        assert!(["30s", "1m"].contains(&board["refresh"].as_str().expect("a refresh")), "{at}");
    });
}

#[test]
fn no_name_of_a_value_is_left() {
    each_board(|at, board| {
        for text in strings(board) {
            assert!(!text.contains("<<") && !text.contains(">>"), "{at}: {text}");
        }
    });
}

#[test]
fn ids_are_unique_and_panels_do_not_overlap() {
    each_board(|at, board| {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in panels(board) {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{at}: {}", panel["id"]);
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{at}: {panel}"));
            assert!(
                place("x") + place("w") <= 24 && place("w") > 0 && place("h") > 0,
                "{at}: {}",
                panel["title"]
            );
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(
                        cells.insert((x, y)),
                        "{at}: {} lies over another panel at {x}, {y}",
                        panel["title"]
                    );
                }
            }
        }
    });
}

#[test]
fn every_panel_says_what_it_is_and_what_empty_means() {
    each_panel(|at, _, panel| {
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{at}");
        let text = panel["description"].as_str().unwrap_or_default();
        assert!(text.contains("Empty: ") || text.contains("empty"), "{at}: {text:?}");
        assert!(!text.contains("  "), "{at}: {text:?}");
    });
}

#[test]
fn every_panel_has_a_unit_of_grafana() {
    each_panel(|at, _, panel| {
        if UNITLESS.iter().any(|kind| panel["type"] == *kind) {
            return;
        }
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        assert!(UNITS.contains(&unit), "{at}: {unit:?}");
    });
}

#[test]
fn every_panel_asks_a_chosen_data_source() {
    each_panel(|at, board, panel| {
        let source = &panel["datasource"];
        let name = match source["type"].as_str() {
            Some("prometheus") => "datasource",
            Some("loki") => "loki_datasource",
            Some("victoriametrics-logs-datasource") => "logs_datasource",
            Some("jaeger") => "jaeger_datasource",
            other => panic!("{at}: data source {other:?}"),
        };
        assert_eq!(source["uid"], format!("${{{name}}}"), "{at}");
        let variables = board["templating"]["list"].as_array().expect("variables");
        let variable = variables.iter().find(|variable| variable["name"] == name);
        let variable = variable.unwrap_or_else(|| panic!("{at}: no variable {name}"));
        assert_eq!(variable["type"], "datasource", "{at}");
        assert_eq!(variable["query"], source["type"], "{at}");

        let targets = panel["targets"].as_array().expect("targets");
        let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].to_string()).collect();
        assert!(!targets.is_empty() && letters.len() == targets.len(), "{at}");
        assert!(targets.iter().all(|target| target["datasource"] == *source), "{at}");
    });
}

#[test]
fn variables_are_used_and_follow_the_time() {
    each_board(|at, board| {
        let variables = board["templating"]["list"].as_array().expect("variables");
        assert!(!variables.is_empty(), "{at}");
        for (index, variable) in variables.iter().enumerate() {
            let name = variable["name"].as_str().expect("a name");
            let users = panels(board).iter().chain(&variables[index + 1..]).flat_map(strings);
            assert!(
                users
                    .into_iter()
                    .any(|text| text.contains(&format!("${name}")) || text.contains(&format!("${{{name}}}"))),
                "{at}: nobody uses {name}"
            );
            if variable["type"] == "query" {
                assert_eq!(variable["refresh"], 2, "{at}: {name}");
                assert_eq!(variable["datasource"]["uid"], "${datasource}", "{at}: {name}");
            }
        }
    });
}

#[test]
fn every_promql_query_is_well_formed() {
    each_promql(|at, expression, place| {
        let mut found = Vec::new();
        selectors(&parse(at, expression), "", &mut found);
        assert!(!found.is_empty(), "{at}: {expression}");
        for (function, metric, range, selector) in found {
            let matcher = |label: &str| {
                let matchers = &selector.matchers.matchers;
                matchers.iter().find(|matcher| matcher.name == label).map(|matcher| matcher.value.clone())
            };
            assert!(!metric.is_empty(), "{at}: a selector without a metric in {expression}");
            assert_eq!(matcher("namespace").as_deref(), Some("media"), "{at}: {expression}");
            let owner = matcher("job").or_else(|| matcher("telemetry_profile"));
            assert!(owner.is_some_and(|owner| owner.contains("trakt")), "{at}: {expression}");
            match function.as_str() {
                "rate" => assert_eq!(range, Some(7 * 60), "{at}: not $__rate_interval in {expression}"),
                "increase" | "changes" => {
                    assert_eq!(range, Some(3 * 3600), "{at}: not $__range in {expression}")
                }
                _ => {
                    assert_eq!(range, None, "{at}: {expression}");
                    let grows =
                        ["_total", "_bucket", "_count", "_sum"].iter().any(|end| metric.ends_with(end));
                    assert!(
                        !grows || place == Place::Variable,
                        "{at}: {metric} without a rate in {expression}"
                    );
                }
            }
        }
    });
}

#[test]
fn every_log_query_follows_the_panel() {
    let mut seen = BTreeSet::new();
    for (name, profile) in table() {
        for (view, board) in boards(&profile) {
            for panel in panels(&board) {
                for target in panel["targets"].as_array().into_iter().flatten() {
                    let Some(expression) =
                        target["expr"].as_str().filter(|_| target["datasource"]["type"] == "loki")
                    else {
                        continue;
                    };
                    let at = format!("{name}, {view}: {expression}");
                    assert!(expression.contains(r#"{service_name="export-trakt-4-letterboxd"}"#), "{at}");
                    if let Some((_, range)) = expression.split_once('[') {
                        assert!(range.starts_with("$__auto]") || range.starts_with("$__range]"), "{at}");
                    }
                    seen.insert(expression.to_owned());
                }
            }
        }
    }
    assert!(seen.len() >= 4, "{seen:?}");
}
