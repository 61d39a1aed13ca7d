//! In: what is to be logged, from a `tracing` event or from structured data. Out: one line, JSON or text. Pure. A value that
//! cannot be formatted is marked as such; it never takes the program down. A line may be of any length.

use std::error::Error;
use std::fmt::{self, Write};

use opentelemetry::trace::SpanContext;
use opentelemetry::{SpanId, TraceFlags, TraceId};
use serde_json::{Map, Number, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::correlation::CorrelationId;
use crate::error::{append, chain, formatted};

/// The names at the top of a JSON line. A field that has one of them gets the prefix `event.`.
const RESERVED: [&str; 7] =
    ["timestamp", "level", "target", "message", "trace_id", "span_id", "correlation_id"];

/// What is logged: the same for the line and for OTLP.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) level: Level,
    /// Who says it: the module of an event, the service of a logger.
    pub(crate) target: &'a str,
    pub(crate) message: String,
    /// None of the names is reserved.
    pub(crate) fields: Map<String, Value>,
    pub(crate) span: Option<Ids>,
    pub(crate) correlation_id: Option<CorrelationId>,
}

/// The span that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) flags: TraceFlags,
}

impl Ids {
    pub(crate) fn of(span: &SpanContext) -> Option<Self> {
        let ids = Self { trace: span.trace_id(), span: span.span_id(), flags: span.trace_flags() };
        span.is_valid().then_some(ids)
    }
}

/// The record as a line, with the time of now. `ids`: with the ids of span and correlation.
pub(crate) fn render(record: &Record<'_>, structured: bool, ids: bool) -> String {
    let mut timestamp = String::new();
    // Fails for a clock before the year 1 only; a line without its time is better than none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let span = record.span.filter(|_| ids);
    let ids = [
        ("trace_id", span.map(|ids| ids.trace.to_string())),
        ("span_id", span.map(|ids| ids.span.to_string())),
        ("correlation_id", record.correlation_id.as_ref().filter(|_| ids).map(ToString::to_string)),
    ];
    let ids = ids.into_iter().filter_map(|(name, id)| Some((name, id?)));
    if structured { json(record, &timestamp, ids) } else { text(record, &timestamp, ids) }
}

fn json(record: &Record<'_>, timestamp: &str, ids: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut line = String::from("{");
    let mut member = |name: &dyn fmt::Display, value: &dyn fmt::Display| {
        let comma = if line.len() > 1 { "," } else { "" };
        append(&mut line, format_args!("{comma}{name}:{value}"));
    };
    member(&"\"timestamp\"", &Value::from(timestamp));
    member(&"\"level\"", &Value::from(record.level.as_str()));
    member(&"\"target\"", &Value::from(record.target));
    member(&"\"message\"", &Value::from(record.message.as_str()));
    for (name, id) in ids {
        member(&Value::from(name), &Value::from(id));
    }
    for (name, value) in &record.fields {
        member(&Value::from(name.as_str()), value);
    }
    line.push_str("}\n");
    line
}

fn text(record: &Record<'_>, timestamp: &str, ids: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut line = String::new();
    append(&mut line, format_args!("{timestamp} {:<5} {}: ", record.level, OneLine(record.target)));
    append(&mut line, format_args!("{}", OneLine(&record.message)));
    for (name, value) in &record.fields {
        let name = OneLine(name);
        match value.as_str() {
            Some(word) if !word.is_empty() && !word.contains([' ', '"', '=']) => {
                append(&mut line, format_args!(" {name}={}", OneLine(word)));
            }
            // JSON escapes some of the control characters.
            _ => append(&mut line, format_args!(" {name}={}", OneLine(&value.to_string()))),
        }
    }
    for (name, id) in ids {
        append(&mut line, format_args!(" {name}={id}"));
    }
    line.push('\n');
    line
}

/// Control characters are written as escapes: no second line, and no orders to the terminal.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// The message and the fields of an event.
pub(crate) fn of_event(event: &Event<'_>) -> (String, Map<String, Value>) {
    let mut content = Content::default();
    event.record(&mut content);
    (content.message, content.fields)
}

/// The fields that structured data makes: the members of an object, nothing of `null`, and anything else as `data`.
pub(crate) fn of_data(data: Value) -> Map<String, Value> {
    let mut fields = Map::new();
    match data {
        Value::Object(members) => members.into_iter().for_each(|(name, value)| put(&mut fields, name, value)),
        Value::Null => {}
        data => put(&mut fields, "data".to_owned(), data),
    }
    fields
}

