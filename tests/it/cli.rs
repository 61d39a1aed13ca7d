//! The command line without a cluster: the real binary, its output and its exit codes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use telemetry_operator::render::{self, Assumptions};
use telemetry_operator::settings::Settings;
use testbed::Directory;

use crate::common::*;

/// Runs the binary where no cluster can be reached.
pub fn run(arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    command.args(arguments).env("KUBECONFIG", "/nonexistent").env_remove("KUBERNETES_SERVICE_HOST");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("its input");
    // A command that does not read its input may be gone already.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

/// Standard output of a run that must succeed and say nothing on standard error.
pub fn succeed(arguments: &[&str], input: Option<&str>) -> String {
    let output = run(arguments, input);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{arguments:?}: {out}");
    out
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("examples").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files
}

pub fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).expect("a document"))
        .collect()
}

fn profile(name: &str, namespace: &str) -> String {
    format!(
        "apiVersion: telemetry-operator.dev/v1alpha1\nkind: TelemetryProfile\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  selector: {{matchLabels: {{app: shop}}}}\n  service: {{name: shop}}\n"
    )
}

#[test]
fn validate_tells_by_its_exit_code() {
    let files = examples();
    let mut arguments = vec!["validate", "-f"];
    arguments.extend(files.iter().map(|file| file.to_str().expect("a path")));
    assert_eq!(succeed(&arguments, None), "");

    let broken = format!("{}  metrics: {{port: 0}}\n", profile("shop", "media"));
    let output = run(&["validate", "-f", "-"], Some(&broken));
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(1), ""));
    assert_eq!(
        out,
        "<stdin>:7: TP0106 spec.metrics.port: 0 is out of range\n    fix: write a number from 1 to 65535\n"
    );

    for wrong in
        [&["validate"][..], &["validate", "-f"], &["validate", "-f", "x", "-o", "xml"], &["valdiate"], &[]]
    {
        let output = run(wrong, None);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {:?}", texts(&output));
    }
    let output = run(&["validate", "-f", "/nonexistent/shop.yaml"], None);
    let (out, err) = texts(&output);
    assert!(
        !output.status.success() && out.is_empty() && err.contains("/nonexistent/shop.yaml"),
        "{out}{err}"
    );
}

