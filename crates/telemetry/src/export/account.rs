//! In: what became of each request of an exporter. Out: counters, and one line when an outage begins and one when it is over.
//! Pure.
//!
//! An endpoint that is away costs what would have been sent, and nothing else. The SDK's own log lines are compiled out (they
//! would come once per batch for as long as it lasts); here one warning says when it begins, one line when it is over, and
//! each lost request is a line at debug. The counters go on counting either way.
//!
//! These lines come from the thread of the SDK that runs the exporter. The SDK makes no spans and log records on it, so that
//! a failure to send causes nothing more to send.

use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use prometheus::{IntCounterVec, Opts, Registry};

use crate::endpoint::Signal;
use crate::error::TelemetryError;

/// What a signal consists of, in words.
const fn named(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Logs => "log records",
    }
}

const DELIVERED: &str = "delivered";
const FAILED: &str = "failed";
/// The endpoint is there but has no place for the signal: expected, and nobody's loss.
const UNSUPPORTED: &str = "unsupported";

/// Spans and log records that were handed to the exporters, by result.
#[derive(Clone, Debug)]
pub(crate) struct ExportCounters {
    spans: IntCounterVec,
    log_records: IntCounterVec,
}

impl ExportCounters {
    pub(crate) fn register(registry: &Registry) -> Result<Self, TelemetryError> {
        let counter = |signal: Signal, name: &str| {
            let what = named(signal);
            let help = format!(
                "What the OTLP exporter of {what} handed over, by result, without what a full queue turned away"
            );
            let counter = IntCounterVec::new(Opts::new(name, help), &["result"])?;
            registry.register(Box::new(counter.clone()))?;
            for result in [DELIVERED, FAILED] {
                counter.with_label_values(&[result]);
            }
            Ok::<_, TelemetryError>(counter)
        };
        Ok(Self {
            spans: counter(Signal::Traces, "telemetry_exported_spans_total")?,
            log_records: counter(Signal::Logs, "telemetry_exported_log_records_total")?,
        })
    }

    /// How many the endpoint did not take, so far.
    pub(crate) fn failed(&self, signal: Signal) -> u64 {
        self.of(signal).with_label_values(&[FAILED]).get()
    }

    fn of(&self, signal: Signal) -> &IntCounterVec {
        match signal {
            Signal::Traces => &self.spans,
            Signal::Logs => &self.log_records,
        }
    }
}

/// The books of one exporter.
#[derive(Debug)]
pub(super) struct Account {
    signal: Signal,
    endpoint: String,
    counter: IntCounterVec,
    state: Mutex<State>,
}

/// What the last request met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Taken,
    Lost,
    Unsupported,
}

impl Account {
    pub(super) fn new(signal: Signal, endpoint: String, counters: &ExportCounters) -> Self {
        Self { signal, endpoint, counter: counters.of(signal).clone(), state: Mutex::new(State::Taken) }
    }

    /// Counts `items` and reports what has changed. `cause` is what is known beyond the error of `result`.
    pub(super) fn enter(&self, items: u64, result: &OTelSdkResult, cause: Option<&str>) {
        let Err(error) = result else {
            self.counter.with_label_values(&[DELIVERED]).inc_by(items);
            if self.turn(State::Taken) != State::Taken {
                self.recovered();
            }
            return;
        };
        let text = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        if self.signal == Signal::Logs && is_unsupported(&text) {
            self.counter.with_label_values(&[UNSUPPORTED]).inc_by(items);
            if self.turn(State::Unsupported) != State::Unsupported {
                self.unsupported(&text);
            }
            return;
        }
        self.counter.with_label_values(&[FAILED]).inc_by(items);
        // A program that ends without a shutdown has chosen to lose what is on its way.
        let known = matches!(error, OTelSdkError::AlreadyShutdown) || self.turn(State::Lost) == State::Lost;
        self.lost(items, &text, known);
    }

