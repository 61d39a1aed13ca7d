//! In: spans and log records. Out: how many of them one request may hold. Pure. The sizes are estimates, a little more than
//! what is sent.

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;

/// The most that one request holds, in bytes. Receivers of gRPC refuse messages of more than 4 MiB, and all of what is in
/// them.
const REQUEST: usize = 2 << 20;
/// What a span or a log record has besides text: ids, times, numbers.
const FIXED: usize = 128;
/// What a field has besides text: tags, lengths, a number.
pub(crate) const FIELD: usize = 24;

/// How many of the first items fit into a request. At least one: an item that is too large fails alone.
pub(super) fn of_request(sizes: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fitting = sizes.take_while(|size| {
        total += size;
        total <= REQUEST
    });
    fitting.count().max(1)
}

pub(super) fn of_span(span: &SpanData) -> usize {
    let events = span.events.iter().map(|event| FIXED + event.name.len() + of_attributes(&event.attributes));
    let links = span.links.iter().map(|link| FIXED + of_attributes(&link.attributes));
    FIXED
        + span.name.len()
        + of_attributes(&span.attributes)
        + events.chain(links).sum::<usize>()
        + status(span)
}

fn status(span: &SpanData) -> usize {
    match &span.status {
        opentelemetry::trace::Status::Error { description } => description.len(),
        _ => 0,
    }
}

fn of_attributes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(|attribute| FIELD + attribute.key.as_str().len() + of_value(&attribute.value)).sum()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => texts.iter().map(|text| FIELD + text.as_str().len()).sum(),
        Value::Array(Array::Bool(values)) => FIELD * values.len(),
        Value::Array(Array::I64(values)) => FIELD * values.len(),
        Value::Array(Array::F64(values)) => FIELD * values.len(),
        _ => 0,
    }
}

pub(crate) fn of_record(record: &SdkLogRecord) -> usize {
    let body = record.body().map_or(0, of_any);
    let attributes = record.attributes_iter().map(|(key, value)| FIELD + key.as_str().len() + of_any(value));
    FIXED + body + attributes.sum::<usize>()
}

fn of_any(value: &AnyValue) -> usize {
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(values) => values.iter().map(|value| FIELD + of_any(value)).sum(),
        AnyValue::Map(values) => {
            values.iter().map(|(key, value)| FIELD + key.as_str().len() + of_any(value)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_what_fits_and_at_least_one() {
        for (sizes, wanted) in [
            (vec![1, 2, 3], 3),
            (vec![REQUEST, 1], 1),
            (vec![REQUEST / 2, REQUEST / 2, 1], 2),
            (vec![REQUEST + 1, 1], 1),
        ] {
            assert_eq!(of_request(sizes.iter().copied()), wanted, "{sizes:?}");
        }
    }
}
