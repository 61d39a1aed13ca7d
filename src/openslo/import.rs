//! OpenSLO v1 → the `slos` of a profile. In: (file name, text). Out: YAML, in comments what a profile has no field for, or
//! everything that cannot be taken over. No cluster.
//!
//! What is printed has passed `lint`, like every profile: a name that a profile cannot have is told with the file's line.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::fields::{Fields, Use};
use super::query::{self, Query};
use super::{OpenSloError, Refusal, VERSION};
use crate::burn_rate::{Objective, Severity, tiers};
use crate::lint;
use crate::manifest::document::{self, Document, join};
use crate::plan::slo::bucket;
use crate::profile::{API_VERSION, KIND};
use crate::promql::Selector;
use crate::validate::seconds;
use crate::yaml;
use Use::{Taken, Told};

/// Kinds of which a profile takes nothing.
const OTHER_KINDS: [&str; 5] =
    ["Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"];
/// What is told of a document, and not needed.
const METADATA: [(&str, Use); 4] =
    [("name", Taken), ("displayName", Told), ("labels", Told), ("annotations", Told)];

/// An entry of `slos`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    objective: String,
    window: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<String>,
    #[serde(flatten)]
    indicator: BTreeMap<&'static str, Value>,
    /// Alerts that could never fire are off.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alerting: BTreeMap<&'static str, bool>,
}

/// An entry and where in the file its fields come from: a field's name, line and path.
struct Placed {
    entry: Entry,
    places: Vec<(&'static str, usize, String)>,
}

/// Writes the `slos` of every SLO in the file.
///
/// # Errors
/// Everything that cannot be taken over: then nothing is.
pub fn import(file: &str, text: &str) -> Result<String, OpenSloError> {
    let documents = document::read(text).map_err(|error| {
        let fix = "correct the YAML at or just before this line".to_owned();
        let (file, path) = (file.to_owned(), String::new());
        OpenSloError::Refused(vec![Refusal { file, line: error.line, path, message: error.message, fix }])
    })?;
    let documents: Vec<_> = documents
        .into_iter()
        .flat_map(Document::expand)
        .filter(|document| !document.value.is_null())
        .collect();
    let (mut refusals, mut left_out, mut placed) = (Vec::new(), Vec::new(), Vec::new());
    let mut used = BTreeSet::new();
    for document in &documents {
        let mut fields = Fields::new(file, document);
        let kind = header(&mut fields);
        if kind == Some("SLO") {
            placed.extend(slo(&mut fields, &documents, &mut used));
        }
        refusals.extend(fields.refusals);
        left_out.extend(fields.left_out);
    }
    let unused = documents.iter().filter(|document| {
        document.value["kind"] == "SLI" && !used.contains(&document.value["metadata"]["name"].to_string())
    });
    left_out.extend(
        unused.map(|document| format!("{file}:{}: no SLO of the file refers to this SLI", document.start)),
    );
    if refusals.is_empty() && placed.is_empty() {
        let (file, path, fix) =
            (file.to_owned(), String::new(), format!("begin it with apiVersion: {VERSION} and kind: SLO"));
        refusals.push(Refusal { file, line: 1, path, message: "the file has no SLO".to_owned(), fix });
    }
    if refusals.is_empty() {
        refusals = check(file, &placed)?;
    }
    if !refusals.is_empty() {
        return Err(OpenSloError::Refused(refusals));
    }
    let entries: Vec<_> = placed.into_iter().map(|placed| placed.entry).collect();
    let comments: String = left_out.iter().map(|what| format!("# left out: {what}\n")).collect();
    Ok(comments + &yaml::to_string(&BTreeMap::from([("slos", entries)]))?)
}

/// Checks what says that a document is OpenSLO; its kind.
fn header<'a>(fields: &mut Fields<'a>) -> Option<&'a str> {
    let value = &fields.document.value;
    if value["apiVersion"] != VERSION {
        fields.refuse(
            "apiVersion",
            format!("{} cannot be read", value["apiVersion"]),
            format!("write {VERSION}"),
        );
        return None;
    }
    let kind = fields.text("kind", &value["kind"], "SLO")?;
    if OTHER_KINDS.contains(&kind) {
        fields.leave_out(
            "kind",
            &format!("a profile takes nothing of {kind}: its alerts follow from objective and period"),
        );
    } else if !["SLO", "SLI"].contains(&kind) {
        fields.refuse("kind", format!("{kind} is no kind of {VERSION}"), "write SLO or SLI");
    }
    Some(kind)
}

