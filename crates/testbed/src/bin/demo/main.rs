//! `make demo`: the main job from end to end, on a real control plane and a real Jaeger, in one command.
//!
//! In: the operator's binary beside this one, the repository. Out: what a user would see, on standard output; progress on standard error.
//! The control plane has no node: pods stay Pending, and the profile says so.

mod trace;

use std::env::current_exe;
use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use testbed::{ControlPlane, Daemon, Jaeger, Part, Readiness, ensure, free_ports, output, wait_until};

const NAMESPACE: &str = "letterboxd";
const PROFILE: &str = "export-trakt-4-letterboxd";
const DEADLINE: Duration = Duration::from_secs(120);

/// Shows the operator at work on a real control plane and a real Jaeger.
#[derive(Parser)]
struct Arguments {
    /// The repository.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    /// Stay up until Enter is pressed.
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let say = |text: &str| eprintln!("[{:>4}s] {text}", started.elapsed().as_secs());

    say("building what is missing (the first time takes about ten minutes, later nothing)");
    ensure(&[Part::Etcd, Part::KubeApiserver, Part::KubeControllerManager, Part::Kubectl, Part::Jaeger])?;
    say("starting etcd, kube-apiserver and kube-controller-manager");
    let plane = ControlPlane::start()?;
    say("starting Jaeger");
    let jaeger = Jaeger::start()?;
    say("installing the CRD and the operator's account and rights");
    for file in ["crds/telemetryprofile.yaml", "deploy/rbac.yaml"] {
        plane.apply(&read(&arguments.repository.join(file))?)?;
    }
    kubectl(
        &plane,
        "wait --for=condition=Established crd/telemetryprofiles.telemetry-operator.dev --timeout=60s",
    )?;
    say("starting the operator under its own restricted account");
    let operator = operator(&plane, &jaeger)?;
    say("applying examples/export-trakt-4-letterboxd.yaml");
    kubectl(&plane, &format!("create namespace {NAMESPACE}"))?;
    let example = arguments.repository.join("examples/export-trakt-4-letterboxd.yaml");
    let path = example.to_str().context("the repository's path is not UTF-8")?;
    kubectl(&plane, &format!("apply -n {NAMESPACE} -f {path}"))?;
    say("waiting for the operator to have applied every child");
    wait_until("the profile's status to tell of its children", DEADLINE, || {
        let text =
            kubectl(&plane, &format!("get tp -n {NAMESPACE} {PROFILE} -o jsonpath={{.status.children}}"))?;
        Ok((!text.trim().is_empty()).then_some(()))
    })?;
    say("waiting for the reconcile's trace in Jaeger");
    let trace = wait_until("the trace of the first reconcile in Jaeger", DEADLINE, || {
        trace::first_reconcile(jaeger.query_url(), PROFILE)
    })?;
    show(&plane, &operator, &trace)?;
    say("done: everything above came from the API server and from Jaeger");
    if arguments.keep {
        keep(&plane, &jaeger)?;
    }
    Ok(())
}

/// The operator that cargo has built beside this program.
fn operator(plane: &ControlPlane, jaeger: &Jaeger) -> Result<Daemon> {
    let binary = current_exe()?.with_file_name("telemetry-operator");
    let [port] = free_ports()?;
    let mut command = Command::new(binary);
    command
        .args(["run", "--listen", &format!("127.0.0.1:{port}"), "--otlp-endpoint", jaeger.otlp_endpoint()])
        .env("KUBECONFIG", plane.kubeconfig_for_service_account("telemetry-system", "telemetry-operator")?)
        // The default of five seconds is for busy services; here somebody waits for the trace.
        .env("OTEL_BSP_SCHEDULE_DELAY", "500");
    let readiness = Readiness::Http { url: format!("http://127.0.0.1:{port}/readyz"), deadline: DEADLINE };
    Daemon::start("telemetry-operator", command, &plane.directory().join("operator.log"), readiness)
}

fn show(plane: &ControlPlane, operator: &Daemon, trace: &trace::Trace) -> Result<()> {
    let children =
        kubectl(plane, &format!("get tp -n {NAMESPACE} {PROFILE} -o jsonpath={{.status.children[*]}}"))?;
    let sections = [
        ("kubectl get tp", format!("get tp -n {NAMESPACE}")),
        (
            "its conditions: there is no node here, so pods stay Pending, and the profile says so",
            format!(
                "get tp -n {NAMESPACE} {PROFILE} -o custom-columns=TYPE:.status.conditions[*].type,REASON:.status.conditions[*].reason"
            ),
        ),
        (
            "where to send and where to look",
            format!("get tp -n {NAMESPACE} {PROFILE} -o jsonpath={{.status.endpoints}}"),
        ),
        ("its children", format!("get -n {NAMESPACE} {}", lower_kinds(&children))),
        (
            "the generated collector configuration",
            format!(
                "get configmap -n {NAMESPACE} {PROFILE}-collector -o jsonpath={{.data.collector\\.yaml}}"
            ),
        ),
    ];
    for (title, command) in sections {
        let text =
            if command.contains("custom-columns") { conditions(plane)? } else { kubectl(plane, &command)? };
        println!("\n== {title}\n{}", text.trim_end());
    }
    println!("\n== the reconcile's trace {}, read back from Jaeger\n{}", trace.id, trace.tree());
    println!("\n== a log line of that reconcile, with the same trace_id");
    let log = read(operator.log())?;
    let line = log.lines().find(|line| line.contains(&trace.id) && line.contains("\"reconciled\""));
    println!("{}", line.context("no log line of the reconcile carries its trace id")?);
    Ok(())
}

fn conditions(plane: &ControlPlane) -> Result<String> {
    let rows = "{range .status.conditions[*]}{.type}{\"\\t\"}{.status}{\"\\t\"}{.reason}{\"\\t\"}{.message}{\"\\n\"}{end}";
    let template = format!("-o=jsonpath={rows}");
    let text = output(&mut plane.kubectl(["get", "tp", "-n", NAMESPACE, PROFILE, &template]))?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    if rows.iter().any(|row| row.len() != 4) {
        bail!("unexpected conditions: {text}");
    }
    let lines = rows.iter().map(|row| format!("{:<23}{:<9}{:<22}{}", row[0], row[1], row[2], row[3]));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// `Kind/name` as kubectl takes it.
fn lower_kinds(children: &str) -> String {
    let lower = children.split_whitespace().filter_map(|child| child.split_once('/'));
    lower.map(|(kind, name)| format!("{}/{name}", kind.to_lowercase())).collect::<Vec<_>>().join(" ")
}

fn kubectl(plane: &ControlPlane, arguments: &str) -> Result<String> {
    output(&mut plane.kubectl(arguments.split_whitespace()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn keep(plane: &ControlPlane, jaeger: &Jaeger) -> Result<()> {
    println!("\n== still up: look around in another terminal");
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    println!("kubectl explain tp.spec.slos");
    println!("kubectl edit tp -n {NAMESPACE} {PROFILE}       # and watch the children follow");
    println!("kubectl delete svc -n {NAMESPACE} {PROFILE}-collector   # it comes back at once");
    println!("Jaeger's API (a build from Go modules has no page): {}/api/services", jaeger.query_url());
    println!("Press Enter to end everything.");
    stdin().lock().read_line(&mut String::new())?;
    Ok(())
}
