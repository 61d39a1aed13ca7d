//! The sidecar in real pods: what the application sends comes through it, a killed one loses no more than its queue, and it does not
//! keep a Job from ending.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Forward, Node, Span, spans_of_service};

use crate::common::{EXPORTER, STACK, Site, documents};
use crate::counts::End;
use crate::exports::{ONCE, await_exports, send_once};
use crate::kernel;

const SIDECAR: &str = "telemetry-sidecar";
/// Between two spans under traffic.
const PACE: Duration = Duration::from_millis(20);
/// Traffic before a sidecar is killed, and after it is back.
const BESIDE: Duration = Duration::from_secs(2);
/// How long a span may be in a sidecar whose collector takes what it is given.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Numbers of spans.
const UNDER_TRAFFIC: Range<usize> = 1..100_000;
const QUEUED: Range<usize> = 100_000..100_020;
const AFTERWARDS: Range<usize> = 200_000..200_020;

/// The one pod of the application.
fn application(site: &Site) -> Value {
    let pods = site.list(&format!("pods -l app.kubernetes.io/name={EXPORTER}"));
    let [pod] = pods.as_slice() else { panic!("not one pod: {pods:#?}") };
    pod.clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The status of the pod's sidecar and of its application's container.
fn containers(pod: &Value) -> (Value, Value) {
    let sidecar = pod["status"]["initContainerStatuses"][0].clone();
    assert_eq!(sidecar["name"], SIDECAR, "{pod:#}");
    (sidecar, pod["status"]["containerStatuses"][0].clone())
}

/// The process of the application in its pod.
fn exporter_process(pod: &Value) -> u32 {
    let processes = kernel::processes().remove(text(&pod["metadata"]["uid"])).expect("its processes");
    let is_exporter = |process: &u32| kernel::status(*process)["Name"].starts_with("export-trakt");
    processes.into_iter().find(is_exporter).expect("the exporter's process")
}

fn spans(jaeger: &Forward) -> anyhow::Result<Vec<Span>> {
    spans_of_service(&jaeger.url(), EXPORTER, 100)
}

#[test]
fn spans_come_through_the_sidecar_and_a_killed_one_loses_no_more_than_its_queue() {
    let site = Site::new(&STACK, "sidecar");
    site.exporter_profile(&json!({"service": {"version": "1.2"}}));
    site.run_exporter();
    site.ready(EXPORTER);
    let pod = application(&site);
    let (sidecar, exporter) = containers(&pod);
    assert_eq!(
        (&sidecar["ready"], &sidecar["started"], &sidecar["restartCount"]),
        (&json!(true), &json!(true), &json!(0))
    );
    assert_eq!(exporter["restartCount"], 0, "{exporter}");
    kernel::assert_restricted(&pod);
    sends_to_its_own_pod(&pod);

    site.export(&site.exports());
    let jaeger = site.jaeger(EXPORTER);
    await_exports(&site, &jaeger, 1);
    tells_where_it_runs(&pod, &spans(&jaeger).unwrap());

    killed_under_traffic(&site, &pod, &jaeger);
    killed_with_a_queue(&site, &pod, &jaeger);
    let (_, now) = containers(&application(&site));
    assert_eq!(now["containerID"], exporter["containerID"], "the application went on");
    site.export(&site.exports());
    await_exports(&site, &jaeger, 2);
}

/// The application knows one endpoint, in its own pod, and only the pod itself reaches the sidecar's receivers.
fn sends_to_its_own_pod(pod: &Value) {
    let process = exporter_process(pod);
    let environment = std::fs::read_to_string(format!("/proc/{process}/environ")).expect("its environment");
    let endpoints: Vec<_> =
        environment.split('\0').filter(|variable| variable.contains("ENDPOINT=")).collect();
    assert_eq!(endpoints, ["OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"]);
    let sockets = kernel::sockets(process);
    let listening: BTreeSet<_> =
        sockets.iter().filter(|socket| socket.listens).map(|socket| socket.local).collect();
    for port in [4317, 4318] {
        let at: Vec<_> = listening.iter().filter(|address| address.port() == port).map(|a| a.ip()).collect();
        assert!(at.len() == 1 && at[0].is_loopback(), "port {port} is open at {at:?}");
    }
}

fn tells_where_it_runs(pod: &Value, spans: &[Span]) {
    let (metadata, node) = (&pod["metadata"], text(&pod["spec"]["nodeName"]));
    let (name, namespace) = (text(&metadata["name"]), text(&metadata["namespace"]));
    for span in spans {
        let told = |key: &str| span.resource.get(key).map_or("", String::as_str);
        for (key, wanted) in [
            ("service.name", EXPORTER),
            ("service.version", "1.2"),
            ("deployment.environment.name", "test"),
            ("k8s.namespace.name", namespace),
            ("k8s.pod.name", name),
            ("k8s.pod.uid", text(&metadata["uid"])),
            ("k8s.node.name", node),
            ("k8s.container.name", "exporter"),
            ("k8s.deployment.name", EXPORTER),
            ("service.instance.id", &format!("{namespace}.{name}.exporter")),
        ] {
            // The query API gives the service's name apart from the resource.
            let found = if key == "service.name" { span.service.as_str() } else { told(key) };
            assert_eq!(found, wanted, "{key} of {span:?}");
        }
    }
}

/// Ends the sidecar's process without warning, and waits for the next one.
fn kill(site: &Site) -> Instant {
    let (before, _) = containers(&application(site));
    site.stack.node().kill(text(&before["containerID"])).unwrap();
    let killed = Instant::now();
    site.wait("another sidecar", || {
        let (now, _) = containers(&application(site));
        anyhow::ensure!(now["containerID"] != before["containerID"] && now["ready"] == true, "{now}");
        Ok(Some(()))
    });
    killed
}

/// The numbers of the spans from no exporter that Jaeger has.
fn stored(jaeger: &Forward) -> anyhow::Result<BTreeSet<usize>> {
    let found = spans(jaeger)?.into_iter().filter(|span| span.name == ONCE);
    found.map(|span| Ok(usize::from_str_radix(&span.id, 16)?)).collect()
}

/// Waits until Jaeger has these.
fn await_stored(site: &Site, jaeger: &Forward, wanted: &BTreeSet<usize>) -> BTreeSet<usize> {
    site.wait(&format!("{} spans in Jaeger", wanted.len()), || {
        let found = stored(jaeger)?;
        let missing: Vec<_> = wanted.difference(&found).collect();
        anyhow::ensure!(missing.is_empty(), "missing: {missing:?}");
        Ok(Some(found))
    })
}

/// Kills the sidecar while spans come. Every span that it has taken arrives, but for those that it had not passed on yet.
fn killed_under_traffic(site: &Site, pod: &Value, jaeger: &Forward) {
    // A port of the pod's own loopback interface: by the application's process, which goes on.
    let otlp = Node::forward_into(exporter_process(pod), 4318).unwrap();
    let over = AtomicBool::new(false);
    let (taken, killed) = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut taken = Vec::new();
            for number in UNDER_TRAFFIC {
                if send_once(&otlp, number).is_ok() {
                    taken.push((number, Instant::now()));
                }
                if over.load(Ordering::Acquire) {
                    break;
                }
                thread::sleep(PACE);
            }
            taken
        });
        let end = End(&over);
        thread::sleep(BESIDE);
        let killed = kill(site);
        thread::sleep(BESIDE);
        drop(end);
        (sender.join().unwrap(), killed)
    });
    assert!(
        taken.iter().any(|(_, at)| *at < killed) && taken.iter().any(|(_, at)| *at > killed),
        "{taken:?}"
    );
    let may_be_lost = |at: Instant| at + ON_ITS_WAY > killed && at <= killed;
    let certain = taken.iter().filter(|(_, at)| !may_be_lost(*at)).map(|(number, _)| *number).collect();
    await_stored(site, jaeger, &certain);
}