fn put(fields: &mut Map<String, Value>, mut name: String, value: Value) {
    if RESERVED.contains(&name.as_str()) {
        name.insert_str(0, "event.");
    }
    fields.insert(name, value);
}

#[derive(Default)]
struct Content {
    message: String,
    fields: Map<String, Value>,
}

impl Content {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name().trim_start_matches("r#");
        match value {
            Value::String(message) if name == "message" => self.message = message,
            value => put(&mut self.fields, name.to_owned(), value),
        }
    }
}

impl Visit for Content {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        self.put(
            field,
            Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number),
        );
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.put(field, Value::from(chain(error)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::from(formatted(format_args!("{value:?}"))));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::CorrelationId;
    use crate::fixture::Recorder;

    /// What is left of the one line that `log` makes, without its time.
    fn line_of(log: impl FnOnce()) -> serde_json::Value {
        let recorder = Recorder::new("trace");
        recorder.run(log);
        let mut line = recorder.json_lines().pop().expect("no line was logged");
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").expect("no timestamp");
        let timestamp = timestamp.as_str().unwrap();
        assert!(
            timestamp.len() == 27 && timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
            "not RFC 3339 in UTC: {timestamp}"
        );
        line
    }

    struct Broken;

    impl std::fmt::Debug for Broken {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("half")?;
            Err(std::fmt::Error)
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot apply")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn values_keep_their_type() {
        let line = line_of(|| {
            let nan = f64::NAN;
            tracing::info!(target: "t", n = -1, u = 2_u64, f = 0.5, nan, yes = true, r#type = "x", "{} b", "a");
        });
        assert_eq!(
            line,
            json!({"level": "INFO", "target": "t", "message": "a b",
                   "n": -1, "u": 2, "f": 0.5, "nan": "NaN", "yes": true, "type": "x"})
        );
    }

    #[test]
    fn a_field_cannot_take_the_place_of_a_name_at_the_top() {
        let line = line_of(|| {
            tracing::warn!(target: "t", level = 3, trace_id = "mine", correlation_id = 1, timestamp = "then", "m");
        });
        assert_eq!(
            line,
            json!({"level": "WARN", "target": "t", "message": "m",
                   "event.level": 3, "event.trace_id": "mine", "event.correlation_id": 1, "event.timestamp": "then"})
        );
    }

    #[test]
    fn an_error_is_written_with_its_causes() {
        let error = Outer(std::io::Error::other("refused"));
        let line = line_of(|| {
            tracing::error!(target: "t", error = &error as &(dyn std::error::Error + 'static));
        });
        assert_eq!(
            line,
            json!({"level": "ERROR", "target": "t", "message": "", "error": "cannot apply: refused"})
        );
    }

    #[test]
    fn a_value_that_cannot_be_formatted_is_marked() {
        let line = line_of(|| tracing::info!(target: "t", value = ?Broken, "{:?}", Broken));
        assert_eq!(
            line,
            json!({"level": "INFO", "target": "t",
                   "message": "half<not formattable>", "value": "half<not formattable>"})
        );
    }

    #[test]
    fn text_is_one_line_for_people() {
        let recorder = Recorder::text("trace");
        let id = CorrelationId::parse("order-7").unwrap();
        recorder.run(|| {
            let _work = tracing::info_span!("work").entered();
            id.sync_scope(|| {
                let name = "a b";
                tracing::warn!(target: "controller", count = 2, name, kind = "Service", "two\nlines \u{1b}[31m");
            });
            recorder.logger().warn("data", json!({"one\nline": "\u{9b} a", "list": ["\n", null, 2.5]}));
        });
        let span = recorder.spans().pop().expect("no span").span_context;
        let lines = recorder.lines();
        let (_, rest) = lines[0].split_once(' ').unwrap();
        let ids = format!("trace_id={} span_id={}", span.trace_id(), span.span_id());
        let wanted = r#"WARN  controller: two\nlines \u{1b}[31m count=2 kind=Service name="a b""#;
        assert_eq!(rest, format!("{wanted} {ids} correlation_id=order-7"));
        let (_, rest) = lines[1].split_once(' ').unwrap();
        let wanted = r#"WARN  fixture: data list=["\n",null,2.5] one\nline="\u{9b} a""#;
        assert_eq!(rest, format!("{wanted} {ids}"));
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}
