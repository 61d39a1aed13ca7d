//! Counts agree from one end to the other: what the application did, what Trakt was asked, what Jaeger keeps, what Prometheus
//! counts. Also while the collector is replaced under traffic, and when it samples.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Forward, Span, http, http_get, prometheus, spans_of_service};

use crate::common::{EXPORTER, STACK, Site};
use crate::exports::{ONCE, send_once};

/// More traces than a test makes, fewer than the smallest Jaeger keeps.
const TRACES: u32 = 1000;

/// Between two exports under traffic: a few hundred during an edit, and the simulator remembers a thousand requests.
const PACE: Duration = Duration::from_millis(200);
/// Between two spans that are sent once, all of one trace.
const FAST: Duration = Duration::from_millis(20);

/// Does something again and again; the last time begins when the edit is over. How often it was done.
fn repeat(over: &AtomicBool, pace: Duration, work: impl Fn(usize)) -> usize {
    for number in 1.. {
        let last = over.load(Ordering::Acquire);
        work(number);
        if last {
            return number;
        }
        thread::sleep(pace);
    }
    unreachable!("numbers do not end")
}

/// Ends the traffic when it is dropped, also by a failed check.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One application, and every place in which its exports are counted.
struct Ledger<'a> {
    site: &'a Site<'a>,
    exports: Forward,
    trakt: Forward,
    jaeger: Forward,
    prometheus: Forward,
}

impl<'a> Ledger<'a> {
    fn new(site: &'a Site<'a>) -> Self {
        let exports = site.exports();
        let trakt = site.forward("trakt-sim", 8090);
        Self { site, exports, trakt, jaeger: site.jaeger(EXPORTER), prometheus: site.prometheus(EXPORTER) }
    }

