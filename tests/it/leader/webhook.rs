//! Every replica serves the webhook, with the certificates of the one that leads, and while nobody leads.

use serde_json::Value;
use testbed::free_ports;

use super::*;
use crate::injection::table;
use crate::webhook::caller::Caller;
use crate::webhook::{configuration, install};
use telemetry_operator::webhook::Service;

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_serves_the_webhook() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("lead-webhook").await;
    let installed = Installed::new(cluster, "lead-webhook", &[&namespace], |_| {});
    let spec = json!({"selector": {"matchLabels": {"app": "plain"}}, "service": {"name": "plain"}});
    apply_profile(&client, &namespace, "trakt", spec).await;
    let name = "lead-webhook-webhook";
    let service = Service { name: name.to_owned(), namespace: installed.namespace.clone(), port: 443 };
    install(cluster, &service);
    let [first_port, second_port] = free_ports().expect("ports");
    let start = |pod, port: u16| {
        replica(&installed, &installed.kubeconfig, pod, &["--webhook-listen", &format!("127.0.0.1:{port}")])
    };
    let mut first = start("first", first_port);
    // Ready means that it has its certificates.
    let _second = start("second", second_port);
    let bundle = eventually("the registration", || async {
        let entries = configuration(&client, name).await.webhooks.unwrap_or_default();
        let bundle = entries.first().and_then(|entry| entry.client_config.ca_bundle.clone());
        bundle.ok_or_else(|| "no entry".to_owned())
    })
    .await;
    let bundle = String::from_utf8(bundle.0).expect("PEM");
    let host = format!("{name}.{}.svc", installed.namespace);
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
        "namespace": namespace, "object": table::pod("plain")}})
    .to_string();
    let question = format!(
        "POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{review}",
        review.len()
    );
    let ask = async |port| {
        let answer = Caller::new(port, &host, &bundle).send(question.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(answer["response"]["patch"].is_string(), "{answer}");
    };
    ask(first_port).await;
    ask(second_port).await;
    let written = Log::read(&installed);
    assert!(written.writes("second").is_empty(), "{written:?}");

    first.daemon.kill().expect("it is killed");
    ask(second_port).await;
    let killed = Log::read(&installed);
    assert!(killed.writes("second").is_empty(), "it answered as the leader: {killed:?}");
}

/// An upgrade that changes the way of injection: the old leader makes no certificates, and a Deployment ends it only when the new
/// replica is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_webhook_gives_way_to_one_with_it() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("lead-change").await;
    let installed = Installed::new(cluster, "lead-change", &[&namespace], |_| {});
    let spec = json!({"selector": {"matchLabels": {"app": "plain"}}, "service": {"name": "plain"}});
    apply_profile(&client, &namespace, "trakt", spec).await;
    let name = "lead-change-webhook";
    install(cluster, &Service { name: name.to_owned(), namespace: installed.namespace.clone(), port: 443 });
    let [port] = free_ports().expect("a port");
    let mut old = replica(&installed, &installed.kubeconfig, "old", &["--injection=none"]);
    eventually("the old one to lead", || async {
        let page = old.page("/metrics").1;
        if page.contains("telemetry_operator_leader 1") { Ok(()) } else { Err(page) }
    })
    .await;
    let listen = format!("127.0.0.1:{port}");
    let _new = replica(
        &installed,
        &installed.kubeconfig,
        "new",
        &["--injection=webhook", "--webhook-listen", &listen],
    );
    assert_eq!(old.daemon.terminate().expect("it ends").code(), Some(0));
    eventually("the registration", || async {
        let entries = configuration(&client, name).await.webhooks.unwrap_or_default();
        if entries.is_empty() { Err("no entry".to_owned()) } else { Ok(()) }
    })
    .await;
}
