//! Files as people write them, and what is found in them.

use serde_json::{Value, json};

use super::{Code, Finding, full_schema, lint};

const HEAD: &str = "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {name: shop, namespace: media}\n";
const SPEC: &str = "spec:\n  selector: {matchLabels: {app: shop}}\n  service: {name: shop}\n";

/// Code, line and path of each finding.
fn found(text: &str) -> Vec<(&'static str, usize, String)> {
    lint("shop.yaml", text).into_iter().map(|finding| (finding.code, finding.line, finding.path)).collect()
}

fn one(text: &str) -> Finding {
    let findings = lint("shop.yaml", text);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.into_iter().next().expect("one")
}

fn profile(more: &str) -> String {
    format!("{HEAD}{SPEC}{more}")
}

#[test]
fn a_finding_says_where_what_and_how() {
    let finding = one(&profile(
        "  slos:\n    - name: a\n      objectve: \"99\"\n      objective: \"99\"\n      ratio: {good: a, total: b}\n",
    ));
    assert_eq!(finding.object, "media/shop");
    assert_eq!(
        finding.to_string(),
        "shop.yaml:9: TP0101 spec.slos[0].objectve: there is no field `objectve` here\n    fix: write `objective`"
    );
    let json = serde_json::to_value(&finding).expect("JSON");
    assert_eq!(json["line"], 9);
    assert_eq!(json["code"], "TP0101");
}

#[test]
fn what_is_in_order_has_no_finding() {
    for text in [
        profile(""),
        profile("").replace('\n', "\r\n"),
        format!("\u{feff}{}", profile("")),
        format!("# a comment\n---\n{}---\n# nothing\n---\nkind: Secret\napiVersion: v1\nspec: {{bad: 1}}\n...\n", profile("")),
        profile("status: {observedGeneration: 1}\n"),
        profile("  paused: off\n  metrics: {port: 8_081, enabled: yes}\n"),
        profile("  logs: &null_is_absent\n  traces: {endpoint: null, jaeger: ~}\n  slos: null\n"),
        "{\n\t\"apiVersion\": \"telemetry-operator.dev/v1alpha1\", \"kind\": \"TelemetryProfile\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\
         \"spec\": {\"selector\": {\"matchLabels\": {\"a\": \"b\"}},\n\t\t\"service\": {\"name\": \"x\"}}\n}\n"
            .to_owned(),
    ] {
        assert_eq!(found(&text), [], "{text}");
    }
}

#[test]
fn what_kubectl_reads_as_something_else_is_told() {
    for (field, word) in
        [("name: on", "\"on\""), ("name: x\n    version: 1.10", "\"1.10\""), ("name: 0x1F", "\"0x1F\"")]
    {
        let finding = one(&format!(
            "{HEAD}spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service:\n    {field}\n"
        ));
        assert_eq!(finding.code, Code::WrongType.as_str(), "{finding}");
        assert_eq!(finding.fix, format!("write it in quotes: {word}"));
    }
    let finding = one(&profile("  metrics: {port: \"8081\"}\n"));
    assert_eq!(finding.fix, "write 8081 without quotes");
}

#[test]
fn lines_are_those_of_the_field() {
    let text = profile(
        "  metrics:\n    instruments:\n      - name: a\n        type: Gauge\n      - {name: b,\n         type: Gage}\n  alerting:\n    labels:\n      severity: x\n",
    );
    assert_eq!(
        found(&text),
        [(Code::NotAllowed.as_str(), 12, "spec.metrics.instruments[1].type".to_owned())]
    );
    let missing = found(&format!(
        "{HEAD}spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service:\n    version: \"1\"\n"
    ));
    assert_eq!(missing, [(Code::Missing.as_str(), 6, "spec.service.name".to_owned())]);
}

#[test]
fn every_document_is_checked() {
    let text = format!(
        "{}---\n{}---\n{}",
        profile(""),
        profile("  paused: 1\n"),
        profile("  traces: {sampling: {ratio: \"2\"}}\n")
    );
    let codes = found(&text);
    assert_eq!(
        codes,
        [
            (Code::WrongType.as_str(), 14, "spec.paused".to_owned()),
            (Code::Pattern.as_str(), 22, "spec.traces.sampling.ratio".to_owned())
        ]
    );
}

#[test]
fn a_list_is_checked_item_by_item() {
    let item = json!({"apiVersion": "telemetry-operator.dev/v1alpha1", "kind": "TelemetryProfile", "metadata": {"name": "a"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "service": {"name": "x"}, "metrics": {"port": 0}}});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret"}, item]});
    let text = serde_json::to_string_pretty(&list).expect("JSON");
    let line = text.lines().position(|line| line.contains("\"port\"")).expect("a line") + 1;
    assert_eq!(found(&text), [(Code::Range.as_str(), line, "spec.metrics.port".to_owned())]);
}

