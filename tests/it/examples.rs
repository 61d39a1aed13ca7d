//! Every example is accepted, all of its children exist, and `render` prints what was applied.

use std::path::{Path, PathBuf};
use std::process::Command;

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use telemetry_operator::profile::TelemetryProfile;

use crate::common::*;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("examples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files
}

fn render(arguments: &[&str], file: &Path) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry-operator"));
    command.arg("render").args(arguments).arg("-f").arg(file);
    let text = output(command);
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).expect("a document"))
        .collect()
}

/// An object's content and who owns which of its fields. The resourceVersion is of no use here: the API server stores some
/// kinds (PersistentVolumeClaim) anew when the very same is applied again.
fn owned(object: &DynamicObject) -> (Value, Vec<Value>) {
    let fields = object
        .managed_fields()
        .iter()
        .map(|entry| json!([entry.manager, entry.operation, entry.subresource, entry.fields_v1]));
    (without_server_fields(object), fields.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted_and_render_prints_what_is_applied() {
    let cluster = shared();
    let client = cluster.client().await;
    for file in examples() {
        let namespace = cluster.namespace("example").await;
        let _operator = cluster.operator(&[&namespace], &[]);
        let text = std::fs::read_to_string(&file).expect("the example");
        let mut profile: TelemetryProfile = serde_yaml::Deserializer::from_str(&text)
            .filter_map(|document| serde::Deserialize::deserialize(document).ok())
            .next()
            .unwrap_or_else(|| panic!("{} holds no profile", file.display()));
        profile.metadata.namespace = Some(namespace.clone());
        let name = profile.name_any();
        profiles(&client, &namespace)
            .create(&Default::default(), &profile)
            .await
            .unwrap_or_else(|error| panic!("{} is not accepted: {error}", file.display()));
        let live = observed(&client, &namespace, &name).await;
        cluster.quiet(&[&namespace]).await;
        let (_, reason, message) = condition(&live, "Ready");
        assert!(
            ["PodsStarting", "AllReady"].contains(&reason.as_str()),
            "{}: {reason}: {message}",
            file.display()
        );

        // The same profile in a file, for this namespace, rendered without the cluster.
        let moved = cluster.plane.directory().join(format!("{namespace}.yaml"));
        std::fs::write(&moved, serde_json::to_string(&profile).expect("JSON")).expect("the file");
        // As the operator of this test: it works in this namespace only.
        let arguments = ["--owner-uid", &live.uid().expect("a UID"), "--watch-namespace", &namespace];
        let rendered = render(&arguments, &moved);
        let applied = children(&client, &namespace).await;
        assert_eq!(rendered.len(), applied.len(), "{}", file.display());
        assert_eq!(live.status.expect("a status").children.len(), applied.len(), "{}", file.display());
        for planned in &rendered {
            let reference = format!(
                "{}/{}",
                planned["kind"].as_str().expect("a kind"),
                planned["metadata"]["name"].as_str().expect("a name")
            );
            let found = applied.get(&reference).unwrap_or_else(|| panic!("{reference} was not applied"));
            let (kind, _) = parse_reference(&reference);
            // What the operator sent is what its field manager owns: render's output applied again by the same manager
            // must change nothing, not even an owner of a field.
            let again = child_api(&client, &namespace, kind)
                .patch(
                    &found.name_any(),
                    &kube::api::PatchParams::apply("telemetry-operator").force(),
                    &kube::api::Patch::Apply(planned),
                )
                .await
                .unwrap_or_else(|error| panic!("{reference} of render is refused: {error}"));
            assert_eq!(owned(&again), owned(found), "{}: render differs from {reference}", file.display());
        }
    }
}
