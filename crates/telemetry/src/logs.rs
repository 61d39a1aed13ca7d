//! In: `tracing` events. Out: records with the ids of the span that each event happened in, in the log sink. Also decides
//! what is logged at all. No network of its own.

use std::sync::OnceLock;

use opentelemetry::Context;
use opentelemetry::logs::LoggerProvider;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogExporter, SdkLogger, SdkLoggerProvider};
use tracing::dispatcher::WeakDispatch;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::filter::{Directive, EnvFilter, ParseError, Targets};
use tracing_subscriber::layer::{self, Layer};

use crate::correlation::CorrelationId;
use crate::error::TelemetryError;
use crate::line::{self, Ids, Record};
use crate::log_sink::LogSink;
use crate::traces::TRANSPORT;

/// The filter for log lines. Crates that carry the spans away start at WARN: at DEBUG each of their frames is
/// a line.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, TelemetryError> {
    let directive = |text: &str| -> Result<Directive, TelemetryError> {
        text.parse().map_err(|error: ParseError| TelemetryError::LogFilter {
            directive: text.to_owned(),
            reason: error.to_string(),
        })
    };
    let mut filter = EnvFilter::default().add_directive(LevelFilter::ERROR.into());
    for transport in TRANSPORT {
        filter = filter.add_directive(directive(&format!("{transport}=warn"))?);
    }
    for text in split(directives) {
        filter = filter.add_directive(directive(text)?);
    }
    Ok(filter)
}

fn split(directives: &str) -> impl Iterator<Item = &str> {
    directives.split(',').map(str::trim).filter(|text| !text.is_empty())
}

