//! The control plane behaves like a cluster: version, accounts and rights, controllers, audit log.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testbed::{output, wait_until};

use crate::{DEADLINE, PLANE, namespace};

#[test]
fn it_reports_the_pinned_version() {
    let version: Value =
        serde_json::from_str(&output(&mut PLANE.kubectl(["get", "--raw", "/version"])).unwrap()).unwrap();
    assert_eq!(version["gitVersion"], "v1.36.3");
}

#[test]
fn a_service_account_has_the_rights_that_it_was_given_and_no_other() {
    let namespace = namespace("rights");
    let role = json!([
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
         "metadata": {"name": "reader", "namespace": namespace},
         "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": "reader", "namespace": namespace},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
         "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}]},
    ]);
    PLANE.apply(&json!({"apiVersion": "v1", "kind": "List", "items": role}).to_string()).unwrap();
    let kubeconfig = PLANE.kubeconfig_for_service_account(namespace, "operator").unwrap();
    let as_operator = |args: &[&str]| -> Command {
        let mut command = PLANE.kubectl(args);
        command.env("KUBECONFIG", &kubeconfig);
        command
    };

    let whoami = output(&mut as_operator(&["auth", "whoami", "--output", "json"])).unwrap();
    let whoami: Value = serde_json::from_str(&whoami).unwrap();
    assert_eq!(whoami["status"]["userInfo"]["username"], "system:serviceaccount:rights:operator");
    let listed = output(&mut as_operator(&["get", "configmaps", "-n", namespace, "-o", "name"])).unwrap();
    assert!(listed.contains("configmap/kube-root-ca.crt"), "{listed}");
    for denied in [["get", "secrets", "-n", namespace], ["get", "configmaps", "-n", "default"]] {
        let error = output(&mut as_operator(&denied)).unwrap_err().to_string();
        assert!(error.contains("(Forbidden)"), "{denied:?}: {error}");
    }
    // The account exists now; asking again must not fail.
    PLANE.kubeconfig_for_service_account(namespace, "operator").unwrap();
}

#[test]
fn the_audit_log_has_one_line_for_each_answered_request() {
    let namespace = namespace("audit");
    let lines = || -> Vec<Value> {
        let log = fs::read_to_string(PLANE.audit_log()).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_default())
            .filter(|line: &Value| line["objectRef"]["namespace"] == namespace)
            .filter(|line| line["objectRef"]["name"] == "counted" && line["stage"] == "ResponseComplete")
            .collect()
    };
    assert!(lines().is_empty());
    output(&mut PLANE.kubectl(["create", "configmap", "counted", "-n", namespace])).unwrap();
    let created = lines();
    assert_eq!(created.len(), 1, "{created:#?}");
    assert_eq!(created[0]["verb"], "create");
    assert_eq!(created[0]["user"]["username"], "admin");
    assert_eq!(created[0]["responseStatus"]["code"], 201);
    output(&mut PLANE.kubectl(["get", "configmap/counted", "-n", namespace])).unwrap();
    assert_eq!(lines().len(), 2);
}

#[test]
fn what_an_object_owns_is_collected_after_it() {
    let namespace = namespace("garbage");
    output(&mut PLANE.kubectl(["create", "configmap", "owner", "-n", namespace])).unwrap();
    let uid = output(&mut PLANE.kubectl([
        "get",
        "configmap/owner",
        "-n",
        namespace,
        "-o",
        "jsonpath={.metadata.uid}",
    ]))
    .unwrap();
    let owned = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "namespace": namespace,
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]}});
    PLANE.apply(&owned.to_string()).unwrap();
    output(&mut PLANE.kubectl(["delete", "configmap/owner", "-n", namespace])).unwrap();
    wait_until("the owned object to be collected", DEADLINE, || {
        let names = output(&mut PLANE.kubectl(["get", "configmaps", "-n", namespace, "-o", "name"]))?;
        anyhow::ensure!(!names.contains("configmap/owned"), "still there: {names}");
        Ok(Some(()))
    })
    .unwrap();
}

#[test]
fn workload_controllers_run_and_a_deleted_namespace_goes() {
    let namespace = namespace("workloads");
    for (kind, name) in [("Deployment", "deployment"), ("StatefulSet", "statefulset")] {
        let workload = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "main", "image": "example.invalid/none"}]}}}});
        PLANE.apply(&workload.to_string()).unwrap();
    }
    wait_until("pods of both workloads", DEADLINE, || {
        let pods = output(&mut PLANE.kubectl(["get", "pods", "-n", namespace, "-o", "name"]))?;
        anyhow::ensure!(pods.matches("pod/deployment-").count() == 2, "{pods}");
        anyhow::ensure!(pods.contains("pod/statefulset-0"), "{pods}");
        Ok(Some(()))
    })
    .unwrap();
    output(&mut PLANE.kubectl(["delete", "namespace", namespace, "--timeout=60s"])).unwrap();
}

#[test]
fn the_prometheus_operator_kinds_can_be_installed() {
    let directory = testbed::path(testbed::Part::PrometheusOperatorCrds).unwrap();
    let kinds = ["servicemonitors", "podmonitors", "prometheusrules"];
    for kind in kinds {
        PLANE
            .apply(&fs::read_to_string(directory.join(format!("monitoring.coreos.com_{kind}.yaml"))).unwrap())
            .unwrap();
    }
    for kind in kinds {
        let name = format!("crd/{kind}.monitoring.coreos.com");
        output(&mut PLANE.kubectl(["wait", &name, "--for=condition=Established", "--timeout=60s"])).unwrap();
    }
}
