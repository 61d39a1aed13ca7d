//! What breaks on a node: status names the cause and the remedy, what works goes on, and all is well again once it is mended.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::{Forward, http};

use crate::common::{EXPORTER, STACK, Site};
use crate::exports::{await_exports, exports_in, kept_on_disk};

/// Labels of everything that the operator makes for the profile.
const CHILDREN: &str = "-l app.kubernetes.io/managed-by=telemetry-operator";
/// Kinds of what it makes, and of what comes of that.
const KINDS: &str = "pods,deployments,services,endpointslices,configmaps,serviceaccounts,persistentvolumeclaims,\
    networkpolicies,rolebindings";

/// Ends the process of a component without warning, and waits until there is another one that is ready. `meanwhile` is done in
/// between.
fn kill(site: &Site<'_>, component: &str, meanwhile: impl FnOnce()) {
    let container = || {
        let pods = site.list(&format!("pods -l app.kubernetes.io/component={component}"));
        let [pod] = pods.as_slice() else { panic!("not one {component} pod: {pods:?}") };
        pod["status"]["containerStatuses"][0].clone()
    };
    let before = container()["containerID"].clone();
    site.stack.node().kill(before.as_str().unwrap()).unwrap();
    meanwhile();
    site.wait(&format!("another {component} process"), || {
        let now = container();
        anyhow::ensure!(now["containerID"] != before && now["ready"] == true, "{now}");
        Ok(Some(()))
    });
}

/// The application's pods: who they are and how often their containers were started.
fn applications(site: &Site<'_>) -> Vec<(Value, Value)> {
    let pods = site.list(&format!("pods -l app.kubernetes.io/name={EXPORTER}"));
    let one = |pod: &Value| {
        (pod["metadata"]["uid"].clone(), pod["status"]["containerStatuses"][0]["restartCount"].clone())
    };
    pods.iter().map(one).collect()
}

#[test]
fn traces_survive_killed_pods_and_the_application_survives_the_profile() {
    let site = Site::new(&STACK, "survival");
    site.exporter_profile(&kept_on_disk());
    site.run_exporter();
    site.ready(EXPORTER);
    let application = applications(&site);
    let exports = site.exports();
    let jaeger = site.jaeger(EXPORTER);
    (0..5).for_each(|_| drop(site.export(&exports)));
    await_exports(&site, &jaeger, 5);
    let before = exports_in(&jaeger).unwrap();

    // What is exported while there is no Jaeger waits in the collector.
    kill(&site, "jaeger", || (0..3).for_each(|_| drop(site.export(&exports))));
    await_exports(&site, &jaeger, 8);
    assert!(before.is_subset(&exports_in(&jaeger).unwrap()), "traces of before are gone");

    // The application waits some seconds for a collector, no longer: what counts is that it finds the next one by itself.
    kill(&site, "collector", || ());
    (0..2).for_each(|_| drop(site.export(&exports)));
    await_exports(&site, &jaeger, 10);
    site.ready(EXPORTER);

    site.kubectl(&format!("delete tp {EXPORTER} --timeout=60s")).unwrap();
    site.wait("the end of everything that belonged to the profile", || {
        let left: Vec<_> = site.list(&format!("{KINDS} {CHILDREN}"));
        let left: Vec<_> = left.iter().map(|item| (&item["kind"], &item["metadata"]["name"])).collect();
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    });
    assert_eq!(site.export(&exports)["parts"].as_array().unwrap().len(), 3);
    assert_eq!(applications(&site), application, "the application was touched");
}

#[test]
fn status_names_what_is_broken_and_what_works_goes_on() {
    let site = Site::new(&STACK, "breakage");
    let little =
        json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "32Mi"}});
    site.exporter_profile(&json!({"metrics": {"port": 8099}, "collector": {"resources": little}}));
    site.run_exporter();
    let exports = site.exports();
    let jaeger = site.jaeger(EXPORTER);

    wrong_port(&site);
    absent_image(&site, &exports, &jaeger);
    too_little_memory(&site);
}

fn profile(site: &Site<'_>, spec: &Value) {
    site.patch(&format!("tp/{EXPORTER}"), &json!({"spec": spec}));
}

/// Checks that a message has all of these in it.
fn assert_names(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "nothing of {word:?} in {message:?}");
    }
}

fn wrong_port(site: &Site<'_>) {
    let message = site.condition(EXPORTER, "ScrapeTargetsUp", "False", "TargetsDown");
    let pod = site.list(&format!("pods -l app.kubernetes.io/name={EXPORTER}"))[0]["metadata"]["name"].clone();
    assert_names(
        &message,
        &[pod.as_str().unwrap(), "port 8099", "/metrics", "connection refused", "spec.metrics.port"],
    );
    site.condition(EXPORTER, "Ready", "False", "TargetsDown");
    profile(site, &json!({"metrics": {"port": 8081}}));
    site.condition(EXPORTER, "ScrapeTargetsUp", "True", "TargetsUp");
    site.ready(EXPORTER);
}

/// The collector that was there before goes on meanwhile.
fn absent_image(site: &Site<'_>, exports: &Forward, jaeger: &Forward) {
    let image = "localhost/absent:testbed";
    profile(site, &json!({"collector": {"image": image}}));
    let message = site.condition(EXPORTER, "CollectorReady", "False", "ImagePullFailed");
    assert_names(&message, &[&format!("pod {EXPORTER}-collector-"), image, "spec.collector.image"]);
    site.condition(EXPORTER, "Ready", "False", "ImagePullFailed");
    let before = exports_in(jaeger).unwrap().len();
    (0..3).for_each(|_| drop(site.export(exports)));
    await_exports(site, jaeger, before + 3);
    profile(site, &json!({"collector": {"image": null}}));
    site.condition(EXPORTER, "CollectorReady", "True", "PodsReady");
    site.ready(EXPORTER);
}

/// Requests that are as large as the collector's memory come until it has ended for want of it.
fn too_little_memory(site: &Site<'_>) {
    let otlp = site.forward(&format!("{EXPORTER}-collector"), 4318);
    let large = large_request();
    let message = site.wait("a collector that was ended for want of memory", || {
        // It may end before it has read all, or not be there.
        let sent = http("POST", &format!("{}/v1/traces", otlp.url()), &large).map(|(status, _)| status);
        let conditions = site.get(&format!("tp/{EXPORTER}"))["status"]["conditions"].take();
        let collector = conditions
            .as_array()
            .unwrap()
            .iter()
            .find(|condition| condition["type"] == "CollectorReady")
            .cloned();
        let collector = collector.unwrap_or_default();
        anyhow::ensure!(collector["reason"] == "OutOfMemory", "{collector} after {sent:?}");
        Ok(Some(collector["message"].as_str().unwrap().to_owned()))
    });
    let wanted = ["OOMKilled", "raise spec.collector.resources.limits.memory, which is 32Mi"];
    assert_names(&message, &wanted);
    profile(site, &json!({"collector": {"resources": {"limits": {"memory": "256Mi"}}}}));
    site.condition(EXPORTER, "CollectorReady", "True", "PodsReady");
    site.ready(EXPORTER);
}

/// One span with an attribute of 16 MiB; a request may have 20.
fn large_request() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string();
    let span = json!({"traceId": format!("{:032x}", 1), "spanId": format!("{:016x}", 1), "name": "large",
        "startTimeUnixNano": now, "endTimeUnixNano": now,
        "attributes": [{"key": "large", "value": {"stringValue": "x".repeat(16 << 20)}}]});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string()
}
