//! What is put into a pod, as trees: the sidecar's container, its volume, the variables of the application's containers. In:
//! nothing. Out: trees, which are evaluated for a pod or printed for the policy. No cluster.

use std::sync::LazyLock;

use serde_json::json;

use super::SIDECAR;
use super::facts::{Fact, Text};
use super::tree::{ALWAYS, Piece, Tree, When};
use crate::plan::pipeline::HEALTH;
use crate::plan::sidecar::{BASE_FILE, DIRECTORY, JAEGER_FILE, LOGS_FILE, METRICS_FILE, TRACES_FILE};

/// Numeric user of the sidecar, that of the collector's images.
const USER: i64 = 10_001;
/// A start may take a minute on a busy node. The application waits for it: what it sends first would be lost.
const STARTUP_PROBES: i64 = 60;

/// The sidecar's container.
pub static CONTAINER: LazyLock<Tree> = LazyLock::new(container);
/// The sidecar's volume.
pub static VOLUME: LazyLock<Tree> = LazyLock::new(|| {
    let source = Tree::Map(vec![(
        "name",
        Tree::Text(vec![(ALWAYS, Piece::Fact(Text::Profile)), (ALWAYS, Piece::Constant("-sidecar"))]),
    )]);
    Tree::Map(vec![("name", Tree::constant(SIDECAR)), ("configMap", source)])
});
/// The variables of an application's container.
pub static VARIABLES: LazyLock<Tree> = LazyLock::new(variables);

fn container() -> Tree {
    let amounts = |cpu, memory| Tree::Map(vec![("cpu", Tree::fact(cpu)), ("memory", Tree::fact(memory))]);
    let resources = Tree::Map(vec![
        ("requests", amounts(Text::CpuRequest, Text::MemoryRequest)),
        ("limits", amounts(Text::CpuLimit, Text::MemoryLimit)),
    ]);
    let go_memory = Tree::Text(vec![(ALWAYS, Piece::Fact(Text::GoMemory)), (ALWAYS, Piece::Constant("MiB"))]);
    let port = Tree::Map(vec![
        ("name", Tree::constant("sidecar-health")),
        ("containerPort", Tree::constant(HEALTH)),
        ("protocol", Tree::constant("TCP")),
    ]);
    let mount = Tree::Map(vec![
        ("name", Tree::constant(SIDECAR)),
        ("mountPath", Tree::constant(DIRECTORY)),
        ("readOnly", Tree::constant(true)),
    ]);
    Tree::Map(vec![
        ("name", Tree::constant(SIDECAR)),
        ("image", Tree::fact(Text::Image)),
        ("args", arguments()),
        ("env", Tree::List(vec![(ALWAYS, variable("GOMEMLIMIT", go_memory))])),
        // An init container that goes on: it starts before the application and ends after it, and a Job does not wait for it.
        ("restartPolicy", Tree::constant("Always")),
        ("ports", Tree::List(vec![(ALWAYS, port)])),
        // Its own resources could make a pod invalid that bounds all its containers together.
        ("resources", Tree::Either(Fact::PodResources, Box::new(Tree::Map(Vec::new())), Box::new(resources))),
        // No readiness probe: a sidecar that is ill must not take the application out of its Service.
        ("startupProbe", probe(1, STARTUP_PROBES)),
        ("livenessProbe", probe(10, 6)),
        ("securityContext", security_context()),
        ("terminationMessagePolicy", Tree::constant("FallbackToLogsOnError")),
        ("volumeMounts", Tree::List(vec![(ALWAYS, mount)])),
    ])
}

/// The collector reads these files as one: the profile decides which signals there are.
fn arguments() -> Tree {
    let files: [(When, &str); 5] = [
        (ALWAYS, BASE_FILE),
        (&[(Fact::TracesByOtlp, true)], TRACES_FILE),
        (&[(Fact::TracesByThrift, true)], JAEGER_FILE),
        (&[(Fact::Metrics, true)], METRICS_FILE),
        (&[(Fact::Logs, true)], LOGS_FILE),
    ];
    let argument = |file: &str| Tree::constant(format!("--config={DIRECTORY}/{file}"));
    Tree::List(files.into_iter().map(|(when, file)| (when, argument(file))).collect())
}

fn probe(period_seconds: i64, failure_threshold: i64) -> Tree {
    let get = Tree::Map(vec![
        ("path", Tree::constant("/")),
        ("port", Tree::constant(HEALTH)),
        ("scheme", Tree::constant("HTTP")),
    ]);
    Tree::Map(vec![
        ("httpGet", get),
        ("periodSeconds", Tree::constant(period_seconds)),
        ("failureThreshold", Tree::constant(failure_threshold)),
        ("timeoutSeconds", Tree::constant(3)),
    ])
}

/// All that Pod Security "restricted" asks for, whatever the pod itself says.
fn security_context() -> Tree {
    let drop = Tree::List(vec![(ALWAYS, Tree::constant("ALL"))]);
    Tree::Map(vec![
        ("allowPrivilegeEscalation", Tree::constant(false)),
        ("capabilities", Tree::Map(vec![("drop", drop)])),
        ("readOnlyRootFilesystem", Tree::constant(true)),
        ("runAsGroup", Tree::constant(USER)),
        ("runAsNonRoot", Tree::constant(true)),
        ("runAsUser", Tree::constant(USER)),
        ("seccompProfile", Tree::Map(vec![("type", Tree::constant("RuntimeDefault"))])),
    ])
}