/// While there is no collector, what the sidecar takes waits in its queue. That is what is lost with it: nothing of before, and
/// nothing of after.
fn killed_with_a_queue(site: &Site, pod: &Value, jaeger: &Forward) {
    let profile = format!("tp/{EXPORTER}");
    site.patch(&profile, &json!({"spec": {"paused": true}}));
    site.condition(EXPORTER, "Paused", "True", "");
    site.kubectl(&format!("scale deployment/{EXPORTER}-collector --replicas=0")).unwrap();
    site.wait("the end of the collector", || {
        let left = site.list("pods -l app.kubernetes.io/component=collector").len();
        anyhow::ensure!(left == 0, "{left}");
        Ok(Some(()))
    });
    let before = stored(jaeger).unwrap();
    let otlp = Node::forward_into(exporter_process(pod), 4318).unwrap();
    QUEUED.for_each(|number| send_once(&otlp, number).unwrap());
    kill(site);
    AFTERWARDS.for_each(|number| send_once(&otlp, number).unwrap());
    site.patch(&profile, &json!({"spec": {"paused": false}}));
    let wanted = before.into_iter().chain(AFTERWARDS).collect();
    let found = await_stored(site, jaeger, &wanted);
    assert!(found.is_disjoint(&QUEUED.collect()), "they were not in the queue: {found:?}");
}

