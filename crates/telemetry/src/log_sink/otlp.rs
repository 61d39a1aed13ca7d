//! In: a record. Out: a log record in the queue of the SDK, of bounded size, since the queue is bounded by number only. Pure,
//! but for that queue.
//!
//! By the data model of OpenTelemetry: the message is the body, the target is the name of the instrumentation scope, fields
//! are attributes and keep their types. A `null` is an absent attribute.

use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger};
use serde_json::{Number, Value};
use tracing::Level;

use crate::export::FIELD;
use crate::line::Record;

/// The most that one log record holds, in bytes. With a full queue, 64 MiB are waiting.
const LARGEST: usize = 32 << 10;
/// Deeper JSON is sent as text: receivers refuse what is nested too deep.
const DEEPEST: usize = 16;
/// On a record of which something was left out.
const TRUNCATED: &str = "log.truncated";

pub(super) fn emit(logger: &SdkLogger, record: Record<'_>) {
    // On threads of the SDK, where records would be made of sending records.
    if Context::is_current_telemetry_suppressed() {
        return;
    }
    let mut log = logger.create_log_record();
    log.set_timestamp(SystemTime::now());
    log.set_severity_number(severity(record.level));
    log.set_severity_text(record.level.as_str());
    log.set_target(record.target.to_owned());
    // The SDK puts records without a span into the current one, which is not always theirs.
    let outside = match record.span {
        Some(ids) => {
            log.set_trace_context(ids.trace, ids.span, Some(ids.flags));
            None
        }
        None => Context::map_current(|context| context.has_active_span()).then(|| Context::new().attach()),
    };
    fill(&mut log, record);
    logger.emit(log);
    drop(outside);
}

fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

fn fill(log: &mut SdkLogRecord, record: Record<'_>) {
    let mut room = Room { left: LARGEST, full: false };
    if let Some(id) = record.correlation_id {
        log.add_attribute("correlation_id", id.as_str().to_owned());
    }
    if !record.message.is_empty() {
        log.set_body(room.text(record.message).into());
    }
    for (name, value) in record.fields {
        if room.take(FIELD + name.len())
            && let Some(value) = room.value(value, 0)
        {
            log.add_attribute(name, value);
        }
    }
    if room.full {
        log.add_attribute(TRUNCATED, true);
    }
}

/// What is left of the size of a record.
struct Room {
    left: usize,
    /// Something did not fit.
    full: bool,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let rest = self.left.checked_sub(bytes);
        self.full |= rest.is_none();
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    fn text(&mut self, mut text: String) -> String {
        if text.len() > self.left {
            text.truncate(text.floor_char_boundary(self.left));
            self.full = true;
        }
        self.left -= text.len();
        text
    }

    fn value(&mut self, value: Value, depth: usize) -> Option<AnyValue> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(value) => value.into(),
            Value::Number(number) => of_number(&number),
            Value::String(text) => self.text(text).into(),
            Value::Array(_) | Value::Object(_) if depth == DEEPEST => self.text(value.to_string()).into(),
            Value::Array(values) => {
                let values = values.into_iter().map_while(|value| {
                    // An absent element would move those after it.
                    self.take(FIELD).then(|| self.value(value, depth + 1).unwrap_or_else(|| "null".into()))
                });
                AnyValue::ListAny(Box::new(values.collect()))
            }
            Value::Object(members) => {
                let members = members.into_iter().filter_map(|(name, value)| {
                    let value = self.take(FIELD + name.len()).then(|| self.value(value, depth + 1))?;
                    Some((name.into(), value?))
                });
                AnyValue::Map(Box::new(members.collect()))
            }
        })
    }
}

