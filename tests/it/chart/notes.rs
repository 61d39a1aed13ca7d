//! What Helm tells after an installation: what is there, the next commands, and what is missing.

use serde_json::Value;

use super::{NAMESPACE, chart, helm};
use crate::common::{output, repository_file};

/// Values, what the notes say then, and what they do not say.
const SAID: [(&[&str], &[&str], &[&str]); 7] = [
    (
        &[],
        &[
            "is installed as telemetry-operator in namespace telemetry-system. It works in all namespaces.",
            "kubectl rollout status -n telemetry-system deployment/telemetry-operator",
            "helm test -n telemetry-system telemetry-operator",
            "kubectl apply -n NAMESPACE -f -",
            "the operator puts them into pods, by its webhook",
            "this cluster has no Prometheus Operator",
        ],
        &["crds.enabled", "rbac.create", "resources is empty", "by the MutatingAdmissionPolicy"],
    ),
    (
        &["--set", "injection.mode=Policy"],
        &["by the MutatingAdmissionPolicy telemetry-operator-sidecar"],
        &["webhook", "was not asked"],
    ),
    (&["--set", "injection.mode=Webhook"], &["by its webhook"], &["was not asked"]),
    (&["--set", "injection.mode=None"], &["Sidecars: none."], &["by its webhook"]),
    (
        &["--set", "watchNamespaces={media,shop},fullnameOverride=observe"],
        &["installed as observe in", "in the namespaces media, shop.", "kubectl apply -n media -f -"],
        &["NAMESPACE"],
    ),
    (
        &["--set", "crds.enabled=false,rbac.create=false,resources=null"],
        &[
            "NOTE: crds.enabled is false",
            "NOTE: rbac.create is false",
            "telemetry-system/telemetry-operator",
            "NOTE: resources is empty",
        ],
        &[],
    ),
    (&["--set", "prometheus.url=http://prometheus:9090"], &[], &["no Prometheus Operator"]),
];

fn notes(arguments: &[&str]) -> String {
    let arguments = [&["--dry-run=client"], arguments].concat();
    install(&arguments)
}

/// The notes of an installation with these arguments.
pub fn install(arguments: &[&str]) -> String {
    let mut command = helm(&["install", "telemetry-operator", "--namespace", NAMESPACE]);
    command.arg(chart()).args(arguments);
    let all = output(command);
    all.split_once("\nNOTES:\n").unwrap_or_else(|| panic!("there are no notes")).1.to_owned()
}

#[test]
fn the_notes_say_what_was_chosen_and_what_comes_next() {
    for (arguments, said, unsaid) in SAID {
        let notes = notes(arguments);
        for words in said {
            assert!(notes.contains(words), "{arguments:?}: {words:?} is missing: {notes}");
        }
        for words in unsaid {
            assert!(!notes.contains(words), "{arguments:?}: {words:?} is there: {notes}");
        }
    }
}

#[test]
fn the_profile_in_the_notes_is_the_smallest_example() {
    let notes = notes(&[]);
    let profile =
        notes.split_once("<<EOF\n").and_then(|(_, rest)| rest.split_once("     EOF\n")).expect("a profile").0;
    let profile: Value = serde_yaml::from_str(profile).expect("YAML");
    let example: Value =
        serde_yaml::from_str(&repository_file("examples/minimal.yaml")).expect("the example");
    assert_eq!(profile, example);
}
