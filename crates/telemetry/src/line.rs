//! In: one `tracing` event and the ids of its span. Out: one line, JSON or text. Pure. A value that cannot be
//! formatted is marked as such; it never takes the program down.

use std::error::Error;
use std::fmt::{self, Write};

use opentelemetry::trace::{SpanId, TraceId};
use serde_json::{Map, Number, Value};
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::config::LogFormat;

/// The names at the top of a JSON line. A field of an event that has one of them gets the prefix `event.`.
const RESERVED: [&str; 6] = ["timestamp", "level", "target", "message", "trace_id", "span_id"];

/// One event, ready to be written.
pub(crate) fn render(event: &Event<'_>, ids: Option<(TraceId, SpanId)>, format: LogFormat) -> String {
    let mut timestamp = String::new();
    // Fails for a clock before the year 1 only; a line without its time is better than none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let mut content = Content::default();
    event.record(&mut content);
    match format {
        LogFormat::Json => json(event, &timestamp, ids, content),
        LogFormat::Text => text(event, &timestamp, ids, &content),
    }
}

fn json(event: &Event<'_>, timestamp: &str, ids: Option<(TraceId, SpanId)>, content: Content) -> String {
    let metadata = event.metadata();
    let mut head = vec![
        ("timestamp", Value::from(timestamp)),
        ("level", Value::from(metadata.level().as_str())),
        ("target", Value::from(metadata.target())),
        ("message", Value::from(content.message)),
    ];
    if let Some((trace_id, span_id)) = ids {
        head.push(("trace_id", Value::from(trace_id.to_string())));
        head.push(("span_id", Value::from(span_id.to_string())));
    }
    let head = head.into_iter().map(|(name, value)| (name.to_owned(), value));

    let mut line = String::from("{");
    for (name, value) in head.chain(content.fields) {
        let comma = if line.len() > 1 { "," } else { "" };
        append(&mut line, format_args!("{comma}{}:{value}", Value::from(name)));
    }
    line.push_str("}\n");
    line
}

fn text(event: &Event<'_>, timestamp: &str, ids: Option<(TraceId, SpanId)>, content: &Content) -> String {
    let metadata = event.metadata();
    let mut line = String::new();
    append(&mut line, format_args!("{timestamp} {:<5} {}: ", metadata.level(), metadata.target()));
    append(&mut line, format_args!("{}", OneLine(&content.message)));
    for (name, value) in &content.fields {
        match value.as_str() {
            Some(word) if !word.is_empty() && !word.contains([' ', '"', '=']) => {
                append(&mut line, format_args!(" {name}={}", OneLine(word)));
            }
            _ => append(&mut line, format_args!(" {name}={value}")),
        }
    }
    if let Some((trace_id, span_id)) = ids {
        append(&mut line, format_args!(" trace_id={trace_id} span_id={span_id}"));
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

/// `format!` panics when a `Display` or `Debug` of somebody else's returns an error; this does not.
fn append(line: &mut String, arguments: fmt::Arguments<'_>) {
    if line.write_fmt(arguments).is_err() {
        line.push_str("<not formattable>");
    }
}

/// What an event says.
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
            value if RESERVED.contains(&name) => {
                self.fields.insert(format!("event.{name}"), value);
            }
            value => {
                self.fields.insert(name.to_owned(), value);
            }
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
        let mut chain = String::new();
        append(&mut chain, format_args!("{error}"));
        let mut cause = error.source();
        while let Some(error) = cause {
            append(&mut chain, format_args!(": {error}"));
            cause = error.source();
        }
        self.put(field, Value::from(chain));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut debug = String::new();
        append(&mut debug, format_args!("{value:?}"));
        self.put(field, Value::from(debug));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::LogFormat;
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
            tracing::warn!(target: "t", level = 3, trace_id = "mine", timestamp = "then", "m");
        });
        assert_eq!(
            line,
            json!({"level": "WARN", "target": "t", "message": "m",
                   "event.level": 3, "event.trace_id": "mine", "event.timestamp": "then"})
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
        let recorder = Recorder::with_format("trace", LogFormat::Text);
        recorder.run(|| {
            tracing::info_span!("work").in_scope(|| {
                let name = "a b";
                tracing::warn!(target: "controller", count = 2, name, kind = "Service", "two\nlines \u{1b}[31m");
            });
        });
        let span = recorder.spans().pop().expect("no span").span_context;
        let lines = recorder.lines();
        let (_, rest) = lines[0].split_once(' ').unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(
            rest,
            format!(
                "WARN  controller: two\\nlines \\u{{1b}}[31m count=2 kind=Service name=\"a b\" trace_id={} span_id={}",
                span.trace_id(),
                span.span_id()
            )
        );
    }
}
