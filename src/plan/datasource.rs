//! Grafana data sources for the back ends of one profile, linked to each other: from a log record to its trace, from a span to its
//! log records and its metrics, from an exemplar to its trace. In: the validated profile. Out: a ConfigMap for Grafana's data
//! source sidecar, or a GrafanaDatasource object for each. No cluster.
//!
//! There are as many as there are back ends whose query address is known. A foreign trace back end is none: an address to
//! send traces to does not tell where to ask for them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use serde_json::{Value, json};

use super::meta::{self, Component};
use super::{Child, PlanError, dashboard, jaeger, pipeline, pod, prometheus, scrape, short_hash};
use crate::kinds::ChildKind;
use crate::profile::LogStore;
use crate::promql::Selector;
use crate::validate::{DataSources, Delivery, Logs, ValidatedProfile};
use crate::yaml;

/// The attribute of a log record and the label of an exemplar that have a trace's id.
const TRACE_ID: &str = "trace_id";
/// Records and samples of a span may be a little older or younger than it.
const AROUND: [(&str, &str); 2] = [("spanStartTimeShift", "-5m"), ("spanEndTimeShift", "5m")];

/// One data source, as Grafana's provisioning files and the Grafana Operator both have it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    name: String,
    uid: String,
    r#type: &'static str,
    access: &'static str,
    url: String,
    is_default: bool,
    editable: bool,
    json_data: Value,
}

/// The back ends in the order in which they are written.
#[derive(Clone, Copy, Debug)]
enum BackEnd {
    Prometheus,
    Jaeger,
    Logs,
}

impl BackEnd {
    const ALL: [Self; 3] = [Self::Prometheus, Self::Jaeger, Self::Logs];

    /// The word in names, and in the uid.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Jaeger => "jaeger",
            Self::Logs => "logs",
        }
    }

    /// The type of Grafana's data source, and the word in its name; none where the profile has no such back end.
    fn plugin(self, profile: &ValidatedProfile) -> Option<(&'static str, &'static str)> {
        Some(match (self, profile.logs.as_ref().map(|logs| logs.store)) {
            (Self::Prometheus, _) => ("prometheus", "Prometheus"),
            (Self::Jaeger, _) => ("jaeger", "Jaeger"),
            (Self::Logs, Some(LogStore::Loki)) => ("loki", "Loki"),
            (Self::Logs, Some(LogStore::VictoriaLogs)) => ("victoriametrics-logs-datasource", "VictoriaLogs"),
            (Self::Logs, None) => return None,
        })
    }

    /// Where Grafana asks it, from whatever namespace.
    fn url(self, profile: &ValidatedProfile) -> Option<String> {
        match self {
            Self::Prometheus if profile.has_managed_prometheus() => {
                Some(meta::service_url(profile, Component::Prometheus, prometheus::PORT))
            }
            Self::Prometheus => profile.prometheus_url.clone(),
            Self::Jaeger => profile
                .jaeger_storage()
                .map(|_| meta::service_url(profile, Component::Jaeger, jaeger::QUERY_HTTP)),
            Self::Logs => profile.logs.as_ref().map(query_url),
        }
    }

    fn uid(self, profile: &ValidatedProfile) -> String {
        let text = format!("{}/{}/datasource/{}", profile.namespace, profile.name, self.as_str());
        short_hash(text.as_bytes())
    }

    /// The uid, where the data source is there to be linked to.
    fn linked(self, profile: &ValidatedProfile) -> Option<String> {
        self.url(profile).map(|_| self.uid(profile))
    }

    fn source(self, profile: &ValidatedProfile) -> Option<Source> {
        let (url, (plugin, word)) = (self.url(profile)?, self.plugin(profile)?);
        Some(Source {
            name: format!("{word} ({}/{})", profile.namespace, profile.name),
            uid: self.uid(profile),
            r#type: plugin,
            access: "proxy",
            url,
            is_default: false,
            editable: false,
            json_data: match self {
                Self::Prometheus => of_prometheus(profile),
                Self::Jaeger => of_jaeger(profile),
                Self::Logs => of_logs(profile),
            },
        })
    }
}

/// Plans the data sources; nothing where the dashboards use those that Grafana has.
///
/// # Errors
/// When an object or the file cannot be written.
pub fn plan(profile: &ValidatedProfile) -> Result<Vec<Child>, PlanError> {
    let Some(wanted) = wanted(profile) else { return Ok(Vec::new()) };
    let sources = BackEnd::ALL.into_iter().filter_map(|back_end| Some((back_end, back_end.source(profile)?)));
    let named =
        |suffix: &str| meta::named_meta(profile, Component::Dashboard, format!("{}-{suffix}", profile.name));
    if wanted.by == Delivery::Operator {
        let object = |(back_end, datasource): (BackEnd, Source)| {
            let spec = GrafanaDatasourceSpec {
                allow_cross_namespace_import: true,
                datasource,
                instance_selector: LabelSelector::default(),
                resync_period: dashboard::RESYNC_PERIOD,
            };
            let metadata = named(&format!("datasource-{}", back_end.as_str()));
            Child::new(ChildKind::GrafanaDatasource, &GrafanaDatasource { metadata, spec })
        };
        return sources.map(object).collect();
    }
    let sources: Vec<_> = sources.map(|(_, source)| source).collect();
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut metadata = named("datasources");
    meta::add_labels(&mut metadata, &wanted.labels);
    let mut content = json!({ "apiVersion": 1, "datasources": sources });
    escape(&mut content);
    let file = format!("{}.{}.datasources.yaml", profile.namespace, profile.name);
    Ok(vec![pod::config_map(metadata, BTreeMap::from([(file, yaml::to_string(&content)?)]))?])
}

