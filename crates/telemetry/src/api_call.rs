//! In: a future that calls an API. Out: the same result, a client span `api.<endpoint>`, and a measurement of duration and
//! outcome. No network of its own: the call is the caller's.

use std::fmt::Display;
use std::time::Instant;

use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute::{
    HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, URL_TEMPLATE,
};

use crate::manager::TelemetryManager;
use crate::operation::{Operation, Outcome};

impl TelemetryManager {
    /// Runs `future`, which makes an API call, in a client span `api.<endpoint>`, and records duration and outcome (`ok`,
    /// `error`, `cancelled`, `panicked`) in `trakt_api_duration_seconds`. The result is passed through.
    ///
    /// Inside, [`inject_headers`](crate::inject_headers) fills in the outgoing headers, and [`record_http_status`] tells the
    /// span what came back. `endpoint` becomes a label: a path template, never one with ids in it.
    ///
    /// The span has `http.method`, `http.url` and `component` beside the names of today's conventions, `http.request.method`
    /// and `url.template`.
    ///
    /// # Errors
    /// Those of `future`.
    pub fn instrument_api_call<T, E, F>(
        &self,
        endpoint: &'static str,
        method: &'static str,
        future: F,
    ) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: Display,
    {
        let begin = self.is_enabled().then_some(move || {
            let attributes = [
                KeyValue::new("http.method", method),
                KeyValue::new(HTTP_REQUEST_METHOD, method),
                KeyValue::new("http.url", endpoint),
                KeyValue::new(URL_TEMPLATE, endpoint),
                KeyValue::new("component", "api_client"),
            ];
            let context = self.start(format!("api.{endpoint}").into(), SpanKind::Client, &attributes);
            let duration = &self.instruments().api_duration;
            let started = Instant::now();
            let measure = move |context: &Context, outcome: Outcome| {
                let labels = [
                    KeyValue::new("endpoint", endpoint),
                    KeyValue::new("method", method),
                    KeyValue::new("outcome", outcome.as_str()),
                ];
                duration.record_in(context, started.elapsed().as_secs_f64(), &labels);
            };
            (context, measure)
        });
        Operation::new(future, begin)
    }
}

/// Tells the current span which HTTP status came back.
pub fn record_http_status(status: u16) {
    Context::map_current(|context| {
        context.span().set_attributes([
            KeyValue::new("http.status_code", i64::from(status)),
            KeyValue::new(HTTP_RESPONSE_STATUS_CODE, i64::from(status)),
        ]);
    });
}
