//! Authority and certificate change three times under load, and nobody notices.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use telemetry_operator::webhook::certificates::Certificates;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::caller::Caller;
use super::*;
use crate::injection::table;

/// How long everybody may take to see a step, on a machine with too much to do.
const PAUSED: Timing = Timing { settle: Duration::from_millis(1500), ..QUICK };
/// How late an API server may hear of a change.
const LATE: Duration = Duration::from_secs(1);
const CHANGES: usize = 3;
const PER_SECOND: u32 = 200;

#[derive(Default)]
struct Counts {
    sent: AtomicUsize,
    refused: AtomicUsize,
    missed: AtomicUsize,
}

/// Takes 12 s.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_and_no_pod_is_refused_or_missed() {
    let cluster = shared_1_35();
    let client = cluster.client().await;
    let namespace = cluster.namespace("webhook-rotation").await;
    let profiles = table_profiles(&client, &namespace).await;
    let service = service(cluster, &namespace, "rotation");
    install(cluster, &service);
    // Its own client: the load must not keep it waiting.
    let hook = Hook::start(&cluster.client().await, &service, PAUSED, profiles);
    hook.registered().await;
    let pod = table::pod("plain");
    wait_for_injection(&client, &namespace, &pod).await;

    let counts = Arc::new(Counts::default());
    let (started, end) = (Instant::now(), watch::Sender::new(false));
    let load = tokio::spawn(load(client.clone(), namespace, pod, Arc::clone(&counts), end.subscribe()));
    let probe = tokio::spawn(probe(cluster.client().await, service.clone(), end.subscribe()));
    for change in 1..=CHANGES {
        change_authority(&client, &service, change).await;
    }
    end.send_replace(true);
    load.await.expect("the load ends");
    let [sent, refused, missed] = counts.read();
    let rate = sent as f64 / started.elapsed().as_secs_f64();
    println!("{CHANGES} changes, {sent} pods, {rate:.0} a second, {refused} refused, {missed} missed");
    assert_eq!((refused, missed), (0, 0), "of {sent} pods");
    let (shaken, failures) = probe.await.expect("the probe ends");
    println!("{shaken} new connections");
    assert!(
        failures.is_empty() && shaken >= 15,
        "{} of {shaken} new connections: {failures:?}",
        failures.len()
    );
    assert!(sent > 1000, "{sent} pods are no load");
    hook.stop().await;
}

/// Makes the authority so old that the next one is due, and waits until the API server trusts that one alone.
async fn change_authority(client: &Client, service: &Service, change: usize) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &service.namespace);
    let mut secret = secrets.get(&service.name).await.expect("the Secret");
    let data = secret.data.as_mut().and_then(|data| data.get_mut("certificates.json")).expect("certificates");
    let mut certificates = Certificates::from_bytes(&data.0).expect("certificates");
    let old = certificates.authorities[0].certificate.clone();
    certificates.authorities[0].made -= PAUSED.authority * 2;
    data.0 = certificates.to_bytes().expect("text");
    secrets.replace(&service.name, &Default::default(), &secret).await.expect("the Secret is changed");
    eventually(&format!("authority {change} to be followed"), || async {
        let trusted = authorities(&configuration(client, &service.name).await);
        if trusted.len() == 1 && trusted[0] != old { Ok(()) } else { Err(format!("{trusted:?}")) }
    })
    .await;
}

/// Opens new connections until told to stop, as an API server that hears of each change [`LATE`]: those of the load would live
/// through a change that is none. Out: how many, and what failed.
async fn probe(client: Client, service: Service, end: watch::Receiver<bool>) -> (usize, Vec<String>) {
    let name = format!("{}.{}.svc", service.name, service.namespace);
    let (mut heard, mut shaken, mut failures) = (VecDeque::new(), 0, Vec::new());
    while !*end.borrow() {
        heard.push_back((Instant::now(), authorities(&configuration(&client, &service.name).await).concat()));
        while heard.get(1).is_some_and(|(when, _)| when.elapsed() >= LATE) {
            heard.pop_front();
        }
        let caller = Caller::new(service.port, &name, &heard[0].1);
        shaken += 1;
        failures.extend(caller.handshake(b"http/1.1").await.err().map(|error| error.to_string()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (shaken, failures)
}

fn authorities(configuration: &MutatingWebhookConfiguration) -> Vec<String> {
    let entry = configuration.webhooks.iter().flatten().next().expect("an entry");
    let bundle = entry.client_config.ca_bundle.clone().expect("a bundle");
    let text = String::from_utf8(bundle.0).expect("PEM");
    text.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect()
}

/// Makes pods, each as a dry run, until told to stop, and waits for the last answers.
async fn load(
    client: Client,
    namespace: String,
    pod: Value,
    counts: Arc<Counts>,
    mut end: watch::Receiver<bool>,
) {
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut pods = JoinSet::new();
    // A slow machine must not pile up more than the API server takes.
    let hands = Arc::new(Semaphore::new(100));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = end.changed() => break,
        }
        let hand = Arc::clone(&hands).acquire_owned().await.expect("a hand");
        let (client, namespace, pod, counts) =
            (client.clone(), namespace.clone(), pod.clone(), Arc::clone(&counts));
        pods.spawn(async move {
            counts.note(dry_run(&client, &namespace, &pod).await);
            drop(hand);
        });
        while pods.try_join_next().is_some() {}
    }
    pods.join_all().await;
}

impl Counts {
    fn note(&self, made: Result<Value, kube::Error>) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        match made {
            Ok(pod) if has_sidecar(&pod) => {}
            Ok(_) => drop(self.missed.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                println!("refused: {error}");
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn read(&self) -> [usize; 3] {
        [&self.sent, &self.refused, &self.missed].map(|count| count.load(Ordering::Relaxed))
    }
}