fn slo<'a>(
    fields: &mut Fields<'a>,
    documents: &'a [Document],
    used: &mut BTreeSet<String>,
) -> Option<Placed> {
    let value = &fields.document.value;
    fields.object(
        "",
        value,
        &[("apiVersion", Taken), ("kind", Taken), ("metadata", Taken), ("spec", Taken)],
    )?;
    fields.object("metadata", &value["metadata"], &METADATA)?;
    let name = fields.text("metadata.name", &value["metadata"]["name"], "name: requests");
    let spec = &value["spec"];
    let known = [
        ("description", Told),
        ("service", Told),
        ("alertPolicies", Told),
        ("indicator", Taken),
        ("indicatorRef", Taken),
        ("timeWindow", Taken),
        ("budgetingMethod", Taken),
        ("objectives", Taken),
    ];
    fields.object("spec", spec, &known)?;
    if spec["budgetingMethod"] != "Occurrences" {
        let message = format!("{} does not count events", spec["budgetingMethod"]);
        fields.refuse("spec.budgetingMethod", message, "use Occurrences");
    }
    let objective = objective(fields, &spec["objectives"]);
    let window = window(fields, &spec["timeWindow"]);
    let measured = indicator(fields, spec, documents, used);
    let (name, objective, window, measured) = (name?, objective?, window?, measured?);
    let alerting = silent(objective, &window);
    for severity in alerting.keys() {
        let why = format!(
            "alerting.{severity} is false, because no {severity} could ever fire at {} %",
            objective.percent()
        );
        fields.leave_out("spec.objectives", &why);
    }
    let line = |path: &str| (fields.document.line(path), path.to_owned());
    let at = |field, path: &str| (field, line(path).0, line(path).1);
    Some(Placed {
        entry: Entry {
            name: name.to_owned(),
            objective: objective.percent().to_string(),
            window,
            group_by: measured.group_by,
            indicator: measured.indicator,
            alerting,
        },
        places: vec![
            at("name", "metadata.name"),
            at("objective", "spec.objectives"),
            at("window", "spec.timeWindow"),
            ("", measured.line, measured.path),
        ],
    })
}

/// The alerts that an objective has no use for, each switched off.
fn silent(objective: Objective, window: &str) -> BTreeMap<&'static str, bool> {
    let tiers = tiers(objective, seconds(window).unwrap_or_default() / 86_400);
    [Severity::Page, Severity::Ticket]
        .into_iter()
        .filter(|severity| !tiers.iter().any(|tier| tier.severity == *severity))
        .map(|severity| (severity.as_str(), false))
        .collect()
}

fn objective<'a>(fields: &mut Fields<'a>, objectives: &'a Value) -> Option<Objective> {
    let why = "a profile's SLO has one objective";
    let (path, objective) = fields.only("spec.objectives", objectives, why)?;
    let known = [("displayName", Told), ("target", Taken), ("targetPercent", Taken)];
    fields.object(&path, objective, &known)?;
    let (field, scale) = if objective["target"].is_null() { ("targetPercent", 1e4) } else { ("target", 1e6) };
    let units = objective[field].as_f64().map(|number| number * scale);
    let whole = units.filter(|units| (units - units.round()).abs() < 1e-6 && *units > 0.0 && *units < 1e6);
    if whole.is_none() || !(objective["target"].is_null() || objective["targetPercent"].is_null()) {
        fields.refuse(
            &path,
            "this gives no share of good events in percent with up to four decimals",
            "give either target, for example 0.999, or targetPercent, for example 99.9",
        );
    }
    whole.map(|units| Objective(units.round() as u32))
}

