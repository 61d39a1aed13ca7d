//! The parts that can be had, and what each is built from: data, no behaviour. Does not talk to the cluster.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, anyhow};

/// A program, or a directory of files, that the testbed can provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The store behind the API server.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The controllers that come with Kubernetes.
    KubeControllerManager,
    /// The Kubernetes command line.
    Kubectl,
    /// Jaeger, version 2.
    Jaeger,
    /// The Prometheus server.
    Prometheus,
    /// The checker of Prometheus configurations and rules.
    Promtool,
    /// The slim OpenTelemetry Collector of `collector/builder.yaml`.
    Collector,
    /// The Prometheus Operator's resource definitions: a directory of YAML files.
    PrometheusOperatorCrds,
}

/// A Go module of our own that pins one part, or several which agree on their dependencies.
pub(crate) struct Module {
    pub go_mod: &'static str,
    pub go_sum: &'static str,
}

/// How a part comes into being.
pub(crate) enum Recipe {
    /// `go build` of a command that the module requires.
    Command { package: &'static str, ldflags: &'static str },
    /// `go build` of the sources that `generator`, a command which the module requires, writes for `manifest`.
    Generated { generator: &'static str, manifest: &'static str, ldflags: &'static str },
    /// The YAML files of a directory in a module that the module requires.
    Files { module: &'static str, directory: &'static str },
}

macro_rules! module {
    ($name:literal) => {
        Module {
            go_mod: include_str!(concat!("../parts/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../parts/", $name, "/go.sum")),
        }
    };
}

static COLLECTOR: Module = module!("collector");
static ETCD: Module = module!("etcd");
static JAEGER: Module = module!("jaeger");
static KUBERNETES: Module = module!("kubernetes");
static PROMETHEUS: Module = module!("prometheus");
static PROMETHEUS_OPERATOR: Module = module!("prometheus-operator");

const STRIPPED: &str = "-s -w";
// Without their version from outside, these programs say that they have none.
const JAEGER_FLAGS: &str = "-s -w -X github.com/jaegertracing/jaeger/internal/version.latestVersion=v1.76.0";
const KUBERNETES_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                                -X k8s.io/client-go/pkg/version.gitVersion=v1.36.3";
/// Prometheus numbers its module v0.305.0 and its program 3.5.0.
const PROMETHEUS_FLAGS: &str = "-s -w -X github.com/prometheus/common/version.Version=3.5.0";

impl Part {
    /// Every part; those that others wait for most come first.
    pub const ALL: [Part; 9] = [
        Part::Etcd,
        Part::KubeApiserver,
        Part::KubeControllerManager,
        Part::Kubectl,
        Part::Collector,
        Part::Promtool,
        Part::Prometheus,
        Part::Jaeger,
        Part::PrometheusOperatorCrds,
    ];

    /// The name on the command line and of the program.
    pub fn name(self) -> &'static str {
        match self {
            Part::Etcd => "etcd",
            Part::KubeApiserver => "kube-apiserver",
            Part::KubeControllerManager => "kube-controller-manager",
            Part::Kubectl => "kubectl",
            Part::Jaeger => "jaeger",
            Part::Prometheus => "prometheus",
            Part::Promtool => "promtool",
            Part::Collector => "collector",
            Part::PrometheusOperatorCrds => "prometheus-operator-crds",
        }
    }

    pub(crate) fn module(self) -> &'static Module {
        match self {
            Part::Etcd => &ETCD,
            Part::KubeApiserver | Part::KubeControllerManager | Part::Kubectl => &KUBERNETES,
            Part::Jaeger => &JAEGER,
            Part::Prometheus | Part::Promtool => &PROMETHEUS,
            Part::Collector => &COLLECTOR,
            Part::PrometheusOperatorCrds => &PROMETHEUS_OPERATOR,
        }
    }

    pub(crate) fn recipe(self) -> Recipe {
        let command = |package, ldflags| Recipe::Command { package, ldflags };
        match self {
            Part::Etcd => command("go.etcd.io/etcd/server/v3", STRIPPED),
            Part::KubeApiserver => command("k8s.io/kubernetes/cmd/kube-apiserver", KUBERNETES_FLAGS),
            Part::KubeControllerManager => {
                command("k8s.io/kubernetes/cmd/kube-controller-manager", KUBERNETES_FLAGS)
            }
            Part::Kubectl => command("k8s.io/kubernetes/cmd/kubectl", KUBERNETES_FLAGS),
            Part::Jaeger => command("github.com/jaegertracing/jaeger/cmd/jaeger", JAEGER_FLAGS),
            Part::Prometheus => command("github.com/prometheus/prometheus/cmd/prometheus", PROMETHEUS_FLAGS),
            Part::Promtool => command("github.com/prometheus/prometheus/cmd/promtool", PROMETHEUS_FLAGS),
            Part::Collector => Recipe::Generated {
                generator: "go.opentelemetry.io/collector/cmd/builder",
                manifest: include_str!("../../../collector/builder.yaml"),
                ldflags: STRIPPED,
            },
            Part::PrometheusOperatorCrds => Recipe::Files {
                module: "github.com/prometheus-operator/prometheus-operator",
                directory: "example/prometheus-operator-crd",
            },
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(name: &str) -> Result<Part, Error> {
        Part::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
            anyhow!("no part is called {name:?}; there are: {}", Part::ALL.map(Part::name).join(", "))
        })
    }
}
