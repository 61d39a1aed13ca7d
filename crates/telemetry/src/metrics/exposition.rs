//! In: metric families and an `Accept` header. Out: the page that a scrape reads, in one of two formats. No network.

use std::sync::Arc;

use prometheus::TextEncoder;
use prometheus::proto::{MetricFamily, MetricType};

use super::exemplars::Exemplars;
use super::{labels, openmetrics};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scrape reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposition {
    /// The value of the header `content-type`.
    pub content_type: &'static str,
    /// The series.
    pub body: String,
}

/// The same series and values in either format; only OpenMetrics has exemplars. Types that neither OpenTelemetry nor the
/// `prometheus` crate makes are left out: `TextEncoder` panics at one of them.
pub(super) fn render(
    mut families: Vec<MetricFamily>,
    accept: Option<&str>,
    exemplars: impl Fn(&str) -> Option<Arc<Exemplars>>,
) -> Exposition {
    families.retain(|family| {
        matches!(family.get_field_type(), MetricType::COUNTER | MetricType::GAUGE | MetricType::HISTOGRAM)
    });
    labels::repair(&mut families);
    if accept.is_some_and(prefers_openmetrics) {
        return Exposition { content_type: OPENMETRICS, body: openmetrics::encode(&families, exemplars) };
    }
    let mut body = String::new();
    for family in families {
        // A family without a name, by a collector of somebody's own, is refused before anything of it is written.
        let _ = TextEncoder::new().encode_utf8(&[family], &mut body);
    }
    Exposition { content_type: TEXT, body }
}

/// Whether the reader names OpenMetrics 1.0 and likes it no less than the plain text. `*/*` is not enough: people read
/// `/metrics`, too.
fn prefers_openmetrics(accept: &str) -> bool {
    let (mut openmetrics, mut text) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0_f32, None);
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        match (media_type.as_str(), version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => openmetrics = quality.max(openmetrics),
            ("text/plain", None | Some("0.0.4")) => text = quality.max(text),
            _ => {}
        }
    }
    openmetrics > 0.0 && openmetrics >= text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_readers_that_name_it() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let yes = [
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.1",
            "application/openmetrics-text, text/plain",
            "text/plain;version=1.0.0;q=0.9, application/openmetrics-text;q=0.8",
        ];
        let no = [
            "",
            "*/*",
            "application/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=lots",
            "application/openmetrics-text;q=0.5,text/plain;q=0.6",
            ";;,;=,q=,",
        ];
        for accept in yes {
            assert!(prefers_openmetrics(accept), "{accept}");
        }
        for accept in no {
            assert!(!prefers_openmetrics(accept), "{accept}");
        }
    }
}
