//! Whole profiles with applications that run: everything on; and the smallest one beside one that brings its own back ends.

use serde_json::{Value, json};
use testbed::prometheus::query;
use testbed::{Forward, http, spans_of_service};

use crate::common::{STACK, Site, documents, merge, small};
use crate::kernel::assert_restricted;
use crate::policies;
use crate::programs::{MONITORING, Program, application};

/// The example with every field, on images of this node.
fn everything() -> Value {
    let mut profile = documents("examples/everything-on.yaml").remove(0);
    let collector = json!({"image": "localhost/collector:testbed", "resources": small()});
    // Badger does not do with less.
    let jaeger = json!({"image": "localhost/jaeger:testbed",
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}});
    merge(
        &mut profile["spec"],
        &json!({
            "traces": {"jaeger": {"storageClassName": "local"}},
            "metrics": {"interval": "5s"},
            "collector": collector,
            "sidecar": {"image": "localhost/collector:testbed"},
            "jaeger": jaeger,
        }),
    );
    profile
}

#[test]
fn everything_on() {
    let _ = &*MONITORING;
    let site = Site::new(&STACK, "everything");
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "telemetry"}, "value": 1000});
    STACK.apply(None, &class.to_string()).unwrap();
    site.apply(&everything());
    application(&site, "everything", 9464, "/internal", "everything-collector");
    site.ready("everything");

    // The autoscaler has its way without any measurement: the number is below its minimum.
    site.wait("two collectors that the disruption budget counts", || {
        let budget = STACK.get(site.namespace, "pdb/everything-collector")?;
        let status = &budget["status"];
        anyhow::ensure!(status["currentHealthy"] == 2 && status["disruptionsAllowed"] == 1, "{status}");
        Ok(Some(()))
    });
    traces_arrive(
        &site,
        "everything",
        "everything",
        &[("service.version", "2.1.0"), ("deployment.environment.name", "staging")],
    );
    targets_are_up(&site, &site.prometheus("everything"), 5);
    site.rules_are_evaluated(&site.prometheus("everything"), 16);
    // Last: the collector closes a connection over which nothing goes for a minute and a half.
    logs_arrive(&site, "everything");
    policies::check(
        &site,
        &[
            ("everything", "collector", 4317),
            ("collector", "jaeger", 4317),
            ("collector", "loki", 13100),
            ("prometheus", "everything", 9464),
            ("prometheus", "collector", 8889),
            ("prometheus", "collector", 8888),
            ("prometheus", "outside", 6443),
            ("telemetry-operator", "prometheus", 9090),
        ],
    );
    pods_are_restricted(&site, 4);
}

/// Two profiles in one namespace, and one Prometheus that loads the files of both.
#[test]
fn the_smallest_one_and_one_with_its_own_back_ends() {
    let _ = &*MONITORING;
    let site = Site::new(&STACK, "shop");
    STACK.apply_file(Some(site.namespace), "examples/minimal.yaml").unwrap();
    STACK.apply_file(Some(site.namespace), "examples/bring-your-own.yaml").unwrap();
    application(&site, "hello", 8081, "/", "hello-collector");
    application(&site, "shop", 9102, "/", "shop-collector");
    site.wait("the files for Prometheus", || {
        site.kubectl("get configmap/hello-metrics configmap/shop-metrics configmap/shop-slo").map(Some)
    });
    own_prometheus(&site);
    site.ready("hello");
    site.ready("shop");
    site.condition("shop", "TraceBackendReady", "Unknown", "External");

    traces_arrive(&site, "hello", "hello", &[]);
    let tempo = MONITORING.forward("tempo", 16686);
    site.wait("spans of the shop in its own store", || {
        Ok((!spans_of_service(&tempo.url(), "shop", 100)?.is_empty()).then_some(()))
    });
    targets_are_up(&site, &site.forward("prometheus", 9090), 6);
    site.rules_are_evaluated(&site.forward("prometheus", 9090), 2);
    logs_arrive(&site, "shop");
    policies::check(
        &site,
        &[
            ("hello", "collector", 4317),
            ("shop", "collector", 4317),
            ("collector", "jaeger", 4317),
            ("collector", "tempo", 14317),
            ("collector", "loki", 13100),
            ("prometheus", "hello", 8081),
            ("prometheus", "shop", 9102),
            ("prometheus", "collector", 8889),
            ("prometheus", "collector", 8888),
        ],
    );
    pods_are_restricted(&site, 3);
}

/// A Prometheus as somebody has it who loads the profiles' ConfigMaps: each is a directory below /etc.
fn own_prometheus(site: &Site) {
    let metadata = json!({"name": "prometheus"});
    let group = "rbac.authorization.k8s.io";
    site.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]},
        {"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "prometheus"},
            "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": site.namespace}]},
    ]}));
    Program {
        name: "prometheus",
        image: "prometheus",
        arguments: &["--config.file=/etc/program/config.yaml", "--storage.tsdb.path=/data"],
        ports: &[(9090, 9090)],
        configuration: json!({
            "global": {"evaluation_interval": "5s"},
            "scrape_config_files": ["/etc/hello-metrics/*.yaml", "/etc/shop-metrics/*.yaml"],
            "rule_files": ["/etc/shop-slo/*.yaml"],
        }),
        mounts: &["hello-metrics", "shop-metrics", "shop-slo"],
        account: true,
    }
    .run(site);
}

/// Spans of the application are in a profile's Jaeger, under the profile's name for the service, with these resource attributes.
fn traces_arrive(site: &Site, profile: &str, service: &str, attributes: &[(&str, &str)]) {
    let jaeger = site.jaeger(profile);
    let spans = site.wait("the application's spans in Jaeger", || {
        let spans = spans_of_service(&jaeger.url(), service, 100)?;
        Ok((!spans.is_empty()).then_some(spans))
    });
    for (name, value) in attributes {
        assert_eq!(spans[0].resource.get(*name).map(String::as_str), Some(*value), "{:?}", spans[0]);
    }
}

/// A log record that is given to a profile's collector comes out at the log store.
fn logs_arrive(site: &Site, profile: &str) {
    let collector = site.forward(&format!("{profile}-collector"), 4318);
    let line = format!("a line of {profile}");
    let record = json!({"body": {"stringValue": line}});
    let body = json!({"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": [record]}]}]});
    let (status, answer) = http("POST", &format!("{}/v1/logs", collector.url()), &body.to_string()).unwrap();
    assert_eq!(status, 200, "{answer}");
    site.wait("the line in the log store", || {
        let log = MONITORING.kubectl("logs deployment/loki --tail=-1")?;
        Ok((log.contains(&line) && log.contains(&format!("service.name: Str({profile})"))).then_some(()))
    });
}

/// A Prometheus scrapes so many targets, and every one is up.
fn targets_are_up(site: &Site, prometheus: &Forward, targets: usize) {
    site.wait("targets that are up", || {
        let up = query(&prometheus.url(), "up")?;
        anyhow::ensure!(up.len() == targets && up.iter().all(|sample| sample.value == 1.0), "{up:#?}");
        Ok(Some(()))
    });
}

/// As many pods as the profiles ask for are there and ready, and each runs as the level `restricted` wants.
fn pods_are_restricted(site: &Site, pods: usize) {
    let found = site.list("pods -l app.kubernetes.io/managed-by=telemetry-operator");
    assert_eq!(found.len(), pods, "{}", site.diagnosis());
    found.iter().for_each(assert_restricted);
}