    fn turn(&self, to: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), to)
    }

    fn recovered(&self) {
        tracing::info!(endpoint = self.endpoint, "the OTLP endpoint takes {} again", named(self.signal));
    }

    fn unsupported(&self, error: &str) {
        tracing::warn!(
            endpoint = self.endpoint,
            error,
            "the OTLP endpoint has no place for log records (a Jaeger stores traces only); \
             log lines are written as before, but not sent"
        );
    }

    fn lost(&self, items: u64, error: &str, known: bool) {
        let (endpoint, what) = (self.endpoint.as_str(), named(self.signal));
        let (spans, log_records) = match self.signal {
            Signal::Traces => (Some(items), None),
            Signal::Logs => (None, Some(items)),
        };
        if known {
            tracing::debug!(endpoint, spans, log_records, error, "a batch of {what} is lost");
        } else {
            tracing::warn!(
                endpoint,
                spans,
                log_records,
                error,
                "the OTLP endpoint does not take {what}; they are lost until it does"
            );
        }
    }
}

/// Whether the endpoint answers, but not to this signal. The exporters of OTLP tell it in words only.
fn is_unsupported(error: &str) -> bool {
    error.contains("gRPC code: Unimplemented") || error.contains("status code: 404")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fixture::Recorder;

    const ENDPOINT: &str = "http://127.0.0.1:4317";

    fn failure(text: &str) -> OTelSdkResult {
        Err(OTelSdkError::InternalFailure(text.into()))
    }

    /// The lines of an account with these entries of two items each, and what it counted.
    fn kept(signal: Signal, entries: &[OTelSdkResult]) -> (Vec<Value>, [u64; 3]) {
        let counters = ExportCounters::register(&Registry::new()).unwrap();
        let account = Account::new(signal, ENDPOINT.to_owned(), &counters);
        let recorder = Recorder::new("debug");
        recorder.run(|| entries.iter().for_each(|result| account.enter(2, result, None)));
        let count = |result| counters.of(signal).with_label_values(&[result]).get();
        (recorder.json_lines(), [DELIVERED, FAILED, UNSUPPORTED].map(count))
    }

    fn levels(lines: &[Value]) -> Vec<&str> {
        lines.iter().map(|line| line["level"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_outage_is_reported_when_it_begins_and_when_it_ends() {
        for (signal, name, field) in
            [(Signal::Traces, "spans", "spans"), (Signal::Logs, "log records", "log_records")]
        {
            let away = || failure("connection refused");
            let (lines, counts) = kept(signal, &[Ok(()), away(), away(), Ok(()), Ok(()), away()]);
            assert_eq!(levels(&lines), ["WARN", "DEBUG", "INFO", "WARN"], "{lines:#?}");
            for line in &lines {
                assert_eq!(line["endpoint"], ENDPOINT, "{line}");
                assert!(line["message"].as_str().unwrap().contains(name), "{line}");
            }
            assert!(lines[0]["error"].as_str().unwrap().contains("connection refused"), "{}", lines[0]);
            assert_eq!(lines[0][field], 2, "{}", lines[0]);
            assert_eq!(counts, [6, 6, 0]);
        }
    }

    #[test]
    fn an_endpoint_without_a_place_for_logs_is_named_once_and_nothing_is_lost() {
        let away = failure("connection refused");
        let jaeger = failure("TonicLogsClient export failed with gRPC code: Unimplemented");
        let other = || failure("HTTP export failed with status code: 404");
        let (lines, counts) = kept(Signal::Logs, &[away, jaeger, other(), other()]);
        assert_eq!(levels(&lines), ["WARN", "WARN"], "{lines:#?}");
        assert!(
            lines[1]["message"].as_str().unwrap().contains("a Jaeger stores traces only"),
            "{}",
            lines[1]
        );
        assert_eq!(counts, [0, 2, 6]);

        let (lines, counts) = kept(Signal::Traces, &[other()]);
        assert!(lines[0]["message"].as_str().unwrap().contains("does not take spans"), "{}", lines[0]);
        assert_eq!(counts, [0, 2, 0]);
    }

    #[test]
    fn what_is_cut_off_by_the_end_of_the_program_is_no_outage() {
        let (lines, counts) = kept(Signal::Traces, &[Err(OTelSdkError::AlreadyShutdown)]);
        assert_eq!(levels(&lines), ["DEBUG"], "{lines:#?}");
        assert_eq!(counts, [0, 2, 0]);
    }
}