    /// One export of the watchlist.
    fn export(&self) {
        let (status, body) =
            http("POST", &format!("{}/exports?what=watchlist", self.exports.url()), "").unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// What Trakt was asked, the latest last.
    fn asked(&self) -> Vec<Value> {
        let (status, body) = http_get(&format!("{}/sim/requests", self.trakt.url())).unwrap();
        assert_eq!(status, 200, "{body}");
        let mut requests: Value = serde_json::from_str(&body).unwrap();
        let latest = requests["latest"].as_array().unwrap().clone();
        assert_eq!(requests["total"].take(), latest.len(), "the simulator no longer knows all of them");
        latest
    }

    fn spans(&self) -> anyhow::Result<Vec<Span>> {
        spans_of_service(&self.jaeger.url(), EXPORTER, TRACES)
    }

    /// Waits until Jaeger has exactly these exports, each with all its requests, and no span twice.
    fn await_traces(&self, exports: usize) {
        let asked = self.asked().len();
        self.site.wait(&format!("{exports} exports with {asked} requests in Jaeger"), || {
            let spans = self.spans()?;
            let roots = spans.iter().filter(|span| span.parent.is_none() && span.name == "export").count();
            let calls = spans.iter().filter(|span| span.name.starts_with("api.")).count();
            anyhow::ensure!((roots, calls) == (exports, asked), "{roots} exports with {calls} requests");
            let ids: BTreeSet<_> = spans.iter().map(|span| (&span.trace, &span.id)).collect();
            assert_eq!(ids.len(), spans.len(), "a span is there twice");
            Ok(Some(()))
        });
    }

    /// Waits until the sum of what an expression finds is this.
    fn await_sum(&self, expression: &str, wanted: usize) {
        self.site.wait(&format!("{expression} to be {wanted}"), || {
            let samples = prometheus::query(&self.prometheus.url(), expression)?;
            let sum: f64 = samples.iter().map(|sample| sample.value).sum();
            // Whole numbers.
            anyhow::ensure!(!samples.is_empty() && (sum - wanted as f64).abs() < 0.5, "{samples:?}");
            Ok(Some(()))
        });
    }

    /// Waits until Prometheus has the application's own count of exports.
    fn await_exports(&self, exports: usize) {
        self.await_sum(r#"trakt_exports_total{outcome="ok",type="watchlist"}"#, exports);
        self.await_sum(r#"trakt_exports_total{outcome="error"}"#, 0);
    }

    /// Changes the profile and waits until another collector stands in the place of the present one.
    fn edit(&self, spec: &Value) {
        let before = self.collectors();
        self.site.patch(&format!("tp/{EXPORTER}"), &json!({"spec": spec}));
        self.site.wait("another collector in the place of the first", || {
            let now = self.collectors();
            anyhow::ensure!(now.len() == 1 && now.is_disjoint(&before), "{now:?} after {before:?}");
            Ok(Some(()))
        });
    }

    /// The same while the application works, and while somebody sends spans who never tries again. How many exports there
    /// were.
    fn edit_under_traffic(&self, spec: &Value) -> usize {
        let over = AtomicBool::new(false);
        let otlp = self.site.forward(&format!("{EXPORTER}-collector"), 4318);
        let (exports, sent) = thread::scope(|scope| {
            let end = End(&over);
            let exports = scope.spawn(|| repeat(&over, PACE, |_| self.export()));
            let sent = scope.spawn(|| repeat(&over, FAST, |number| send_once(&otlp, number).unwrap()));
            self.edit(spec);
            drop(end);
            (exports.join().unwrap(), sent.join().unwrap())
        });
        self.site.wait(&format!("{sent} spans that were sent once"), || {
            let arrived = self.spans()?.iter().filter(|span| span.name == ONCE).count();
            anyhow::ensure!(arrived == sent, "{arrived} of {sent}");
            Ok(Some(()))
        });
        exports
    }

    fn collectors(&self) -> BTreeSet<String> {
        let pods = self.site.list("pods -l app.kubernetes.io/component=collector");
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn counts_agree_under_an_edit_and_with_sampling() {
    let site = Site::new(&STACK, "counts");
    site.exporter_profile(&json!({"service": {"version": "1"}}));
    site.run_exporter();
    site.ready(EXPORTER);
    let ledger = Ledger::new(&site);

    let mut exports = 10;
    (0..exports).for_each(|_| ledger.export());
    ledger.await_traces(exports);
    ledger.await_exports(exports);
    ledger.await_sum(r#"traces_span_metrics_calls_total{span_name="export"}"#, exports);
    let asked = ledger.asked().len();
    ledger.await_sum(r#"trakt_api_duration_seconds_count"#, asked);
    ledger.await_sum(r#"traces_span_metrics_calls_total{span_kind="SPAN_KIND_CLIENT"}"#, asked);

    // The collector is replaced while spans come: none is lost.
    exports += ledger.edit_under_traffic(&json!({"service": {"version": "2"}}));
    ledger.await_traces(exports);
    ledger.await_exports(exports);
    let versions: BTreeSet<_> =
        ledger.spans().unwrap().iter().map(|span| span.resource["service.version"].clone()).collect();
    assert_eq!(versions, BTreeSet::from(["1".to_owned(), "2".to_owned()]), "by both collectors");

    sampled(&ledger, exports);
}

/// With one trace in ten, the collector counts all exports all the same, and keeps those that their ids choose.
fn sampled(ledger: &Ledger<'_>, exports: usize) {
    let before = ledger.asked().len();
    ledger.edit(&json!({"traces": {"sampling": {"ratio": "0.1"}}}));
    ledger.site.condition(EXPORTER, "CollectorReady", "True", "");
    // The version before this edit is in the pod's variables.
    ledger.site.condition(EXPORTER, "SidecarInjected", "False", "PodsOutdated");
    let more = 60;
    (0..more).for_each(|_| ledger.export());
    ledger.await_exports(exports + more);
    let pod = ledger.collectors().pop_first().unwrap();
    ledger.await_sum(&format!(r#"traces_span_metrics_calls_total{{span_name="export",pod="{pod}"}}"#), more);

    let trace = |asked: &Value| asked["traceparent"].as_str().unwrap().split('-').nth(1).unwrap().to_owned();
    let asked: Vec<_> = ledger.asked().iter().map(trace).collect();
    let (old, new) = asked.split_at(before);
    let old: BTreeSet<_> = old.iter().collect();
    let new: BTreeSet<_> = new.iter().collect();
    assert_eq!(new.len(), more, "a trace for each export");
    let chosen: BTreeSet<_> = new.into_iter().filter(|id| is_sampled(id, 0.1)).collect();
    let wanted: BTreeSet<_> = old.union(&chosen).map(|id| (*id).clone()).collect();
    ledger.site.wait("the chosen traces, and all of before", || {
        let of_exports = ledger.spans()?.into_iter().filter(|span| span.name != ONCE);
        let kept: BTreeSet<_> = of_exports.map(|span| span.trace).collect();
        let (missing, odd): (Vec<_>, Vec<_>) =
            (wanted.difference(&kept).collect(), kept.difference(&wanted).collect());
        anyhow::ensure!(missing.is_empty() && odd.is_empty(), "missing {missing:?}, not chosen {odd:?}");
        Ok(Some(()))
    });
}

/// The rule of consistent probability sampling: the trace id's last 56 bits against a threshold.
fn is_sampled(id: &str, ratio: f64) -> bool {
    let random = u64::from_str_radix(&id[id.len() - 14..], 16).unwrap();
    random as f64 >= (1_u64 << 56) as f64 * (1.0 - ratio)
}
