//! What the tests send to a collector: OTLP as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A trace id whose bits look random, the same at each run.
pub fn trace_id(index: u64) -> u128 {
    let mix = |seed: u64| {
        // The finalizer of SplitMix64.
        let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    (u128::from(mix(2 * index + 1)) << 64) | u128::from(mix(2 * index + 2))
}

/// The rule of consistent probability sampling: the trace id's last 56 bits against a threshold.
pub fn is_sampled(id: u128, ratio: f64) -> bool {
    let range = (1_u64 << 56) as f64;
    let random = u64::try_from(id & ((1 << 56) - 1)).expect("56 bits");
    random as f64 >= range * (1.0 - ratio)
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// One server span of 0.3 s for each trace id, every tenth with an error, from one of several pods. A pod says who it is,
/// and what an SDK says that knows no service.
pub fn spans(ids: &[u128], pod: usize) -> Value {
    let end = now();
    let spans = ids.iter().enumerate().map(|(index, id)| {
        json!({
            "traceId": format!("{id:032x}"),
            "spanId": format!("{:016x}", id >> 64),
            "name": "GET /export",
            "kind": 2,
            "startTimeUnixNano": (end - 300_000_000).to_string(),
            "endTimeUnixNano": end.to_string(),
            "status": {"code": if index % 10 == 0 { 2 } else { 0 }},
        })
    });
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            attribute("service.name", "unknown_service:exporter"),
            attribute("service.instance.id", &format!("pod-{pod}")),
            attribute("host.name", &format!("pod-{pod}")),
        ]},
        "scopeSpans": [{"spans": spans.collect::<Vec<_>>()}],
    }]})
}

/// A counter at 7 from an SDK that knows no service.
pub fn counter() -> Value {
    let point = json!({"asInt": "7", "startTimeUnixNano": "1", "timeUnixNano": now().to_string()});
    let sum = json!({"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("service.instance.id", "pod-0")]},
        "scopeMetrics": [{"metrics": [{"name": "export.items", "sum": sum}]}],
    }]})
}

/// One log line.
pub fn log_record() -> Value {
    let record = json!({"timeUnixNano": now().to_string(), "body": {"stringValue": "exported 7 items"}});
    json!({"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [record]}]}]})
}

/// Log records: severity by number and by text, body, trace.
pub fn log_records(records: &[(u32, &str, &str, Option<u128>)]) -> Value {
    let record = |(number, text, body, trace): &(u32, &str, &str, Option<u128>)| {
        json!({
            "timeUnixNano": now().to_string(),
            "severityNumber": number,
            "severityText": text,
            "body": {"stringValue": body},
            "traceId": trace.map(|id| format!("{id:032x}")).unwrap_or_default(),
            "spanId": trace.map(|_| "00f067aa0ba902b7").unwrap_or_default(),
        })
    };
    let records: Vec<_> = records.iter().map(record).collect();
    json!({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "exporter::job"}, "logRecords": records}]}]})
}
