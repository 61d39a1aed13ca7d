//! What counts as an event, and what does not: births, restarts, gaps, groups, little traffic, absence. Samples every 30 s.

use super::{Expectation, about, expect, firing, run, run_every, slo, slo_scraped};

const RATIO: &str = "ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}";
const EVENTS: &str = "slo:events:period";
const BAD: &str = "slo:bad_events:period";

/// A series of one target.
fn calls(instance: &str, more: &str) -> String {
    format!("calls_total{{namespace=\"media\",job=\"j\",instance=\"{instance}\"{more}}}")
}

#[test]
fn every_event_counts_once() {
    // 3000 events before a restart of the process, 90 after it; the errors in between are in two steps.
    run(
        &slo("99.9", RATIO),
        "30s",
        &[
            (&calls("a", ",code=\"200\""), "0+100x30 0+3x30"),
            (&calls("a", ",code=\"500\""), "0x10 7x20 0x10 2x20"),
        ],
        vec![
            expect("33m", "sum(slo:events:period)", &[("{}", 3000.0 + 90.0 + 9.0)]),
            expect("33m", "sum(slo:bad_events:period)", &[("{}", 9.0)]),
        ],
    );
}

/// The first error of a running process is born as 1, and no `rate()` would ever see it. On a new target it may have been
/// counted long ago.
#[test]
fn a_series_that_is_born_on_a_running_target_counts_from_its_first_value() {
    let birth = |instance: &str, other: &str| {
        let good = calls("a", ",code=\"200\"");
        let bad = calls(instance, ",code=\"500\"");
        let old = calls("b", ",code=\"200\"");
        run(
            &slo("99.9", RATIO),
            "30s",
            &[(&good, "0+100x60"), (&bad, "_x20 5x40"), (&old, "_x20 1000000+100x40")],
            vec![
                expect("31m", "sum(slo:bad_events:period)", &[("{}", other.parse().expect("a number"))]),
                // The million of the target that has come is older than anybody's look at it.
                expect("31m", "sum(slo:events:period) < bool 12000", &[("{}", 1.0)]),
            ],
        );
    };
    birth("a", "5");
    birth("b", "0");
}

/// New labels on every series of a target (another scrape configuration) are no events.
#[test]
fn labels_that_change_are_no_events() {
    run(
        &slo("99.9", RATIO),
        "30s",
        &[
            (&calls("a", ",code=\"200\""), "50000+100x20 stale"),
            (&calls("a", ",code=\"500\""), "9000x20 stale"),
            (&calls("a", ",code=\"200\",team=\"x\""), "_x21 52100+100x39"),
            (&calls("a", ",code=\"500\",team=\"x\""), "_x21 9000x39"),
        ],
        vec![expect("31m", "sum(slo:events:period)", &[("{}", 5900.0)]), about("31m", BAD, 0.0)],
    );
}

/// Scrapes that fail, a Prometheus that is away for two hours, a counter that starts anew meanwhile.
#[test]
fn what_was_counted_in_a_gap_is_added_when_it_ends() {
    run(
        &slo("99.9", RATIO),
        "30s",
        &[
            (&calls("a", ",code=\"200\""), "0+100x20 stale _x3 2500+100x35 _x240 30100+100x20"),
            (&calls("a", ",code=\"500\""), "0x20 stale _x3 10x35 _x240 4x20"),
        ],
        vec![
            expect("2h42m", "sum(slo:events:period)", &[("{}", 32100.0 + 14.0)]),
            expect("2h42m", "sum(slo:bad_events:period)", &[("{}", 14.0)]),
        ],
    );
}

#[test]
fn a_split_slo_judges_each_group_by_itself() {
    let series =
        |endpoint: &str, code: &str| calls("a", &format!(",endpoint=\"{endpoint}\",code=\"{code}\""));
    let tiers = |endpoint: &str| {
        [("fast", 1.0), ("medium", 1.0)].map(|(tier, value)| {
            (format!("{{slo_tier=\"{tier}\",endpoint=\"{endpoint}\",slo_group=\"{endpoint}\"}}"), value)
        })
    };
    let fired = tiers("/b");
    let fired: Vec<_> = fired.iter().map(|(labels, value)| (labels.as_str(), *value)).collect();
    run(
        &slo("99.9", &format!("{RATIO}, groupBy: [endpoint]")),
        "30s",
        &[
            (&series("/a", "200"), "0+100x60"),
            (&series("/b", "200"), "0+50x60"),
            (&series("/b", "500"), "0+50x60"),
            // Silent: its counters stand still.
            (&series("/c", "200"), "500x60"),
            (&series("/c", "500"), "3x60"),
        ],
        vec![
            expect("30m", "count by (slo_tier, endpoint, slo_group) (ALERTS{alertstate=\"firing\"})", &fired),
            expect(
                "30m",
                "sum by (endpoint) (slo:burn_rate:1h)",
                &[("{endpoint=\"/a\"}", 0.0), ("{endpoint=\"/b\"}", 500.0)],
            ),
            expect(
                "30m",
                "sum by (endpoint) (slo:error_budget_remaining:ratio)",
                &[("{endpoint=\"/a\"}", 1.0), ("{endpoint=\"/b\"}", -499.0), ("{endpoint=\"/c\"}", 1.0)],
            ),
        ],
    );
}