#[test]
fn a_job_and_a_cron_job_end_and_their_spans_arrive() {
    let site = Site::new(&STACK, "jobs");
    site.exporter_profile(&json!({}));
    for condition in ["CollectorReady", "TraceBackendReady"] {
        site.condition(EXPORTER, condition, "True", "");
    }
    let (deployment, others): (Vec<_>, Vec<_>) = documents("examples/exporter/kubernetes.yaml")
        .into_iter()
        .partition(|item| item["kind"] == "Deployment" && item["metadata"]["name"] == EXPORTER);
    site.apply(&json!({"apiVersion": "v1", "kind": "List", "items": others}));
    site.available("trakt-sim");
    let mut template = deployment[0]["spec"]["template"].clone();
    let spec = &mut template["spec"];
    spec["restartPolicy"] = json!("Never");
    spec["containers"][0]["args"] =
        json!(["--once", "--config", "/etc/exporter/telemetry.toml", "--output", "/data/letterboxd"]);
    spec["containers"][0].as_object_mut().unwrap().remove("readinessProbe");
    let job = json!({"backoffLimit": 0, "template": template});
    site.apply(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": job}));
    site.apply(&json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job}}}));
    site.kubectl("create job --from=cronjob/nightly tonight").unwrap();
    for job in ["once", "tonight"] {
        site.wait(&format!("the end of Job {job}"), || {
            let status = site.get(&format!("job/{job}"))["status"].clone();
            anyhow::ensure!(status["succeeded"] == 1, "{status}");
            Ok(Some(()))
        });
        let pods = site.list(&format!("pods -l job-name={job}"));
        let [pod] = pods.as_slice() else { panic!("not one pod of {job}: {pods:#?}") };
        assert_eq!(pod["status"]["phase"], "Succeeded", "{pod:#}");
        let (sidecar, exporter) = containers(pod);
        let ends = [&sidecar, &exporter].map(|status| status["state"]["terminated"]["exitCode"].clone());
        assert_eq!(ends, [json!(0), json!(0)], "{sidecar}\n{exporter}");
    }
    let jaeger = site.jaeger(EXPORTER);
    await_exports(&site, &jaeger, 2);
    let jobs: BTreeSet<_> =
        spans(&jaeger).unwrap().into_iter().map(|span| span.resource["k8s.job.name"].clone()).collect();
    assert_eq!(jobs, BTreeSet::from(["once".to_owned(), "tonight".to_owned()]));
}