/// The least severe level at which the same directives let `target` speak outside of any span.
pub(crate) fn level_of(target: &str, directives: &str) -> LevelFilter {
    let mut targets = Targets::new().with_default(LevelFilter::ERROR);
    // Directives about spans do not parse here, and would not apply.
    for directive in split(directives).filter_map(|text| text.parse::<Targets>().ok()) {
        targets.extend(directive.iter().map(|(target, level)| (target.to_owned(), level)));
        if let Some(level) = directive.default_level() {
            targets = targets.with_default(level);
        }
    }
    let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
    let enabled = levels.into_iter().find(|level| targets.would_enable(target, level));
    enabled.map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// A provider that exports log records in batches.
pub(crate) fn provider(resource: Resource, exporter: impl LogExporter + 'static) -> SdkLoggerProvider {
    SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()
}

/// The one logger that the sink writes to. Each record brings the name of its scope.
pub(crate) fn logger(provider: &SdkLoggerProvider) -> SdkLogger {
    provider.logger("telemetry")
}

/// Hands each event to the sink.
pub(crate) struct LogLayer {
    sink: LogSink,
    /// The subscriber that this layer is a part of. Inside of an event `tracing` does not tell which one is
    /// current.
    subscriber: OnceLock<WeakDispatch>,
}

impl LogLayer {
    pub(crate) fn new(sink: LogSink) -> Self {
        Self { sink, subscriber: OnceLock::new() }
    }

    /// The ids of the span that the event belongs to. The context that the trace layer made current is asked,
    /// and not the registry: the log filter may have turned off the very span that the trace has.
    fn ids(&self, event: &Event<'_>) -> Option<Ids> {
        if event.is_contextual() {
            return current_ids();
        }
        let subscriber = self.subscriber.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(event.parent()?, &subscriber)?;
        Ids::of(context.span().span_context())
    }
}

/// The ids of the current span.
pub(crate) fn current_ids() -> Option<Ids> {
    Context::map_current(|context| Ids::of(context.span().span_context()))
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        // A layer has one subscriber; a second call would say the same.
        let _ = self.subscriber.set(subscriber.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let (message, fields) = line::of_event(event);
        let metadata = event.metadata();
        self.sink.write(Record {
            level: *metadata.level(),
            target: metadata.target(),
            message,
            fields,
            span: self.ids(event),
            correlation_id: CorrelationId::current(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing::{Instrument, info, info_span, warn};

    use super::*;
    use crate::fixture::Recorder;

    #[test]
    fn a_line_carries_the_ids_of_the_innermost_exported_span() {
        let recorder = Recorder::new("info");
        recorder.run(|| {
            info!("outside");
            let _outer = info_span!("outer").entered();
            info!("outer");
            info_span!("inner").in_scope(|| info!("inner"));
            info!("outer again");
        });

        let spans: BTreeMap<_, _> =
            recorder.spans().into_iter().map(|span| (span.name.to_string(), span.span_context)).collect();
        let lines = recorder.json_lines();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].get("trace_id").is_none() && lines[0].get("span_id").is_none(), "{}", lines[0]);
        for (line, span) in lines[1..].iter().zip(["outer", "inner", "outer"]) {
            assert_eq!(line["trace_id"], spans[span].trace_id().to_string(), "{line}");
            assert_eq!(line["span_id"], spans[span].span_id().to_string(), "{line}");
        }
    }

    #[tokio::test]
    async fn interleaved_operations_keep_their_own_ids() {
        let recorder = Recorder::new("info");
        let _current = recorder.set_default();
        let operation = |number: u64| {
            async move {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                    info!(number, "step");
                }
            }
            .instrument(info_span!("operation", number = number as i64))
        };
        let running: Vec<_> = (0..100).map(|number| tokio::spawn(operation(number))).collect();
        for task in running {
            task.await.unwrap();
        }

        let traces: BTreeMap<_, _> = recorder
            .spans()
            .into_iter()
            .map(|span| {
                let number = span.attributes.iter().find(|attribute| attribute.key.as_str() == "number");
                (number.expect("no number").value.to_string(), span.span_context.trace_id().to_string())
            })
            .collect();
        let lines = recorder.json_lines();
        assert_eq!((traces.len(), lines.len()), (100, 400));
        for line in lines {
            assert_eq!(line["trace_id"], traces[&line["number"].to_string()], "{line}");
        }
    }

    #[test]
    fn an_event_with_a_parent_of_its_own_carries_that_ones_ids() {
        let recorder = Recorder::new("info");
        recorder.run(|| {
            let elsewhere = info_span!("elsewhere");
            let _here = info_span!("here").entered();
            info!(parent: &elsewhere, "elsewhere");
            info!(parent: None, "nowhere");
        });
        let spans = recorder.spans();
        let elsewhere = spans.iter().find(|span| span.name == "elsewhere").expect("no span");
        let lines = recorder.json_lines();
        assert_eq!(lines[0]["trace_id"], elsewhere.span_context.trace_id().to_string());
        assert_eq!(lines[0]["span_id"], elsewhere.span_context.span_id().to_string());
        assert!(lines[1].get("trace_id").is_none(), "{}", lines[1]);
    }

    #[test]
    fn a_span_that_the_log_filter_drops_still_gives_its_ids() {
        let recorder = Recorder::new("warn");
        recorder.run(|| {
            info_span!("quiet").in_scope(|| {
                info!("not logged");
                warn!("logged");
            });
        });
        let lines = recorder.json_lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["trace_id"], recorder.spans()[0].span_context.trace_id().to_string());
    }

    #[test]
    fn without_an_exporter_lines_correlate_but_there_is_no_trace_to_look_up() {
        let recorder = Recorder::unexported();
        let trace_id = recorder.run(|| {
            info_span!("outer").in_scope(|| {
                info!("one");
                info_span!("inner").in_scope(|| info!("two"));
                crate::traces::trace_id()
            })
        });
        let lines = recorder.json_lines();
        let hex = |value: &serde_json::Value, length: usize| {
            let text = value.as_str().expect("no id");
            assert!(text.len() == length && text.bytes().any(|b| b != b'0'), "not a valid id: {text}");
            text.to_owned()
        };
        assert_eq!(hex(&lines[0]["trace_id"], 32), hex(&lines[1]["trace_id"], 32));
        assert_ne!(hex(&lines[0]["span_id"], 16), hex(&lines[1]["span_id"], 16));
        assert_eq!(trace_id, None);
    }

    #[test]
    fn the_transport_is_quiet_unless_it_is_named() {
        let count = |filter: &str| {
            let recorder = Recorder::new(filter);
            recorder.run(|| {
                tracing::debug!(target: "h2::codec", "frame");
                tracing::debug!(target: "billing", "step");
            });
            recorder.lines().len()
        };
        assert_eq!(count("debug"), 1);
        assert_eq!(count("debug, h2=trace"), 2);
        assert_eq!(count("info"), 0);
    }

    #[test]
    fn a_bad_directive_is_named() {
        let error = filter("info,billing=loud").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`billing=loud`"), "{error}");
        assert!(filter("").is_ok());
    }

    #[test]
    fn the_logger_obeys_the_directives_that_fit_its_target() {
        for (directives, wanted) in [
            ("", LevelFilter::ERROR),
            ("info", LevelFilter::INFO),
            ("off", LevelFilter::OFF),
            ("warn, billing=debug", LevelFilter::WARN),
            ("error, exporter-1=info", LevelFilter::INFO),
            ("info, exporter-1=off", LevelFilter::OFF),
            ("info, exporter-1[span]=trace", LevelFilter::INFO),
        ] {
            assert_eq!(level_of("exporter-1", directives), wanted, "{directives}");
        }
    }
}
