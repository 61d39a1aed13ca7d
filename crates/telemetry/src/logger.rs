//! In: a key and data. Out: one log line, and one OTLP log record where an endpoint is set, with the ids of the current
//! operation. No network of its own.

use std::sync::Arc;

use serde_json::Value;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::correlation::CorrelationId;
use crate::line::{self, Record};
use crate::log_sink::LogSink;
use crate::logs::{current_ids, level_of};

/// A logger for structured data. `tracing` events get the same ids; use whichever reads better. Needs no `tracing` subscriber.
///
/// The line has `message` = the key, `target` = the service name, the members of the data with their JSON types, and
/// `trace_id`, `span_id`, `correlation_id` of the operation in which it is written. A member that has the name of one of
/// these, or `timestamp` or `level`, gets the prefix `event.`. The log filter decides about the levels.
///
/// A line may be of any length. What goes out over OTLP is cut to 32 KiB a record, and is then marked `log.truncated`.
#[derive(Clone, Debug)]
pub struct CorrelatedLogger {
    sink: LogSink,
    target: Arc<str>,
    level: LevelFilter,
}

impl CorrelatedLogger {
    /// A logger that speaks as `target`, as far as `directives`, a log filter, let it.
    pub(crate) fn new(sink: LogSink, target: &str, directives: &str) -> Self {
        Self { sink, target: target.into(), level: level_of(target, directives) }
    }

    /// Logs at INFO. `key` says what happened (`export.done`), `data` is a JSON object with the details:
    /// `json!({"films": 3})`. Any other value goes under `data`; `Value::Null` is no data.
    pub fn info(&self, key: &str, data: Value) {
        self.log(Level::INFO, key, data);
    }

    /// Logs at WARN.
    pub fn warn(&self, key: &str, data: Value) {
        self.log(Level::WARN, key, data);
    }

    /// Logs at ERROR.
    pub fn error(&self, key: &str, data: Value) {
        self.log(Level::ERROR, key, data);
    }

    fn log(&self, level: Level, key: &str, data: Value) {
        if level > self.level {
            return;
        }
        self.sink.write(Record {
            level,
            target: &self.target,
            message: key.to_owned(),
            fields: line::of_data(data),
            span: current_ids(),
            correlation_id: CorrelationId::current(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use opentelemetry::trace::{FutureExt, SpanContext, TraceContextExt, TraceFlags, TraceState};
    use opentelemetry::{Context, SpanId, TraceId};
    use serde_json::json;
    use tokio::sync::Barrier;

    use super::*;
    use crate::fixture::Recorder;

    fn without_time(mut line: Value) -> Value {
        line.as_object_mut().unwrap().remove("timestamp").expect("no timestamp");
        line
    }

    #[test]
    fn data_of_any_shape_becomes_a_line() {
        let recorder = Recorder::new("info");
        let logger = recorder.logger();
        logger
            .info("object", json!({"films": 3, "nested": {"a": [1, null]}, "message": "mine", "span_id": 1}));
        logger.warn("list", json!([1, 2]));
        logger.error("nothing", Value::Null);
        let lines: Vec<_> = recorder.json_lines().into_iter().map(without_time).collect();
        assert_eq!(
            lines,
            [
                json!({"level": "INFO", "target": "fixture", "message": "object", "films": 3,
                       "nested": {"a": [1, null]}, "event.message": "mine", "event.span_id": 1}),
                json!({"level": "WARN", "target": "fixture", "message": "list", "data": [1, 2]}),
                json!({"level": "ERROR", "target": "fixture", "message": "nothing"}),
            ]
        );
    }

    #[test]
    fn the_log_filter_decides_about_levels() {
        let logged = |filter| {
            let recorder = Recorder::new(filter);
            let logger = recorder.logger();
            logger.info("i", Value::Null);
            logger.warn("w", Value::Null);
            logger.error("e", Value::Null);
            recorder.lines().len()
        };
        assert_eq!([logged("info"), logged("warn"), logged(""), logged("off")], [3, 2, 1, 0]);
    }

    #[test]
    fn without_correlation_lines_have_no_ids_and_records_keep_them() {
        let recorder = Recorder::uncorrelated();
        recorder.run(|| {
            let _work = tracing::info_span!("work").entered();
            CorrelationId::random().sync_scope(|| {
                recorder.logger().info("by logger", Value::Null);
                tracing::info!("by event");
            });
        });
        for line in recorder.json_lines() {
            for id in ["trace_id", "span_id", "correlation_id"] {
                assert!(line.get(id).is_none(), "{line}");
            }
        }
        let records = recorder.log_records();
        assert_eq!(records.len(), 2);
        for record in records {
            assert!(record.trace_context().is_some(), "{record:?}");
            assert!(record.attributes_iter().any(|(key, _)| key.as_str() == "correlation_id"), "{record:?}");
        }
    }

    /// All operations are under way at the same time, and each moves between threads.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_operations_at_once_keep_their_own_ids() {
        const OPERATIONS: u64 = 1000;
        let recorder = Arc::new(Recorder::new("info"));
        let under_way = Arc::new(Barrier::new(OPERATIONS as usize));
        let dispatch = recorder.dispatch();
        let operation = |number: u64| {
            let (recorder, under_way, dispatch) = (recorder.clone(), under_way.clone(), dispatch.clone());
            let span = SpanContext::new(
                TraceId::from(u128::from(number) + 1),
                SpanId::from(number + 1),
                TraceFlags::SAMPLED,
                true,
                TraceState::NONE,
            );
            let steps = async move {
                for _ in 0..3 {
                    under_way.wait().await;
                    recorder.logger().info("by logger", json!({"number": number}));
                    tokio::task::yield_now().await;
                    tracing::dispatcher::with_default(&dispatch, || tracing::info!(number, "by event"));
                }
            };
            let id = CorrelationId::parse(&format!("operation-{number}")).unwrap();
            tokio::spawn(id.scope(steps.with_context(Context::new().with_remote_span_context(span))))
        };
        let running: Vec<_> = (0..OPERATIONS).map(operation).collect();
        for task in running {
            task.await.unwrap();
        }

        let mut seen: HashMap<u64, u32> = HashMap::new();
        for line in recorder.json_lines() {
            let number = line["number"].as_u64().unwrap();
            assert_eq!(line["trace_id"], format!("{:032x}", number + 1), "{line}");
            assert_eq!(line["span_id"], format!("{:016x}", number + 1), "{line}");
            assert_eq!(line["correlation_id"], format!("operation-{number}"), "{line}");
            *seen.entry(number).or_default() += 1;
        }
        assert!(seen.len() == OPERATIONS as usize && seen.values().all(|count| *count == 6), "{seen:?}");
        for record in recorder.log_records() {
            let trace = record.trace_context().expect("no trace context").trace_id;
            let operation = format!("operation-{}", u128::from_be_bytes(trace.to_bytes()) - 1);
            let (_, id) = record.attributes_iter().find(|(key, _)| key.as_str() == "correlation_id").unwrap();
            assert_eq!(*id, operation.into());
        }
    }
}
