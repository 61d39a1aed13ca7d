//! What the rules do in the life of a service. Traffic is given as samples every 30 s, or every minute where days pass.

use super::{about, always_numbers, expect, firing, run, slo, slo_scraped};

const GOOD: &str = "calls_total{namespace=\"media\",pod=\"a\",code=\"200\"}";
const BAD: &str = "calls_total{namespace=\"media\",pod=\"a\",code=\"500\"}";
const RATIO: &str = "ratio: {bad: 'calls_total{code=~\"5..\"}', total: calls_total}";
const ALL_BUT_GOOD: &str = "ratio: {good: 'calls_total{code=\"200\"}', total: calls_total}";
const BUDGET: &str = "slo:error_budget_remaining:ratio";

#[test]
fn a_full_outage_pages_within_minutes_and_stops() {
    // Seven hours of health, ten minutes of outage, health again.
    for indicator in [RATIO, ALL_BUT_GOOD] {
        run(
            &slo("99.9", indicator),
            "30s",
            &[(GOOD, "0+300x840 252000x20 252000+300x200"), (BAD, "0x840 0+300x20 6000x200")],
            vec![
                // 14.4 times the budget are 52 s of an hour, 6 times are 130 s of six hours.
                firing("7h1m30s", &[]),
                firing("7h2m30s", &["fast"]),
                firing("7h4m", &["fast", "medium"]),
                about("7h10m", "slo:burn_rate:5m", 1000.0),
                // The short windows: five minutes and a half hour after the end, nobody is paged any more.
                firing("7h16m", &["medium"]),
                firing("7h41m", &[]),
                always_numbers("8h"),
            ],
        );
    }
}

/// A deployment that fails from its first request: no series of a good event exists, and none ever did.
#[test]
fn an_outage_from_the_first_event_on_pages() {
    for indicator in [RATIO, ALL_BUT_GOOD] {
        run(
            &slo("99.9", indicator),
            "30s",
            &[(BAD, "_x10 0+300x60")],
            vec![
                firing("5m", &[]),
                firing("8m", &["fast", "medium"]),
                about("30m", "slo:burn_rate:1h", 1000.0),
                always_numbers("30m"),
            ],
        );
    }
}

#[test]
fn a_slow_burn_opens_tickets_only() {
    // Burn rate 4: above slow (3) and trickle (1), below medium (6). Tickets wait until half of their window is covered.
    run(
        &slo_scraped("1m", "99.9", RATIO),
        "1m",
        &[(GOOD, "0+996x2300"), (BAD, "0+4x2300")],
        vec![
            firing("11h50m", &[]),
            firing("12h15m", &["slow"]),
            firing("35h50m", &["slow"]),
            firing("36h15m", &["slow", "trickle"]),
            about("36h15m", "slo:burn_rate:1d", 4.0),
            about("36h15m", "slo:burn_rate:3d", 4.0),
            about("36h15m", BUDGET, -3.0),
        ],
    );
}

#[test]
fn errors_within_the_budget_do_nothing() {
    run(
        &slo_scraped("1m", "99.5", RATIO),
        "1m",
        &[(GOOD, "0+999x2300"), (BAD, "0+1x2300")],
        vec![
            expect("38h", "max_over_time((count(ALERTS) or vector(0))[38h:1m])", &[("{}", 0.0)]),
            about("38h", "slo:burn_rate:3d", 0.2),
            about("38h", "slo:error_ratio:period", 0.001),
            about("38h", BUDGET, 0.8),
            about("38h", "slo:objective:ratio", 0.995),
            expect(
                "38h",
                "slo:info",
                &[(
                    "slo:info{namespace=\"media\",telemetry_profile=\"trakt\",service=\"trakt\",slo=\"calls\",\
                     objective=\"99.5\",window=\"30d\",indicator=\"ratio\"}",
                    1.0,
                )],
            ),
        ],
    );
}

