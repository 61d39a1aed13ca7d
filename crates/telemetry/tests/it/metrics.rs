//! The manager's instruments on its own port.

use opentelemetry::KeyValue;
use telemetry::{TelemetryConfig, TelemetryManager};
use testbed::http_get;

use crate::common::*;

const OPENMETRICS: Option<&str> = Some("application/openmetrics-text");

fn manager(service: &str, custom_metrics: bool) -> TelemetryManager {
    let open = TelemetryConfig {
        prometheus_enabled: true,
        prometheus_port: 0,
        custom_metrics,
        ..config(service, &shared().collector.grpc_endpoint())
    };
    TelemetryManager::new(open).unwrap()
}

fn get(manager: &TelemetryManager, path: &str) -> (u16, String) {
    let port = manager.metrics_address().expect("no port").port();
    http_get(&format!("http://127.0.0.1:{port}{path}")).unwrap()
}

/// The lines of a page that begin with `start`.
fn lines<'p>(page: &'p str, start: &str) -> Vec<&'p str> {
    page.lines().filter(|line| line.starts_with(start)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_every_instrument_and_its_exemplars_lead_to_traces_in_jaeger() {
    let manager = manager("scraped", true);
    let operation = manager.trace_operation("export.movies", async {
        let _active = manager.instruments().active_operation("export.movies");
        let call = async { Ok::<_, String>(get(&manager, "/metrics").1) };
        let page = manager.instrument_api_call("sync/history", "GET", call).await?;
        manager.instruments().cache_hit_ratio.record(0.75, &[]);
        manager.instruments().exports.add(1, &[KeyValue::new("type", "movies")]);
        Ok::<_, String>(page)
    });
    let during = operation.await.unwrap();
    let active = "trakt_active_operations{operation=\"export.movies\"}";
    assert_eq!(lines(&during, active), [format!("{active} 1")]);

    let (status, page) = get(&manager, "/metrics");
    assert_eq!(status, 200);
    let exports = "trakt_exports_total{type=\"movies\"} 1";
    for line in [exports, "trakt_cache_hit_ratio 0.75", &format!("{active} 0")] {
        assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
    }
    let target = lines(&page, "target_info");
    for label in [
        r#"service_name="scraped""#,
        r#"service_version="1.2.3""#,
        r#"deployment_environment_name="testing""#,
    ] {
        assert!(target.len() == 1 && target[0].contains(label), "{label} in {target:?}");
    }

    let page = manager.render_metrics(OPENMETRICS).body;
    manager.shutdown(PLENTY).await.unwrap();
    let spans = shared().spans("scraped", 2);
    let (operation, call) = (named(&spans, "export.movies"), named(&spans, "api.sync/history"));
    for (start, span) in [(exports, operation), ("trakt_api_duration_seconds_bucket", call)] {
        let with_exemplar: Vec<_> =
            lines(&page, start).into_iter().filter(|line| line.contains(" # {")).collect();
        let ids = format!("# {{trace_id=\"{}\",span_id=\"{}\"}}", span.trace, span.id);
        assert!(with_exemplar.len() == 1 && with_exemplar[0].contains(&ids), "{ids} in {with_exemplar:?}");
    }
}

#[test]
fn the_applications_own_instruments_count_unless_they_are_switched_off() {
    for on in [true, false] {
        let manager = manager("custom", on);
        manager.counter("films_total", "{film}", "Films.").add(3, &[]);
        manager.histogram("page_seconds", "s", "Pages.", &[1.0]).record(0.5, &[]);
        manager.gauge("quota_ratio", "1", "Quota.").record(0.25, &[]);
        manager.up_down_counter("queue_films", "{film}", "Queue.").add(-2, &[]);
        manager.meter().u64_counter("by_the_api_total").build().add(1, &[]);
        manager.instruments().exports.add(1, &[]);
        let (_, page) = get(&manager, "/metrics");
        let own = [
            "films_total 3",
            "page_seconds_count 1",
            "quota_ratio 0.25",
            "queue_films -2",
            "by_the_api_total 1",
        ];
        let found = own.iter().filter(|own| page.lines().any(|line| line == **own)).count();
        assert_eq!(found, if on { own.len() } else { 0 }, "{page}");
        assert_eq!(lines(&page, "trakt_exports_total"), ["trakt_exports_total 1"]);
    }
}

#[test]
fn readiness_is_what_the_application_says() {
    let manager = manager("ready", true);
    for (ready, status) in [(true, 200), (false, 503), (true, 200)] {
        manager.set_ready(ready);
        assert_eq!(get(&manager, "/readyz").0, status);
        assert_eq!(get(&manager, "/healthz").0, 200);
    }
}