/// What a dashboard's data source variable of this type has as its value from the start: the profile's own data source.
pub(super) fn current(profile: &ValidatedProfile, plugin: &str) -> Option<Value> {
    wanted(profile)?;
    let mut sources = BackEnd::ALL.into_iter().filter_map(|back_end| back_end.source(profile));
    let source = sources.find(|source| source.r#type == plugin)?;
    Some(json!({ "selected": false, "text": source.name, "value": source.uid }))
}

fn wanted(profile: &ValidatedProfile) -> Option<&DataSources> {
    profile.dashboards.as_ref()?.data_sources.as_ref()
}

#[derive(Debug, Serialize)]
struct GrafanaDatasource {
    metadata: ObjectMeta,
    spec: GrafanaDatasourceSpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GrafanaDatasourceSpec {
    allow_cross_namespace_import: bool,
    datasource: Source,
    instance_selector: LabelSelector,
    resync_period: &'static str,
}

/// Both stores take OTLP below the address at which they are asked.
fn query_url(logs: &Logs) -> String {
    let suffix = match logs.store {
        LogStore::Loki => "/otlp",
        LogStore::VictoriaLogs => "/insert/opentelemetry",
    };
    let url = logs.endpoint.url.trim_end_matches('/');
    url.strip_suffix(suffix).unwrap_or(url).to_owned()
}

/// The scrape interval is what `$__rate_interval` is made of.
fn of_prometheus(profile: &ValidatedProfile) -> Value {
    let exemplars =
        BackEnd::Jaeger.linked(profile).map(|uid| json!({ "name": TRACE_ID, "datasourceUid": uid }));
    json!({
        "httpMethod": "POST",
        "timeInterval": profile.metrics.as_ref().map(|metrics| &metrics.interval),
        "exemplarTraceIdDestinations": exemplars.into_iter().collect::<Vec<_>>(),
    })
}

fn of_jaeger(profile: &ValidatedProfile) -> Value {
    let mut data = json!({ "nodeGraph": { "enabled": true } });
    if let Some((uid, logs)) = BackEnd::Logs.linked(profile).zip(profile.logs.as_ref()) {
        let (tags, query) = match logs.store {
            LogStore::Loki => (
                json!([{ "key": "service.name", "value": "service_name" }]),
                "{${__tags}} | trace_id=\"${__span.traceId}\"",
            ),
            LogStore::VictoriaLogs => (json!([]), "trace_id:=\"${__span.traceId}\""),
        };
        let link = json!({ "datasourceUid": uid, "tags": tags, "customQuery": true, "query": query });
        data["tracesToLogsV2"] = around(link);
    }
    if let Some(uid) = BackEnd::Prometheus.linked(profile).filter(|_| pipeline::has_span_metrics(profile)) {
        let query = |(name, query): (&str, String)| json!({ "name": name, "query": query });
        let queries: Vec<_> = span_queries(profile).into_iter().map(query).collect();
        data["tracesToMetrics"] = around(json!({ "datasourceUid": uid, "tags": [], "queries": queries }));
    }
    data
}

/// What is asked of the span metrics about the operation of a span.
fn span_queries(profile: &ValidatedProfile) -> [(&'static str, String); 3] {
    let seconds = profile.metrics.as_ref().map_or(0, |metrics| metrics.interval_seconds * 4).max(300);
    let rate = |metric: String, failed: bool| {
        let selector = Selector::new(&metric)
            .in_namespace(&profile.namespace)
            .with_matcher("job", "=", scrape::collector_job(profile))
            .with_matcher("span_name", "=", "${__span.name}");
        let selector =
            if failed { selector.with_matcher("status_code", "=", pipeline::SPAN_FAILED) } else { selector };
        format!("rate({selector}[{seconds}s])")
    };
    let calls = |failed| rate(pipeline::SPAN_METRICS_CALLS.to_owned(), failed);
    let buckets = rate(format!("{}_bucket", pipeline::SPAN_METRICS_DURATION), false);
    [
        ("Calls per second", format!("sum({})", calls(false))),
        ("Share of failed calls", format!("sum({}) / sum({})", calls(true), calls(false))),
        ("95 % are faster", format!("histogram_quantile(0.95, sum by (le) ({buckets}))")),
    ]
}

fn of_logs(profile: &ValidatedProfile) -> Value {
    let link = BackEnd::Jaeger.linked(profile).map(|uid| {
        json!({
            "name": "Trace",
            "matcherType": "label",
            "matcherRegex": TRACE_ID,
            "url": "${__value.raw}",
            "urlDisplayLabel": "Open the trace",
            "datasourceUid": uid,
        })
    });
    json!({ "derivedFields": link.into_iter().collect::<Vec<_>>() })
}

fn around(mut link: Value) -> Value {
    for (key, shift) in AROUND {
        link[key] = shift.into();
    }
    link
}

/// In provisioning files Grafana puts the environment's variables in the place of `$…`; `$$` is a dollar.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('$', "$$"),
        Value::Array(list) => list.iter_mut().for_each(escape),
        Value::Object(map) => map.values_mut().for_each(escape),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
