//! The machine loses power and comes back: everything is as it was, and the operator has nothing to write.

use serde_json::{Value, json};
use testbed::{Forward, OPERATOR_NAMESPACE, http_get};

use crate::common::{EXPORTER, Site, start};
use crate::exports::{await_exports, exports_in, kept_on_disk};

/// How often each pod's container was started, by the pod.
fn starts(site: &Site<'_>) -> Vec<(Value, u64)> {
    let start = |pod: &Value| {
        (
            pod["metadata"]["uid"].clone(),
            pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default(),
        )
    };
    site.list("pods").iter().map(start).collect()
}

/// What the operator has written since its process began, and how many passes it has made.
fn written(operator: &Forward) -> anyhow::Result<(Vec<String>, bool)> {
    let (status, page) = http_get(&format!("{}/metrics", operator.url()))?;
    anyhow::ensure!(status == 200, "{status} {page}");
    let lines = |name: &str| {
        page.lines()
            .filter(|line| line.starts_with(name) && !line.ends_with(" 0"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let passed = !lines("telemetry_operator_reconciles_total{result=\"ok\"}").is_empty();
    Ok((lines("telemetry_operator_applied_objects_total"), passed))
}

#[test]
fn after_a_power_failure_everything_is_as_it_was() {
    let mut stack = start(&[]);
    let namespace = "restart";
    let (traces, before) = {
        let site = Site::new(&stack, namespace);
        site.exporter_profile(&kept_on_disk());
        site.run_exporter();
        site.ready(EXPORTER);
        let exports = site.exports();
        (0..5).for_each(|_| drop(site.export(&exports)));
        let jaeger = site.jaeger(EXPORTER);
        await_exports(&site, &jaeger, 5);
        // Nothing else leads to the operator.
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "operator", "namespace": OPERATOR_NAMESPACE},
            "spec": {"selector": {"app.kubernetes.io/name": "telemetry-operator"}, "ports": [{"port": 8080}]}});
        stack.apply(None, &service.to_string()).unwrap();
        let operator = stack.node().forward(OPERATOR_NAMESPACE, "operator", 8080).unwrap();
        site.wait("the operator's count of what it made", || {
            let (objects, _) = written(&operator)?;
            Ok((!objects.is_empty()).then_some(()))
        });
        (exports_in(&jaeger).unwrap(), starts(&site))
    };

    stack.node_mut().restart().unwrap();

    let site = Site { stack: &stack, namespace };
    // Status is that of before until the kubelet has looked at its pods again.
    site.wait("every pod to be started again", || {
        let now = starts(&site);
        let again = now.iter().all(|(pod, count)| {
            before.iter().find(|(known, _)| known == pod).is_none_or(|(_, before)| count > before)
        });
        anyhow::ensure!(again, "{now:?} after {before:?}");
        Ok(Some(()))
    });
    for deployment in site.list("deployments") {
        site.available(deployment["metadata"]["name"].as_str().unwrap());
    }
    site.ready(EXPORTER);

    let jaeger = site.jaeger(EXPORTER);
    site.wait("the traces from before", || {
        let found = exports_in(&jaeger)?;
        anyhow::ensure!(traces.is_subset(&found), "{found:?}, before {traces:?}");
        Ok(Some(()))
    });
    let exports = site.exports();
    site.wait("new traces", || {
        site.export(&exports);
        Ok((exports_in(&jaeger)?.len() > traces.len()).then_some(()))
    });
    let operator = stack.node().forward(OPERATOR_NAMESPACE, "operator", 8080).unwrap();
    let objects = site.wait("a pass of the operator", || {
        let (objects, passed) = written(&operator)?;
        Ok(passed.then_some(objects))
    });
    assert_eq!(objects, [""; 0], "the operator wrote objects that were right");
}