#[test]
fn validate_prints_json() {
    assert_eq!(succeed(&["validate", "-o", "json", "-f", "-"], Some(&profile("shop", "media"))).trim(), "[]");
    let broken = format!(
        "{}  metrics: {{port: 0}}\n---\n{}  paused: maybe\n",
        profile("a", "media"),
        profile("b", "media")
    );
    let output = run(&["validate", "-o", "json", "-f", "-"], Some(&broken));
    assert_eq!(output.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let told: Vec<_> = findings
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| {
            assert!(
                finding["message"].is_string() && finding["fix"].is_string() && finding["file"] == "<stdin>",
                "{finding}"
            );
            (
                finding["object"].clone(),
                finding["line"].clone(),
                finding["path"].clone(),
                finding["code"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("media/a"), json!(7), json!("spec.metrics.port"), json!("TP0106")),
        (json!("media/b"), json!(15), json!("spec.paused"), json!("TP0102")),
    ];
    assert_eq!(told, expected);
}

#[test]
fn render_to_a_folder_is_render_to_standard_output() {
    let scratch = Directory::create("render").expect("a scratch directory");
    for (index, file) in examples().iter().enumerate() {
        let file = file.to_str().expect("a path");
        let optional =
            ["ServiceMonitor", "PodMonitor", "PrometheusRule", "GrafanaDashboard", "GrafanaDatasource"];
        for kinds in [&[][..], &optional] {
            let folder = scratch.path().join(format!("{index}-{}", kinds.len()));
            let mut arguments = vec!["render", "-n", "media", "-f", file];
            arguments.extend(kinds.iter().flat_map(|kind| ["--assume-kind", kind]));
            let stream = succeed(&arguments, None);
            assert_eq!(succeed(&arguments, None), stream, "the same input gives the same bytes");
            arguments.extend(["-o", folder.to_str().expect("a path")]);
            assert_eq!(succeed(&arguments, None), "");

            let mut parts: Vec<_> = stream.split("---\n").map(str::to_owned).collect();
            let mut files: Vec<_> = std::fs::read_dir(&folder)
                .expect("the folder")
                .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a file"))
                .collect();
            parts.sort();
            files.sort();
            assert_eq!(parts, files, "{file}");
            for document in documents(&stream) {
                assert_eq!(document["metadata"]["namespace"], "media");
                // An owner with a made-up UID does not exist: the garbage collector would delete the object.
                assert_eq!(document["metadata"]["ownerReferences"], Value::Null);
            }
        }
    }
}

#[test]
fn render_follows_its_flags() {
    let text = profile("shop", "media");
    let kinds = |arguments: &[&str]| {
        let arguments: Vec<_> = ["render", "-f", "-"].iter().chain(arguments).copied().collect();
        let documents = documents(&succeed(&arguments, Some(&text)));
        documents
            .iter()
            .map(|document| document["kind"].as_str().expect("a kind").to_owned())
            .collect::<Vec<_>>()
    };
    let plain = kinds(&[]);
    assert!(!plain.iter().any(|kind| kind.contains("Monitor")), "{plain:?}");
    let served = kinds(&["--assume-kind", "ServiceMonitor", "--assume-kind", "podmonitor"]);
    assert!(
        served.contains(&"ServiceMonitor".to_owned()) && served.contains(&"PodMonitor".to_owned()),
        "{served:?}"
    );

    let uid = "0b7e1c52-0000-4000-8000-000000000001";
    for document in documents(&succeed(&["render", "-f", "-", "--owner-uid", uid], Some(&text))) {
        let owner = &document["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["uid"], &owner["name"], &owner["kind"]),
            (&json!(uid), &json!("shop"), &json!("TelemetryProfile"))
        );
        assert_eq!(document["metadata"]["namespace"], "media", "the profile's own namespace wins");
    }
    let images =
        succeed(&["render", "-f", "-", "--collector-image", "registry.example.com/collector:1"], Some(&text));
    assert!(images.contains("image: registry.example.com/collector:1\n"), "{images}");

    let output = run(&["render", "-f", "-", "--assume-kind", "Deployment"], Some(&text));
    assert_eq!(output.status.code(), Some(2), "{:?}", texts(&output));
}

#[test]
fn render_prints_nothing_of_a_file_with_findings() {
    let text = format!("{}---\n{}  paused: maybe\n", profile("good", "media"), profile("bad", "media"));
    let output = run(&["render", "-f", "-"], Some(&text));
    let (out, err) = texts(&output);
    assert!(!output.status.success() && out.is_empty(), "{out}{err}");
    assert!(err.contains("<stdin>:14: TP0102 spec.paused"), "{err}");
    let output = run(
        &["render", "-f", "-", "--collector-image", "otel/opentelemetry-collector-k8s:0.155.0"],
        Some(&profile("a", "b")),
    );
    let (out, err) = texts(&output);
    assert!(out.is_empty() && err.contains("TP0401"), "{out}{err}");
}

#[test]
fn profiles_of_one_name_in_two_namespaces_have_files_of_their_own() {
    let scratch = Directory::create("render").expect("a scratch directory");
    let folder = scratch.path().join("objects");
    let folder = folder.to_str().expect("a path");
    let text = format!("{}---\n{}", profile("shop", "staging"), profile("shop", "production"));
    succeed(&["render", "-f", "-", "-o", folder], Some(&text));
    let written = std::fs::read_dir(folder).expect("the folder").count();
    assert_eq!(written, documents(&succeed(&["render", "-f", "-"], Some(&text))).len());
}

/// Words that a YAML 1.1 reader takes for something else, wherever a profile lets them in.
#[test]
fn kubectl_reads_back_every_word_as_it_was_meant() {
    let body = json!({
        "apiVersion": "telemetry-operator.dev/v1alpha1",
        "kind": "TelemetryProfile",
        "metadata": {"name": "on", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "no", "y": "1e3", "true": "0x1F", "nine": "1_000", "octal": "017"}},
            "service": {"name": "on", "version": "1_000", "environment": "off"},
            "metrics": {"prometheus": "Managed"},
            "collector": {"nodeSelector": {"on": "null", "1": "y", "a": "2026-01-31"}, "tolerations": [{"key": "yes", "value": "1.0"}]},
            "dashboards": {"labels": {"grafana_dashboard": "true", "n": ""}},
            "slos": [{"name": "no", "objective": "99", "freshness": {"counter": "a_total{on=\"no\"}", "maxAge": "1h"}}],
            "alerting": {"labels": {"team": "12:30:00", "note": "- a: b #c\n\ttab {{ $x }} '\"", "empty": "", "n": "~"}},
        },
    });
    let text = body.to_string();
    let rendered =
        render::render("on.json", &text, &Assumptions::default(), &Settings::default()).expect("it is valid");
    let meant: BTreeMap<_, _> = rendered
        .into_iter()
        .flat_map(|profile| profile.children)
        .map(|child| (child.reference(), child.body))
        .collect();
    assert!(meant.len() > 5, "{:?}", meant.keys());

    let stream = succeed(&["render", "-f", "-"], Some(&text));
    let scratch = Directory::create("words").expect("a scratch directory");
    let file = scratch.path().join("stream.yaml");
    std::fs::write(&file, &stream).expect("the file");
    let read = read_by_kubectl(&file);
    let list: Vec<Value> =
        serde_json::Deserializer::from_str(&read).into_iter().map(|item| item.expect("JSON")).collect();
    let items = list.into_iter().flat_map(|value| match value["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![value],
    });
    let read: BTreeMap<_, _> = items
        .map(|item| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (format!("{}/{}", text(&item["kind"]), text(&item["metadata"]["name"])), item)
        })
        .collect();
    assert_eq!(read.keys().collect::<Vec<_>>(), meant.keys().collect::<Vec<_>>());
    for (reference, meant) in meant {
        assert_eq!(read[&reference], meant, "{reference}");
    }
}