/// What OTLP has no integer for goes as text, which is exact.
fn of_number(number: &Number) -> AnyValue {
    if let Some(integer) = number.as_i64() {
        AnyValue::Int(integer)
    } else if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
        AnyValue::Double(float)
    } else {
        number.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;
    use tracing::{info, info_span};

    use super::*;
    use crate::CorrelationId;
    use crate::fixture::Recorder;

    fn attributes(log: &SdkLogRecord) -> HashMap<String, AnyValue> {
        log.attributes_iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
    }

    #[test]
    fn a_record_has_the_types_of_its_data_and_the_ids_of_its_operation() {
        let recorder = Recorder::new("info");
        let id = CorrelationId::parse("order-7").unwrap();
        recorder.run(|| {
            let _export = info_span!("export").entered();
            let data = json!({"films": 3, "ratio": 0.5, "whole": 2.0, "done": true, "none": null, "huge": u64::MAX,
                              "nested": {"list": [1, "a", null], "none": null}, "level": "x"});
            id.sync_scope(|| recorder.logger().warn("export.done", data));
        });

        let span = recorder.spans().pop().unwrap().span_context;
        let log = recorder.log_records().pop().expect("no record");
        assert_eq!(log.body(), Some(&AnyValue::from("export.done")));
        assert_eq!((log.severity_number(), log.severity_text()), (Some(Severity::Warn), Some("WARN")));
        assert_eq!(log.target().map(AsRef::as_ref), Some("fixture"));
        let trace = log.trace_context().expect("no trace context");
        assert_eq!((trace.trace_id, trace.span_id), (span.trace_id(), span.span_id()));
        assert!(trace.trace_flags.is_some_and(|flags| flags.is_sampled()), "{trace:?}");
        let list = AnyValue::from_iter([AnyValue::Int(1), "a".into(), "null".into()]);
        let wanted: [(&str, AnyValue); 8] = [
            ("films", 3.into()),
            ("ratio", 0.5.into()),
            ("whole", 2.0.into()),
            ("done", true.into()),
            ("huge", u64::MAX.to_string().into()),
            ("nested", AnyValue::from_iter([("list", list)])),
            ("event.level", "x".into()),
            ("correlation_id", "order-7".into()),
        ];
        assert_eq!(attributes(&log), wanted.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn a_record_outside_of_every_span_does_not_get_into_the_current_one() {
        let recorder = Recorder::new("info");
        recorder.run(|| {
            let _here = info_span!("here").entered();
            info!(parent: None, "nowhere");
            info!("here");
        });
        let logs = recorder.log_records();
        assert_eq!(logs[0].trace_context(), None);
        assert!(logs[1].trace_context().is_some());
    }

    #[test]
    fn what_carries_records_away_is_logged_but_not_sent() {
        let recorder = Recorder::new("trace,h2=trace,opentelemetry=trace");
        recorder.run(|| {
            info!(target: "h2::codec", "frame");
            info!(target: "opentelemetry_sdk", "batch");
            let _sdk = Context::enter_telemetry_suppressed_scope();
            info!(target: "billing", "from a thread of the SDK");
        });
        assert_eq!(recorder.lines().len(), 3);
        assert_eq!(recorder.log_records(), []);
    }

    #[test]
    fn a_huge_record_is_whole_in_its_line_and_cut_for_otlp() {
        let recorder = Recorder::new("info");
        let long = "ä".repeat(1 << 20);
        let many: serde_json::Map<_, _> = (0..5000).map(|n| (format!("member{n}"), json!(n))).collect();
        let mut deep = json!("core");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        recorder.logger().info(&long, json!({"after": 1}));
        recorder.logger().info("long", json!({"long": long}));
        recorder.logger().info("many", many.into());
        recorder.logger().info("deep", json!({"deep": deep}));

        let lines = recorder.json_lines();
        assert_eq!((lines[0]["message"].as_str(), &lines[0]["after"]), (Some(long.as_str()), &json!(1)));
        assert_eq!(lines[1]["long"], long);
        assert_eq!(lines[2].as_object().unwrap().len(), 5004);
        assert_eq!(lines[3]["deep"], deep);
        let logs = recorder.log_records();
        for (log, cut) in logs.iter().zip([true, true, true, false]) {
            let size = crate::export::size_of_record(log);
            assert!(size <= LARGEST + 256, "{size} bytes");
            let truncated = attributes(log).remove(TRUNCATED);
            assert_eq!(truncated, cut.then_some(AnyValue::Boolean(true)), "{:?}", log.body());
        }
        assert!(attributes(&logs[2]).len() > 500);
        assert!(format!("{:?}", logs[3]).contains("core"));
    }
}
