//! A reconcile's trace from Jaeger's query API, as a tree. In: Jaeger's address. Out: text. Talks to Jaeger.

use std::fmt::Write;

use anyhow::Result;
use serde_json::Value;
use testbed::http_get;

/// One trace.
pub struct Trace {
    /// Its id in hexadecimal digits.
    pub id: String,
    spans: Vec<Value>,
}

/// The reconcile of this profile that created its children, or `None` while Jaeger does not have it.
pub fn first_reconcile(jaeger: &str, profile: &str) -> Result<Option<Trace>> {
    let url =
        format!("{jaeger}/api/traces?service=telemetry-operator&operation=reconcile&limit=100&lookback=1h");
    let (status, text) = http_get(&url)?;
    anyhow::ensure!(status == 200, "Jaeger answers {status}: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    let traces = answer["data"].as_array().cloned().unwrap_or_default();
    let found = traces.into_iter().find_map(|trace| {
        let spans = trace["spans"].as_array().cloned().unwrap_or_default();
        let of_profile = spans.iter().any(|span| tag(span, "profile").as_deref() == Some(profile));
        let created = spans.iter().any(|span| tag(span, "verb").as_deref() == Some("created"));
        let id = trace["traceID"].as_str()?.to_owned();
        (of_profile && created).then_some(Trace { id, spans })
    });
    Ok(found)
}

impl Trace {
    /// One line a span: name, what it tells, how long it took.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let roots: Vec<_> = self.spans.iter().filter(|span| parent(span).is_none()).collect();
        for root in roots {
            self.branch(root, "", &mut text);
        }
        text.trim_end().to_owned()
    }

    fn branch(&self, span: &Value, indent: &str, text: &mut String) {
        let mut words = vec![span["operationName"].as_str().unwrap_or_default().to_owned()];
        for key in ["profile", "generation", "trigger", "result", "kind", "name", "verb", "changed"] {
            words.extend(tag(span, key).map(|value| format!("{key}={value}")));
        }
        let milliseconds = span["duration"].as_f64().unwrap_or_default() / 1000.0;
        // Writing to a String does not fail.
        let _ = writeln!(text, "{indent}{}  {milliseconds:.1} ms", words.join(" "));
        let mut children: Vec<_> =
            self.spans.iter().filter(|child| parent(child) == span["spanID"].as_str()).collect();
        children.sort_by_key(|child| child["startTime"].as_u64());
        for child in children {
            self.branch(child, &format!("{indent}  "), text);
        }
    }
}

fn parent(span: &Value) -> Option<&str> {
    span["references"].as_array()?.first()?["spanID"].as_str()
}

fn tag(span: &Value, key: &str) -> Option<String> {
    let tag = span["tags"].as_array()?.iter().find(|tag| tag["key"] == key)?;
    Some(tag["value"].as_str().map_or_else(|| tag["value"].to_string(), str::to_owned))
}