#[test]
fn the_other_commands_print_what_they_promise() {
    let crd = succeed(&["crd"], None);
    assert!(
        crd == repository_file("crds/telemetryprofile.yaml"),
        "crd prints another CRD than the file holds"
    );
    assert_eq!(succeed(&["version"], None), format!("telemetry-operator {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(&["completion", shell], None);
        for command in ["run", "render", "validate", "import", "inject", "uninject", "explain", "check"] {
            assert!(script.contains(command), "{shell}: {command} is not completed");
        }
    }
    let script = succeed(&["completion", "bash"], None);
    let scratch = Directory::create("completion").expect("a scratch directory");
    let file = scratch.path().join("completion.bash");
    std::fs::write(&file, script).expect("the file");
    let mut check = Command::new("bash");
    output({
        check.arg("-n").arg(&file);
        check
    });
    let help = succeed(&["--help"], None);
    for command in [
        "run",
        "crd",
        "render",
        "validate",
        "import",
        "inject",
        "uninject",
        "explain",
        "check",
        "version",
        "completion",
    ] {
        assert!(help.contains(command), "{help}");
    }
}

/// `everything-on.yaml` is where people look a field up: none may be missing.
#[test]
fn the_example_with_everything_has_every_field() {
    let crd: Value = serde_yaml::from_str(&repository_file("crds/telemetryprofile.yaml")).expect("the CRD");
    let example: Value =
        serde_yaml::from_str(&repository_file("examples/everything-on.yaml")).expect("the example");
    let mut missing = Vec::new();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    absent(schema, &[&example["spec"]], "spec", &mut missing);
    // Each excludes another field that is there.
    assert_eq!(missing, ["spec.collector.replicas", "spec.traces.endpoint"]);
}

/// Fields of the schema that no value in `values` has.
fn absent(schema: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let present: Vec<_> = values.iter().filter_map(|value| value.get(name)).collect();
        let path = format!("{path}.{name}");
        if present.is_empty() {
            missing.push(path);
            continue;
        }
        if schema["items"].is_object() {
            let items: Vec<_> = present.iter().filter_map(|value| value.as_array()).flatten().collect();
            absent(&schema["items"], &items, &path, missing);
        }
        absent(schema, &present, &path, missing);
    }
}

/// The objects of a file as kubectl reads them, JSON one after the other.
pub fn read_by_kubectl(file: &Path) -> String {
    let mut command =
        shared().plane.kubectl(["create", "--dry-run=client", "--validate=false", "-o", "json", "-f"]);
    command.arg(file);
    output(command)
}