fn window<'a>(fields: &mut Fields<'a>, windows: &'a Value) -> Option<String> {
    let (path, window) = fields.only("spec.timeWindow", windows, "a profile's SLO has one period")?;
    fields.object(&path, window, &[("duration", Taken), ("isRolling", Taken)])?;
    if window["isRolling"] != true {
        let fix = "set isRolling to true, if the last days shall count at any time";
        fields.refuse(&join(&path, "isRolling"), "a profile's SLO has a rolling period", fix);
    }
    let path = join(&path, "duration");
    let duration = fields.text(&path, &window["duration"], "duration: 30d")?;
    if !duration.ends_with(['d', 'w']) {
        fields.refuse(
            &path,
            format!("{duration} is not in days or weeks"),
            "give days or weeks, for example 30d",
        );
        return None;
    }
    Some(duration.to_owned())
}

/// What is measured, and where that stands.
struct Measured {
    indicator: BTreeMap<&'static str, Value>,
    group_by: Vec<String>,
    line: usize,
    path: String,
}

/// The indicator that stands in the SLO, or the SLI of the file that it names.
fn indicator<'a>(
    fields: &mut Fields<'a>,
    spec: &'a Value,
    documents: &'a [Document],
    used: &mut BTreeSet<String>,
) -> Option<Measured> {
    if spec["indicatorRef"].is_null() {
        let inline = &spec["indicator"];
        fields.object("spec.indicator", inline, &[("metadata", Taken), ("spec", Taken)])?;
        if !inline["metadata"].is_null() {
            fields.object("spec.indicator.metadata", &inline["metadata"], &METADATA)?;
        }
        return ratio(fields, "spec.indicator.spec", &inline["spec"]);
    }
    let path = "spec.indicatorRef";
    if !spec["indicator"].is_null() {
        fields.refuse(path, "there is an indicator, too", "keep one of both");
    }
    let name = fields.text(path, &spec["indicatorRef"], "indicatorRef: requests")?;
    let named =
        |document: &&Document| document.value["kind"] == "SLI" && document.value["metadata"]["name"] == name;
    let Some(sli) = documents.iter().find(named) else {
        fields.refuse(path, format!("the file has no SLI {name}"), "put the SLI into the same file");
        return None;
    };
    let first = used.insert(sli.value["metadata"]["name"].to_string());
    let mut of_sli = Fields::new(fields.file, sli);
    let known = [("apiVersion", Taken), ("kind", Taken), ("metadata", Taken), ("spec", Taken)];
    of_sli.object("", &sli.value, &known)?;
    of_sli.object("metadata", &sli.value["metadata"], &METADATA)?;
    let measured = ratio(&mut of_sli, "spec", &sli.value["spec"]);
    // What is wrong with an SLI is told once, however many refer to it.
    if first {
        fields.refusals.extend(of_sli.refusals);
        fields.left_out.extend(of_sli.left_out);
    }
    measured
}

fn ratio<'a>(fields: &mut Fields<'a>, path: &str, spec: &'a Value) -> Option<Measured> {
    fields.object(path, spec, &[("description", Told), ("ratioMetric", Taken)])?;
    let (path, metric) = (join(path, "ratioMetric"), &spec["ratioMetric"]);
    let known = [("counter", Taken), ("good", Taken), ("bad", Taken), ("total", Taken)];
    fields.object(&path, metric, &known)?;
    let part = match (metric["good"].is_null(), metric["bad"].is_null()) {
        (false, true) => "good",
        (true, false) => "bad",
        _ => {
            fields.refuse(&path, "good and bad follow from each other by total", "give exactly one of them");
            return None;
        }
    };
    let counter = &metric["counter"];
    let (events, total) = (
        query_of(fields, &join(&path, part), &metric[part], counter),
        query_of(fields, &join(&path, "total"), &metric["total"], counter),
    );
    let (events, total) = (events?, total?);
    if events.group_by != total.group_by {
        let message = format!("the sums of {part} and total are by different labels");
        fields.refuse(&path, message, "split both by the same labels in the same order");
        return None;
    }
    let line = fields.document.line(&path);
    let latency = latency(&events.selector, &total.selector).filter(|_| part == "good");
    let indicator = match latency {
        Some(latency) => ("latency", latency),
        None => {
            let (events, total) = (events.selector.to_string(), total.selector.to_string());
            ("ratio", json!({(part): events, "total": total}))
        }
    };
    Some(Measured { indicator: BTreeMap::from([indicator]), group_by: total.group_by, line, path })
}