/// OpenTelemetry's own variables: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
/// Kubernetes replaces `$(NAME)` by a variable that stands before it.
fn variables() -> Tree {
    const NOT_OWN_ENDPOINT: When = &[(Fact::OwnEndpoint, false)];
    let endpoint =
        Tree::Text(vec![(ALWAYS, Piece::Constant("http://127.0.0.1:")), (ALWAYS, Piece::Fact(Text::Port))]);
    let sampler = Tree::Either(
        Fact::SamplesInApplication,
        Box::new(Tree::constant("parentbased_traceidratio")),
        Box::new(Tree::constant("parentbased_always_on")),
    );
    let none = || Tree::constant("none");
    Tree::List(vec![
        (ALWAYS, variable("OTEL_SERVICE_NAME", Tree::fact(Text::Service))),
        (ALWAYS, field("OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "metadata.name")),
        (ALWAYS, field("OTEL_RESOURCE_ATTRIBUTES_POD_UID", "metadata.uid")),
        (ALWAYS, field("OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "spec.nodeName")),
        (
            &[(Fact::InJob, true)],
            field("OTEL_RESOURCE_ATTRIBUTES_JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
        ),
        (ALWAYS, variable("OTEL_RESOURCE_ATTRIBUTES", attributes())),
        (NOT_OWN_ENDPOINT, variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)),
        (NOT_OWN_ENDPOINT, variable("OTEL_EXPORTER_OTLP_PROTOCOL", Tree::fact(Text::Protocol))),
        (&[(Fact::Traces, true), (Fact::OwnSampler, false)], variable("OTEL_TRACES_SAMPLER", sampler)),
        (
            &[(Fact::Traces, true), (Fact::SamplesInApplication, true), (Fact::OwnSampler, false)],
            variable("OTEL_TRACES_SAMPLER_ARG", Tree::fact(Text::Ratio)),
        ),
        (&[(Fact::Traces, false)], variable("OTEL_TRACES_EXPORTER", none())),
        (&[(Fact::Metrics, false)], variable("OTEL_METRICS_EXPORTER", none())),
        (&[(Fact::Logs, false)], variable("OTEL_LOGS_EXPORTER", none())),
    ])
}

/// Names of attributes: <https://opentelemetry.io/docs/specs/semconv/resource/k8s/>; the older name of the environment is
/// still read by many.
fn attributes() -> Tree {
    const DEPLOYMENT: When = &[(Fact::InDeployment, true)];
    const STATEFUL_SET: When = &[(Fact::InStatefulSet, true)];
    const DAEMON_SET: When = &[(Fact::InDaemonSet, true)];
    const JOB: When = &[(Fact::InJob, true)];
    const VERSION: When = &[(Fact::HasVersion, true)];
    const ENVIRONMENT: When = &[(Fact::HasEnvironment, true)];
    let (constant, fact) = (Piece::Constant, Piece::Fact);
    Tree::Text(vec![
        (ALWAYS, constant("k8s.namespace.name=")),
        (ALWAYS, fact(Text::Namespace)),
        (ALWAYS, constant(",k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME)")),
        (ALWAYS, constant(",k8s.pod.uid=$(OTEL_RESOURCE_ATTRIBUTES_POD_UID)")),
        (ALWAYS, constant(",k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),k8s.container.name=")),
        (ALWAYS, fact(Text::Container)),
        (DEPLOYMENT, constant(",k8s.deployment.name=")),
        (DEPLOYMENT, fact(Text::Deployment)),
        (STATEFUL_SET, constant(",k8s.statefulset.name=")),
        (STATEFUL_SET, fact(Text::Owner)),
        (DAEMON_SET, constant(",k8s.daemonset.name=")),
        (DAEMON_SET, fact(Text::Owner)),
        (JOB, constant(",k8s.job.name=$(OTEL_RESOURCE_ATTRIBUTES_JOB_NAME)")),
        (VERSION, constant(",service.version=")),
        (VERSION, fact(Text::Version)),
        (ENVIRONMENT, constant(",deployment.environment.name=")),
        (ENVIRONMENT, fact(Text::Environment)),
        (ENVIRONMENT, constant(",deployment.environment=")),
        (ENVIRONMENT, fact(Text::Environment)),
        (ALWAYS, constant(",service.instance.id=")),
        (ALWAYS, fact(Text::Namespace)),
        (ALWAYS, constant(".$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME).")),
        (ALWAYS, fact(Text::Container)),
    ])
}

fn variable(name: &str, value: Tree) -> Tree {
    Tree::Map(vec![("name", Tree::constant(name)), ("value", value)])
}

fn field(name: &str, path: &str) -> Tree {
    let field = json!({"apiVersion": "v1", "fieldPath": path});
    let source = ["apiVersion", "fieldPath"].map(|key| (key, Tree::constant(field[key].clone())));
    let source = Tree::Map(vec![("fieldRef", Tree::Map(source.into()))]);
    Tree::Map(vec![("name", Tree::constant(name)), ("valueFrom", source)])
}