#[test]
fn anchors_and_merges_are_followed() {
    let text = profile(
        "  collector: &workload\n    resources: &amounts {limits: {memory: 256Mi}}\n    tolerations: [{key: a}]\n  jaeger:\n    <<: *workload\n    \
         tolerations: [{operator: Exists, value: x}]\n  sidecar:\n    resources: *amounts\n",
    );
    assert_eq!(found(&text), [(Code::Rule.as_str(), 12, "spec.jaeger.tolerations[0].value".to_owned())]);
}

#[test]
fn broken_files_are_findings() {
    for (text, code, line) in [
        ("a: [1\nb: 2\n".to_owned(), Code::Syntax, 2),
        ("a: b\n  c: d\n".to_owned(), Code::Syntax, 2),
        ("a: *nobody\n".to_owned(), Code::Syntax, 1),
        ("a: .inf\n".to_owned(), Code::Syntax, 1),
        (format!("a: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)), Code::Syntax, 1),
        (bomb(), Code::Syntax, 6),
        (String::new(), Code::NoProfile, 1),
        ("# only a comment\n".to_owned(), Code::NoProfile, 1),
        ("apiVersion: v1\nkind: Secret\n".to_owned(), Code::NoProfile, 1),
        (profile("").replace("v1alpha1", "v1"), Code::ApiVersion, 1),
        (profile("").replace("TelemetryProfile", "telemetryprofile"), Code::Kind, 2),
        (profile("").replace("kind: TelemetryProfile\n", ""), Code::Kind, 1),
        ("just text\n".to_owned(), Code::ApiVersion, 1),
        (profile("  paused: true\n  paused: false\n"), Code::DuplicateKey, 8),
        (format!("{}---\n{}", profile(""), profile("")), Code::DuplicateProfile, 10),
        (profile("").replace("name: shop, ", ""), Code::Missing, 3),
        (profile("").replace("namespace: media", "namespace: Media"), Code::Pattern, 3),
        (profile("").replace("namespace: media", "labels: {a: 1}"), Code::WrongType, 3),
        (profile("").replace("name: shop, ", "name: Shop, "), Code::Rule, 3),
    ] {
        let findings = lint("f", &text);
        let first = findings.first().map(|finding| (finding.code, finding.line));
        assert_eq!(first, Some((code.as_str(), line)), "{findings:#?}\n{:.300}", text);
    }
}

/// Aliases of aliases: twelve lines, a million million nodes.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
    }
    text
}

#[test]
fn a_field_in_the_wrong_place_is_sent_to_the_right_one() {
    let finding = one(&profile("  protocols: [OTLP]\n"));
    assert_eq!(finding.fix, "this field is at spec.traces.protocols: move it there");
}

#[test]
fn an_image_without_a_component_is_found() {
    let finding = one(&profile("  collector: {image: otel/opentelemetry-collector:0.155.0}\n"));
    assert_eq!(
        (finding.code, finding.path.as_str()),
        (Code::ComponentMissing.as_str(), "spec.collector.image")
    );
    assert!(finding.fix.starts_with("use the contrib distribution"), "{finding}");
}

/// Calls `look` with every schema of the CRD and its path.
fn each_schema(schema: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    look(path, schema);
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        each_schema(schema, &format!("{path}.{name}"), look);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            each_schema(&schema[key], &format!("{path}{mark}"), look);
        }
    }
}

#[test]
fn every_keyword_of_the_schema_is_checked_here() {
    let checked = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "nullable",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "maxProperties",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    ];
    // int32 and int64 bound nothing that minimum and maximum do not; a date stands in metadata and status only.
    let says_nothing = ["description", "title", "default", "format"];
    each_schema(&full_schema().expect("the schema"), "", &mut |path, schema| {
        for keyword in schema.as_object().into_iter().flatten().map(|(keyword, _)| keyword.as_str()) {
            assert!(
                checked.contains(&keyword) || says_nothing.contains(&keyword),
                "{keyword} at {path} is not checked"
            );
        }
    });
}

#[test]
fn every_rule_says_what_is_wrong_and_what_to_write() {
    each_schema(&full_schema().expect("the schema"), "", &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(
                message.split_once(": ").is_some(),
                "{path}: {rule}: write \"what is wrong: what to write\""
            );
        }
    });
}

#[test]
fn every_code_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/validation.md"))
        .expect("the page");
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let codes = codes.chain(crate::validate::Code::ALL.iter().map(|code| code.as_str()));
    for code in codes {
        let rows = page
            .lines()
            .filter(|line| line.starts_with(&format!("| <a id=\"{}\"></a>{code} |", code.to_lowercase())));
        assert_eq!(rows.count(), 1, "docs/validation.md needs one row for {code}");
    }
}
