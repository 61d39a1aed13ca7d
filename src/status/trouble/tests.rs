//! Pods as a kubelet and a scheduler report them → reason and message.

use serde_json::{Value, json};

use super::*;
use crate::validate::fixture;

fn pod(name: &str, status: Value) -> Pod {
    let body = json!({"metadata": {"name": name}, "status": status,
        "spec": {"containers": [{"name": "collector", "image": "registry.example/otel:1"}]}});
    serde_json::from_value(body).expect("a pod")
}

fn container(state: Value, last: Value) -> Value {
    json!({"containerStatuses": [{"name": "collector", "ready": false, "restartCount": 7, "image": "registry.example/otel:1",
        "imageID": "", "state": state, "lastState": last}]})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

fn ended(reason: &str, code: i32) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": code, "message": "exec: no such file"}})
}

fn said(pods: &[Pod], component: Component) -> Option<(Reason, String)> {
    let profile = fixture(
        "selector: {matchLabels: {app: x}}\nservice: {name: x}\nmetrics: {prometheus: Managed}\n\
         collector: {resources: {limits: {memory: 64Mi}}}",
    );
    first(&pods.iter().collect::<Vec<_>>(), &profile, component, "Deployment/trakt-collector")
}

#[test]
fn each_cause_is_named_with_its_fix() {
    let running = json!({"running": {}});
    let placed = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory."}]});
    let cases = [
        (placed, Reason::PodsUnschedulable, vec!["0/1 nodes are available", "spec.collector.nodeSelector"]),
        (
            container(waiting("InvalidImageName", "couldn't parse image name"), Value::Null),
            Reason::ImagePullFailed,
            vec![
                "registry.example/otel:1",
                "couldn't parse",
                "spec.collector.image",
                "spec.collector.imagePullSecrets",
            ],
        ),
        (
            container(waiting("CreateContainerConfigError", "secret \"x\" not found"), Value::Null),
            Reason::ContainerNotStarted,
            vec!["secret \"x\" not found", "kubectl -n media describe pod a"],
        ),
        (
            container(waiting("CrashLoopBackOff", "back-off 40s"), ended("StartError", 128)),
            Reason::ContainerNotStarted,
            vec!["StartError", "exec: no such file"],
        ),
        (
            container(waiting("CrashLoopBackOff", "back-off 40s restarting"), ended("OOMKilled", 137)),
            Reason::OutOfMemory,
            vec!["OOMKilled", "raise spec.collector.resources.limits.memory, which is 64Mi"],
        ),
        (
            container(running.clone(), ended("Error", 1)),
            Reason::PodsCrashing,
            vec!["exit code 1", "kubectl -n media logs a -c collector --previous"],
        ),
        (container(running, Value::Null), Reason::PodsNotReady, vec!["readiness probe"]),
    ];
    for (status, reason, words) in cases {
        let (found, message) = said(&[pod("a", status)], Component::Collector).expect("a cause");
        assert_eq!(found, reason, "{message}");
        assert!(message.starts_with("Deployment/trakt-collector: pod a "), "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message}");
        }
        for changing in ["40s", "7"] {
            assert!(!message.contains(changing), "{changing:?} changes from look to look: {message}");
        }
    }
}

/// A crash loop is waiting, running and ended by turns, and an image is pulled and backed off by turns.
#[test]
fn the_turns_of_one_cause_read_alike() {
    let end = ended("Error", 1);
    let crash = [
        container(waiting("CrashLoopBackOff", "back-off 10s"), end.clone()),
        container(json!({"running": {}}), end.clone()),
        container(end, Value::Null),
    ];
    let error = "rpc error: code = NotFound desc = registry.example/otel:1: not found";
    let backed_off = format!("Back-off pulling image \"registry.example/otel:1\": ErrImagePull: {error}");
    let image = [
        container(waiting("ErrImagePull", error), Value::Null),
        container(waiting("ImagePullBackOff", &backed_off), Value::Null),
    ];
    for turns in [&crash[..], &image[..]] {
        let said: Vec<_> = turns
            .iter()
            .map(|status| said(&[pod("a", status.clone())], Component::Collector).expect("a cause"))
            .collect();
        assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:#?}");
    }
}

#[test]
fn the_first_cause_comes_first_and_then_the_first_pod() {
    let crash = || container(json!({"running": {}}), ended("Error", 1));
    let image = || container(waiting("ErrImagePull", "not found"), Value::Null);
    let pods = [pod("a", crash()), pod("c", image()), pod("b", image())];
    let (reason, message) = said(&pods, Component::Collector).expect("a cause");
    assert_eq!(reason, Reason::ImagePullFailed);
    assert!(message.contains("pod b "), "{message}");
}

#[test]
fn pods_that_serve_start_or_go_show_no_cause() {
    let mut ready = container(json!({"running": {}}), ended("OOMKilled", 137));
    ready["containerStatuses"][0]["ready"] = json!(true);
    let mut going = pod("g", container(json!({"running": {}}), Value::Null));
    going.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
    let starting = container(waiting("ContainerCreating", ""), Value::Null);
    for pod in [pod("a", ready), going, pod("a", starting), pod("a", json!({"phase": "Pending"}))] {
        assert_eq!(said(std::slice::from_ref(&pod), Component::Collector), None, "{pod:?}");
    }
}

#[test]
fn the_fix_is_where_the_workload_is_set() {
    let oom = [pod("a", container(json!({"running": {}}), ended("OOMKilled", 137)))];
    let image = [pod("a", container(waiting("ErrImagePull", "not found"), Value::Null))];
    for (pods, component, word) in [
        (&oom, Component::Jaeger, "spec.jaeger.resources.limits.memory, which is 1Gi"),
        (&oom, Component::Prometheus, "set spec.metrics.prometheus to Operator or ConfigMap"),
        (&image, Component::Jaeger, "spec.jaeger.image"),
        (&image, Component::Prometheus, "--prometheus-image"),
    ] {
        let (_, message) = said(pods, component).expect("a cause");
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
}
