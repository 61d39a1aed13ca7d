//! A release on a control plane, by the real Helm. In: a set of values. Out: its manifest, whether the cluster is as it says, and
//! the operator as a process with the account and the environment of its Deployment. It talks to the cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{chart, helm, objects, reference, set, text};
use crate::common::*;

pub struct Release<'a> {
    pub cluster: &'a Cluster,
    pub name: &'a str,
    pub namespace: &'a str,
    values: PathBuf,
    /// What its manifests have named so far.
    seen: BTreeMap<String, Value>,
}

impl<'a> Release<'a> {
    pub fn new(cluster: &'a Cluster, name: &'a str, namespace: &'a str, values: &str) -> Self {
        Self { cluster, name, namespace, values: set(values), seen: BTreeMap::new() }
    }

    /// Helm's answer to a command about the release.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let mut command = helm(arguments);
        command.args(["--namespace", self.namespace]).env("KUBECONFIG", self.cluster.plane.kubeconfig());
        output(command)
    }

    /// `helm install` or `helm upgrade`, with these values after those of the set.
    pub fn apply(&self, verb: &str, values: &[&str]) {
        let (chart, set) = (chart(), self.values.clone());
        let paths = [chart, set].map(|path| path.to_str().expect("a path").to_owned());
        let mut arguments = vec![verb, self.name, &paths[0], "--values", &paths[1]];
        if verb == "install" {
            arguments.push("--create-namespace");
        }
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        self.helm(&arguments);
    }

    /// Helm puts what names no namespace into the release's. In the sets these are ConfigMaps.
    pub fn manifest(&self) -> Vec<Value> {
        let mut manifest = objects(&self.helm(&["get", "manifest", self.name]));
        for object in manifest.iter_mut().filter(|object| object["kind"] == "ConfigMap") {
            let namespace = &mut object["metadata"]["namespace"];
            if namespace.is_null() {
                *namespace = self.namespace.into();
            }
        }
        manifest
    }

    /// The cluster has what the manifest says, every object and field of it, and nothing that only a former manifest had.
    pub fn stands(&mut self) -> Vec<Value> {
        let manifest = self.manifest();
        let file = self.write(&manifest);
        testbed::wait_until("the cluster to be as the manifest says", Duration::from_secs(20), || {
            let mut diff = self.cluster.plane.kubectl(["diff", "--server-side", "--force-conflicts"]);
            testbed::output(diff.arg("--filename").arg(&file)).map(Some)
        })
        .expect("no difference");
        let former = std::mem::take(&mut self.seen);
        self.seen = manifest.iter().map(|object| (key(object), object.clone())).collect();
        let dropped: Vec<_> = former
            .iter()
            .filter(|(key, _)| !self.seen.contains_key(*key))
            .map(|(_, object)| object)
            .collect();
        assert_eq!(self.found(&dropped), "", "left of a former revision");
        self.seen.extend(former);
        manifest
    }

    /// The names of what is there of all that its manifests have ever named.
    pub fn left(&self) -> String {
        self.found(&self.seen.values().collect::<Vec<_>>())
    }

    fn found(&self, wanted: &[&Value]) -> String {
        if wanted.is_empty() {
            return String::new();
        }
        let file = self.write(wanted);
        let mut get = self.cluster.plane.kubectl(["get", "--ignore-not-found", "--output=name"]);
        get.arg("--filename").arg(file);
        output(get)
    }

    fn write<T: std::fmt::Display>(&self, objects: &[T]) -> PathBuf {
        let documents: Vec<_> = objects.iter().map(ToString::to_string).collect();
        let file = self.cluster.plane.directory().join("objects.yaml");
        std::fs::write(&file, documents.join("\n---\n")).expect("a file");
        file
    }

    /// What the pods of its Deployment would run.
    pub fn operator(&self, arguments: &[&str]) -> Operator {
        let manifest = self.manifest();
        let deployment = manifest.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
        let (name, namespace) =
            (text(&deployment["metadata"]["name"]), text(&deployment["metadata"]["namespace"]));
        let pod = &deployment["spec"]["template"]["spec"];
        let account = text(&pod["serviceAccountName"]);
        let account =
            self.cluster.plane.kubeconfig_for_service_account(namespace, account).expect("a kubeconfig");
        let variables = pod["containers"][0]["env"].as_array().expect("variables");
        let environment: Vec<_> = variables
            .iter()
            .map(|variable| match text(&variable["name"]) {
                "POD_NAME" => ("POD_NAME", name),
                "POD_NAMESPACE" => ("POD_NAMESPACE", namespace),
                other => (other, text(&variable["value"])),
            })
            .collect();
        Operator::start_as(self.cluster, &account, &[], arguments, &environment, true)
    }
}

fn key(object: &Value) -> String {
    format!("{}/{}", object["metadata"]["namespace"].as_str().unwrap_or_default(), reference(object))
}