#[test]
fn without_traffic_nothing_is_nan_and_nothing_fires() {
    run(
        &slo("99.9", RATIO),
        "30s",
        &[(GOOD, "500x120"), (BAD, "3x120")],
        vec![
            about("1h", "slo:events:increase", 0.0),
            about("1h", "slo:bad_events:increase", 0.0),
            expect("1h", "{__name__=~\"slo:burn_rate:.+|slo:error_ratio:.+\"}", &[]),
            about("1h", BUDGET, 1.0),
            firing("1h", &[]),
            always_numbers("1h"),
        ],
    );
    // A metric that does not exist is not measured: no budget is claimed either.
    run(
        &slo("99.9", RATIO),
        "30s",
        &[(BAD.replace("calls", "other").as_str(), "0+1x120")],
        vec![expect("1h", "{__name__=~\"slo:(burn|error|events|bad).+\"}", &[]), firing("1h", &[])],
    );
}

#[test]
fn a_pause_of_the_traffic_does_not_spoil_the_period() {
    // An hour with 1 % of errors, three hours of silence, an hour without errors: half of the events had 1 %.
    run(
        &slo("99", RATIO),
        "30s",
        &[(GOOD, "0+99x120 11880x360 11880+100x120"), (BAD, "0+1x120 120x480")],
        vec![
            expect("3h30m", "{__name__=~\"slo:burn_rate:(5m|30m|1h)\"}", &[]),
            about("5h", "slo:error_ratio:period", 0.005),
            expect("5h", "abs(sum(slo:error_budget_remaining:ratio) - 0.5) < bool 0.01", &[("{}", 1.0)]),
            always_numbers("5h"),
        ],
    );
}

/// A busy hour counts for what it is: a hundred times the events, a hundred times the weight.
#[test]
fn the_period_weighs_events_not_time() {
    run(
        &slo("99", RATIO),
        "30s",
        &[(GOOD, "0+10000x120 1200000+50x120"), (BAD, "0x120 0+50x120")],
        vec![expect("2h", "abs(sum(slo:error_ratio:period) - 6000 / 1212000) < bool 0.0003", &[("{}", 1.0)])],
    );
}

#[test]
fn no_error_was_ever_seen() {
    run(
        &slo("99.9", RATIO),
        "30s",
        &[(GOOD, "0+100x120")],
        vec![
            about("1h", BUDGET, 1.0),
            about("1h", "slo:burn_rate:1h", 0.0),
            about("1h", "slo:bad_events:increase", 0.0),
            firing("1h", &[]),
        ],
    );
}

#[test]
fn counters_restart_and_pods_go() {
    let other = GOOD.replace("\"a\"", "\"b\"");
    let other_bad = BAD.replace("\"a\"", "\"b\"");
    run(
        &slo("99.5", RATIO),
        "30s",
        &[
            (GOOD, "0+999x100 0+999x100"),
            (BAD, "0+1x100 0+1x100"),
            (&other, "0+999x60 stale"),
            (&other_bad, "0+1x60 stale"),
        ],
        vec![
            expect("1h40m", "max_over_time((count(ALERTS) or vector(0))[100m:30s])", &[("{}", 0.0)]),
            about("1h40m", "slo:burn_rate:1h", 0.2),
            about("1h40m", BUDGET, 0.8),
        ],
    );
}

#[test]
fn namespaces_do_not_mix() {
    let elsewhere = BAD.replace("media", "other");
    run(
        &slo("99.9", RATIO),
        "30s",
        &[(GOOD, "0+100x120"), (&elsewhere, "0+100x120")],
        vec![firing("1h", &[]), about("1h", BUDGET, 1.0)],
    );
}

/// A total that its target no longer gives, while another target still counts errors: neither side grows.
#[test]
fn errors_without_a_total_do_not_count() {
    run(
        &slo("99.9", "ratio: {bad: errors_total, total: calls_total}"),
        "30s",
        &[
            (GOOD, "0+100x60 stale _x120 6000+100x240"),
            ("errors_total{namespace=\"media\"}", "0x60 0+100x120 12000x240"),
        ],
        vec![
            expect("1h2m", "slo:bad_events:increase", &[]),
            expect("1h2m", "{__name__=~\"slo:burn_rate:(5m|30m)\"}", &[]),
            about("3h30m", "slo:error_ratio:period", 0.0),
        ],
    );
}

