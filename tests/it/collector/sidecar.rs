//! The sidecar's configuration: the files that a pod's arguments name, which the collector reads as one.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use telemetry_operator::inject::Injector;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan::sidecar::DIRECTORY;
use telemetry_operator::plan::{self};
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::{Directory, Part};

use super::{TABLE, examples, profile};

#[test]
fn the_collector_accepts_the_files_of_every_sidecar() {
    let directory = Directory::create("sidecar-validate").expect("a directory");
    let binary = testbed::path(Part::Collector).expect("the collector");
    let settings = Settings::default();
    let mut combinations = std::collections::BTreeSet::new();
    for profile in TABLE.iter().map(|spec| profile("on", spec)).chain(examples()) {
        let validated = validate(&profile, &Observed::default(), &settings).expect("a valid profile");
        let children = plan::sidecar::plan(&validated).expect("a plan");
        for (file, text) in children[0].body["data"].as_object().expect("files") {
            fs::write(directory.path().join(file), text.as_str().expect("text")).expect("a file is written");
        }
        let labels: serde_json::Map<_, _> = profile
            .spec
            .selector
            .match_labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let mut pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}});
        let injector = Injector::new(&profile, &settings);
        if !injector.is_wanted() {
            continue;
        }
        let patch = injector.patch(&pod);
        json_patch::patch(&mut pod, &patch).expect("the patch fits");
        let arguments: Vec<String> = pod["spec"]["initContainers"][0]["args"]
            .as_array()
            .expect("arguments")
            .iter()
            .map(|argument: &Value| {
                let here = directory.path().display().to_string();
                argument.as_str().expect("text").replace(DIRECTORY, &here)
            })
            .collect();
        let mut command = Command::new(&binary);
        command.arg("validate").args(&arguments);
        if let Err(error) = testbed::output(&mut command) {
            panic!("the collector refuses {arguments:?} of {:?}: {error:#}", profile.spec);
        }
        combinations.insert(arguments);
    }
    assert!(combinations.len() >= 7, "{combinations:#?}");
}