/// A program that works every six hours: two of eight runs fail, the last two of them. The rules are evaluated every five minutes, and
/// see one minute of them: the one in which a run ends.
#[test]
fn a_batch_is_judged_by_its_last_runs() {
    // Minutes; a run every 360, four minutes past.
    let runs =
        |ends: &[u32]| ends.iter().fold("0x3 ".to_owned(), |values, end| format!("{values}{end}x359 "));
    let ratio = "ratio: {bad: 'runs_total{outcome=\"error\"}', total: runs_total}";
    let series = |outcome: &str| {
        format!("runs_total{{namespace=\"media\",job=\"j\",instance=\"a\",outcome=\"{outcome}\"}}")
    };
    let series = [
        (series("ok"), runs(&[0, 1, 2, 3, 4, 5, 6, 6, 6, 7])),
        (series("error"), runs(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 2])),
    ];
    let series: Vec<_> = series.iter().map(|(series, values)| (series.as_str(), values.as_str())).collect();
    let play = |rules: &str, expectations: Vec<Expectation>| {
        run_every("5m", rules, "1m", &series, expectations);
    };
    let with_guard = format!("{ratio}, alerting: {{minimumEvents: 4}}");
    play(
        &slo_scraped("1m", "90", &with_guard),
        vec![
            // One failure among the last four runs is a burn rate of 2.5, two are 5.
            about("47h", "slo:burn_rate:1h", 2.5),
            firing("47h", &["trickle"]),
            about("53h", "slo:burn_rate:1h", 5.0),
            firing("53h", &["slow", "trickle"]),
            // The short windows show the last run until the next one, and that was a good one.
            about("53h55m", "slo:burn_rate:5m", 10.0),
            about("54h10m", "slo:burn_rate:5m", 0.0),
            about("59h30m", "slo:burn_rate:5m", 0.0),
            expect("59h30m", "count(max_over_time(ALERTS{slo_tier=\"slow\"}[5h]))", &[]),
        ],
    );
    // Without it a window of an hour holds one run at most, and mostly none.
    play(
        &slo_scraped("1m", "90", ratio),
        vec![about("42h30m", "slo:burn_rate:1h", 10.0), expect("47h", "slo:burn_rate:1h", &[])],
    );
}

#[test]
fn native_histograms() {
    // 16 observations a minute, of which 4 are above 1, then all of them are.
    let histogram = "h{namespace=\"media\",job=\"j\",instance=\"a\"}";
    let half = |good: u32, bad: u32| {
        format!("{{{{schema:0 sum:1 count:{} buckets:[{good} {bad}] offset:0}}}}", good + bad)
    };
    let values = format!("{}+{}x40 {}+{}x20", half(0, 0), half(6, 2), half(240, 80), half(0, 8));
    run(
        &slo("99", "latency: {histogram: h, threshold: '1', type: Native}"),
        "30s",
        &[(histogram, &values)],
        vec![
            about("19m", "slo:burn_rate:5m", 25.0),
            firing("19m", &["fast", "medium"]),
            about("30m", "slo:burn_rate:5m", 100.0),
            // After the last record: at one moment the group of the period may come before it.
            expect("32m", &format!("sum({EVENTS})"), &[("{}", 480.0)]),
            expect("32m", &format!("sum({BAD})"), &[("{}", 240.0)]),
        ],
    );
}

#[test]
fn operations_are_counted_from_spans() {
    let span = |metric: &str, more: &str| {
        format!(
            "traces_span_metrics_{metric}{{namespace=\"media\",job=\"c\",instance=\"a\",service_name=\"trakt\",\
             span_name=\"GET /films\"{more}}}"
        )
    };
    run(
        &slo("99", "operation: {name: GET /films}"),
        "30s",
        &[
            (&span("calls_total", ",status_code=\"STATUS_CODE_UNSET\""), "0+90x40"),
            (&span("calls_total", ",status_code=\"STATUS_CODE_ERROR\""), "0+10x40"),
        ],
        vec![about("20m", "slo:burn_rate:5m", 10.0)],
    );
    run(
        &slo("99", "operation: {name: GET /films, threshold: '0.7'}"),
        "30s",
        &[
            (&span("duration_seconds_count", ""), "0+100x40"),
            (&span("duration_seconds_bucket", ",le=\"0.7\""), "0+80x40"),
        ],
        vec![about("20m", "slo:burn_rate:5m", 20.0)],
    );
}

/// A gauge with the time of the last success, as kube-state-metrics has it for a CronJob.
#[test]
fn a_time_of_success_that_grows_old_pages() {
    run(
        &slo_scraped("1m", "99", "freshness: {timestamp: last_success, maxAge: 2h}"),
        "1m",
        &[("last_success{namespace=\"media\"}", "_x10 0x59 3600x300")],
        vec![
            firing("2h55m", &[]),
            about("2h55m", "slo:error_budget_remaining:ratio", 1.0),
            firing("3h14m", &["fast", "medium"]),
            about("3h14m", "slo:bad_events:increase", 1.0),
        ],
    );
}

#[test]
fn a_metric_that_is_absent_while_pods_run_is_told() {
    let up = "up{namespace=\"media\",job=\"media/trakt-metrics\",instance=\"a\"}";
    let fires = |at: &str, tiers: f64| {
        let query = "count(ALERTS{alertname=\"SLOMetricAbsent\",alertstate=\"firing\"}) or vector(0)";
        expect(at, query, &[("{}", tiers)])
    };
    let rules = slo("99.9", &format!("{RATIO}, alerting: {{absentAfter: 30m}}"));
    // The pods run all the time; the metric goes after half an hour, and comes back.
    let metric = calls("a", ",code=\"200\"");
    let series = [(up, "1x260"), (metric.as_str(), "0+1x60 stale _x99 0+1x99")];
    run(&rules, "30s", &series, vec![fires("1h", 0.0), fires("1h10m", 1.0), fires("1h23m", 0.0)]);
    // No pods, no alert, however long.
    let series = [(up, "1x60 stale"), (metric.as_str(), "0+1x60 stale")];
    run(&rules, "30s", &series, vec![fires("2h", 0.0)]);
}