fn query_of<'a>(fields: &mut Fields<'a>, path: &str, metric: &'a Value, counter: &Value) -> Option<Query> {
    fields.object(path, metric, &[("metricSource", Taken)])?;
    let (path, source) = (join(path, "metricSource"), &metric["metricSource"]);
    fields.object(&path, source, &[("metricSourceRef", Told), ("type", Taken), ("spec", Taken)])?;
    let kind = source["type"].as_str().unwrap_or("Prometheus");
    if !kind.eq_ignore_ascii_case("prometheus") {
        let message = format!("{kind} is no Prometheus");
        fields.refuse(&join(&path, "type"), message, "give the same events as a Prometheus query");
        return None;
    }
    let (path, spec) = (join(&path, "spec"), &source["spec"]);
    fields.object(&path, spec, &[("query", Taken)])?;
    let path = join(&path, "query");
    let text = fields.text(&path, &spec["query"], "query: sum(http_requests_total)")?;
    let query = match query::read(text) {
        Ok(query) => query,
        Err(why) => {
            let fix = "write one counter's selector, or the sum of its rate, without a matcher on namespace: the operator adds \
                       the profile's";
            fields.refuse(&path, why, fix);
            return None;
        }
    };
    if *counter != true && !query.is_growth {
        let fix = "set ratioMetric.counter to true if this counts events; a gauge cannot be taken over";
        fields.refuse(&path, "this takes the value of a metric that is not said to be a counter", fix);
        return None;
    }
    Some(query)
}

/// The latency indicator that these count for: a histogram's bucket among its count.
fn latency(events: &Selector, total: &Selector) -> Option<Value> {
    let metric = total.metric.strip_suffix("_count")?;
    let histogram = Selector { metric: metric.to_owned(), matchers: total.matchers.clone() };
    let (_, _, bounds) = events.matchers.iter().find(|(label, ..)| label == "le")?;
    let threshold = bounds.split('|').next()?.replace("\\.", ".");
    let same = bucket(&histogram.with_suffix("_bucket"), &threshold) == *events;
    same.then(|| json!({"histogram": histogram.to_string(), "threshold": threshold}))
}

/// Puts the entries into a profile that is checked like any other.
fn check(file: &str, placed: &[Placed]) -> Result<Vec<Refusal>, yaml::YamlError> {
    let entries: Vec<_> = placed.iter().map(|placed| &placed.entry).collect();
    let profile = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "openslo"},
        "spec": {
            "selector": {"matchLabels": {"app": "openslo"}},
            "service": {"name": "openslo"},
            "slos": entries,
        },
    });
    let refusal = |finding: lint::Finding| {
        let rest = finding.path.strip_prefix("spec.slos[").and_then(|rest| rest.split_once(']'));
        let index = rest.and_then(|(index, _)| index.parse::<usize>().ok()).unwrap_or_default();
        let field = rest.map_or("", |(_, field)| field.trim_start_matches('.'));
        let places = placed.get(index).map(|placed| placed.places.as_slice()).unwrap_or_default();
        let place = places.iter().find(|(name, ..)| field.starts_with(name));
        let (line, path) = place.map_or((1, String::new()), |(_, line, path)| (*line, path.clone()));
        Refusal { file: file.to_owned(), line, path, message: finding.message, fix: finding.fix }
    };
    Ok(lint::lint(file, &yaml::to_string(&profile)?).into_iter().map(refusal).collect())
}