#[test]
fn latency() {
    let bucket = |bound: &str| format!("h_bucket{{namespace=\"media\",le=\"{bound}\"}}");
    let count = "h_count{namespace=\"media\"}";
    let indicator = "latency: {histogram: h, threshold: '1'}";
    // One in ten is slower than 1, however the bound is spelled; the other buckets do not matter.
    for spelling in ["1", "1.0"] {
        run(
            &slo("99", indicator),
            "30s",
            &[
                (count, "0+100x60"),
                (&bucket(spelling), "0+90x60"),
                (&bucket("10"), "0+99x60"),
                (&bucket("0.1"), "0+1x60"),
                (&bucket("+Inf"), "0+100x60"),
            ],
            vec![about("30m", "slo:burn_rate:1h", 10.0), firing("30m", &["medium"])],
        );
    }
    // A threshold that is no bound: nothing is known, nothing is claimed.
    run(
        &slo("99", indicator),
        "30s",
        &[(count, "0+100x60"), (&bucket("1.5"), "0+90x60")],
        vec![expect("30m", "{__name__=~\"slo:(burn|error|events|bad).+\"}", &[]), firing("30m", &[])],
    );
    // Everything is fast: the two rates are equal, and no rounding makes the share negative.
    run(
        &slo("99.9", indicator),
        "30s",
        &[(count, "7+13x60"), (&bucket("1.0"), "7+13x60")],
        vec![about("30m", BUDGET, 1.0), expect("30m", "{__name__=~\"slo:burn_rate:.+\"} < 0", &[])],
    );
}

const FRESH: &str = "freshness: {counter: runs_total, maxAge: 2h}";
const RUNS: &str = "runs_total{namespace=\"media\",pod=\"a\"}";

#[test]
fn a_job_that_runs_is_fresh_and_one_that_stops_pages() {
    // A run every hour for ten hours, then none: stale two hours later.
    let hourly = "0x60 ".to_owned() + &(1..10).map(|run| format!("{run}x59 ")).collect::<String>() + "10x300";
    run(
        &slo_scraped("1m", "99", FRESH),
        "1m",
        &[(RUNS, &hourly)],
        vec![
            firing("11h50m", &[]),
            about("11h50m", BUDGET, 1.0),
            about("11h50m", "slo:events:increase", 1.0),
            // 14.4 times a budget of 1 % are nine minutes of the hour, 6 times are 22 minutes of six.
            firing("12h15m", &["fast"]),
            firing("12h30m", &["fast", "medium"]),
            about("13h", "slo:bad_events:increase", 1.0),
        ],
    );
}

/// Each run is a process of its own, whose counter is 1 from the first scrape on and goes with it.
#[test]
fn runs_of_short_lived_processes_count() {
    let pods: Vec<_> = (0..10)
        .map(|run| (RUNS.replace("\"a\"", &format!("\"{run}\"")), format!("_x{} 1x3 stale", run * 60)))
        .collect();
    let series: Vec<_> = pods.iter().map(|(series, values)| (series.as_str(), values.as_str())).collect();
    run(
        &slo_scraped("1m", "99", FRESH),
        "1m",
        &series,
        vec![
            firing("10h55m", &[]),
            about("10h55m", BUDGET, 1.0),
            // Long after the last process has gone, and with it every series.
            firing("11h30m", &["fast", "medium"]),
            firing("20h", &["fast", "medium", "slow"]),
        ],
    );
}

#[test]
fn a_counter_that_was_never_seen_or_is_new_counts_neither_way() {
    let nothing = "{__name__=~\"slo:(burn|error|events|bad).+\"}";
    run(
        &slo_scraped("1m", "99", FRESH),
        "1m",
        &[("other_total{namespace=\"media\"}", "0+1x300")],
        vec![expect("5h", nothing, &[]), firing("5h", &[])],
    );
    // New and at 0: two hours without a run are needed before anything is known.
    run(
        &slo_scraped("1m", "99", FRESH),
        "1m",
        &[(RUNS, "_x60 0x300")],
        vec![
            expect("2h55m", nothing, &[]),
            about("3h5m", "slo:bad_events:increase", 1.0),
            firing("3h10m", &["fast", "medium"]),
        ],
    );
}
