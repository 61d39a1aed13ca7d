//! Ways in for whoever wants to look around. In: the stack. Out: addresses on this machine, open until Enter or a signal.
//! It talks to the cluster and to standard input.

use std::io::{BufRead, stdin};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use testbed::{Forward, Part, Stack, grafana, interrupt, victoria_logs};

use crate::pager;
use crate::picture::application_address;
use crate::profiles::{EXPORTER, OPERATOR, Profile};
use crate::show::title;

const PAUSE: Duration = Duration::from_millis(200);

/// Prints what can be looked at, writes what `make grafana` starts into `directory`, and stays until Enter is pressed or a signal
/// comes.
pub fn until_told(stack: &Stack, directory: &Path) -> Result<()> {
    title("still up: look around in another terminal");
    println!("export KUBECONFIG={}", stack.node().control_plane().kubeconfig().display());
    if let Some(directory) = testbed::path(Part::Kubectl)?.parent() {
        println!("export PATH={}:$PATH", directory.display());
    }
    println!("kubectl get tp -A");
    println!("kubectl edit tp -n {} {}    # the children follow", EXPORTER.namespace, EXPORTER.name);
    let simulator = stack.node().forward(EXPORTER.namespace, "trakt-sim", 8090)?;
    println!(
        "curl -X PUT -d '{{\"error_rate\": 0.2}}' {}/sim/behaviour    # the next incident",
        simulator.url()
    );
    let alertmanager = pager::forward(stack)?;
    println!("curl {}/api/v2/alerts    # what Alertmanager has", alertmanager.url());
    let store = victoria_logs::forward(stack)?;
    println!("{}/select/vmui/    # the log store's own page", store.url());
    let mut seen = vec![(victoria_logs::URL.to_owned(), store.url())];
    let mut open = vec![simulator, alertmanager, store];
    for (profile, port) in [(&EXPORTER, 8081), (&OPERATOR, 8080)] {
        let [jaeger, prometheus, metrics] = addresses(stack, profile, port)?;
        println!("\n{}", profile.name);
        println!("  Jaeger's API, a build from Go modules has no page   {}/api/services", jaeger.url());
        println!("  Prometheus' API                                     {}/api/v1/alerts", prometheus.url());
        println!("  its own metrics                                     {}/metrics", metrics.url());
        let service =
            |name: &str, port: u16| format!("http://{}-{name}.{}:{port}", profile.name, profile.namespace);
        seen.extend([
            (service("jaeger", 16686), jaeger.url()),
            (service("prometheus", 9090), prometheus.url()),
        ]);
        open.extend([jaeger, prometheus, metrics]);
    }
    let dashboards =
        stack.kubectl("get configmaps -A -l app.kubernetes.io/name=grafana-dashboards -o json")?;
    let mut dashboards: Value = serde_json::from_str(&dashboards)?;
    let config_maps: Vec<Value> = serde_json::from_value(dashboards["items"].take())?;
    grafana::provision(directory, &config_maps, &seen)?;
    println!(
        "\nmake grafana    # a Grafana with all dashboards and data sources, at http://127.0.0.1:3000; needs Docker"
    );
    println!("\nPress Enter or Ctrl-C to end everything.");
    wait();
    Ok(())
}

fn addresses(stack: &Stack, profile: &Profile, port: u16) -> Result<[Forward; 3]> {
    let address = SocketAddr::new(application_address(stack, profile)?.parse()?, port);
    Ok([
        stack.jaeger(profile.namespace, profile.name)?,
        stack.prometheus(profile.namespace, profile.name)?,
        stack.node().forward_to(address)?,
    ])
}

/// Until a line comes or a signal. Where nobody can type, only a signal ends it.
fn wait() {
    let (typed, line) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        if stdin().lock().read_line(&mut text).is_ok_and(|read| read > 0) {
            // Whoever waits may be gone already.
            let _ = typed.send(());
        }
        thread::park();
    });
    while !interrupt::caught() && line.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {}
}
