//! The parts that can be had, and what each is built from: data, no behaviour. Does not talk to the cluster.

mod recipe;

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, anyhow};

pub(crate) use recipe::{Changed, Module, Recipe, Source};

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
    /// Debian's builder of images: a directory tree.
    Buildah,
    /// What an image's program is compiled in: the tree of a small Debian with a C compiler.
    BuildRoot,
    /// What gives pods their node.
    KubeScheduler,
    /// What runs the pods of a node.
    Kubelet,
    /// What makes the addresses of Services work on a node.
    KubeProxy,
    /// The container runtime below the kubelet.
    Containerd,
    /// The process between containerd and each pod.
    ContainerdShim,
    /// The command line of containerd.
    Ctr,
    /// Debian's runc, nft and network plugins: a directory tree.
    NodeTools,
    /// The DNS server of a cluster.
    Coredns,
    /// The program of a pod's sandbox.
    Pause,
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
    /// What makes Prometheus servers of their Kubernetes objects.
    PrometheusOperator,
    /// What runs beside such a Prometheus and tells it of changes.
    PrometheusConfigReloader,
    /// The API server of Kubernetes 1.35, which does not serve mutating admission policies.
    KubeApiserver135,
    /// What installs charts.
    Helm,
    /// What makes a chart's README of the comments in its values.
    HelmDocs,
    /// A checker of what manifests ask of a cluster.
    KubeScore,
    /// What passes alerts on to people.
    Alertmanager,
    /// The command line of Alertmanager, and the checker of its configurations.
    Amtool,
    /// A log store that takes OTLP.
    VictoriaLogs,
    /// A checker of LogQL, by Grafana's grammar: a directory with `check.js`.
    Logql,
}

/// All that is known about a part.
struct Facts {
    name: &'static str,
    seconds: u64,
    recipe: Recipe,
}

macro_rules! module {
    ($name:literal) => {
        Module {
            go_mod: include_str!(concat!("../parts/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../parts/", $name, "/go.sum")),
            beside: &[],
            changed: None,
        }
    };
}

/// Without its pages, whose files are not in the module.
static ALERTMANAGER: Module = Module {
    changed: Some(Changed {
        module: "github.com/prometheus/alertmanager",
        file: "ui/web.go",
        text: include_str!("../parts/alertmanager/web.go"),
    }),
    ..module!("alertmanager")
};
static COLLECTOR: Module = module!("collector");
static CONTAINERD: Module = module!("containerd");
static COREDNS: Module = module!("coredns");
static ETCD: Module = module!("etcd");
static HELM: Module = module!("helm");
static HELM_DOCS: Module = module!("helm-docs");
/// Without the client for Elasticsearch, which takes a third of the time to build.
static JAEGER: Module = Module {
    beside: &[
        ("elasticsearch/go.mod", include_str!("../parts/jaeger/elasticsearch/go.mod")),
        ("elasticsearch/elasticsearch.go", include_str!("../parts/jaeger/elasticsearch/elasticsearch.go")),
        ("elasticsearch/esapi/esapi.go", include_str!("../parts/jaeger/elasticsearch/esapi/esapi.go")),
    ],
    ..module!("jaeger")
};
static KUBE_SCORE: Module = module!("kube-score");
static KUBERNETES: Module = module!("kubernetes");
/// Only its API server is built: a store and controllers of a newer version go with it.
static KUBERNETES_1_35: Module = module!("kubernetes-1.35");
static PAUSE: Module = module!("pause");
/// Without the discovery of targets in clouds, which takes two fifths of the time to build.
static PROMETHEUS: Module = Module {
    changed: Some(Changed {
        module: "github.com/prometheus/prometheus",
        file: "plugins/plugins.go",
        text: include_str!("../parts/prometheus/plugins.go"),
    }),
    ..module!("prometheus")
};
static PROMETHEUS_OPERATOR: Module = module!("prometheus-operator");
static VICTORIA_LOGS: Module = module!("victoria-logs");

/// What the Dockerfile's first stage runs, and the authorities that its last one has.
const BUILD_ROOT: &[&str] =
    &["gcc", "libc6-dev", "dash", "coreutils", "findutils", "ca-certificates", "base-files", "base-passwd"];

const LOGQL: &[(&str, &str)] = &[
    ("package.json", include_str!("../parts/logql/package.json")),
    ("package-lock.json", include_str!("../parts/logql/package-lock.json")),
    ("check.js", include_str!("../parts/logql/check.js")),
];

const STRIPPED: &str = "-s -w";
// Without their version from outside, these programs say that they have none.
const ALERTMANAGER_FLAGS: &str = "-s -w -X github.com/prometheus/common/version.Version=0.35.0";
const CONTAINERD_FLAGS: &str = "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2";
const HELM_FLAGS: &str = "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1";
const HELM_DOCS_FLAGS: &str = "-s -w -X main.version=1.14.2";
const KUBE_SCORE_FLAGS: &str = "-s -w -X main.version=v1.20.0";
const JAEGER_FLAGS: &str = "-s -w -X github.com/jaegertracing/jaeger/internal/version.latestVersion=v1.76.0";
const KUBERNETES_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
                                -X k8s.io/client-go/pkg/version.gitVersion=v1.36.3";
const KUBERNETES_1_35_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4 \
                                     -X k8s.io/client-go/pkg/version.gitVersion=v1.35.4";
/// Prometheus numbers its module v0.305.0 and its program 3.5.0.
const PROMETHEUS_FLAGS: &str = "-s -w -X github.com/prometheus/common/version.Version=3.5.0";
const PROMETHEUS_OPERATOR_FLAGS: &str = "-s -w -X github.com/prometheus/common/version.Version=0.85.0";
const VICTORIA_LOGS_FLAGS: &str =
    "-s -w -X github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version=victoria-logs-v1.52.1";

impl Part {
    /// Every part; those that others wait for most come first.
    pub const ALL: [Part; 30] = [
        Part::Etcd,
        Part::KubeApiserver,
        Part::KubeControllerManager,
        Part::Kubectl,
        Part::Collector,
        Part::Promtool,
        Part::Prometheus,
        Part::Jaeger,
        Part::PrometheusOperatorCrds,
        Part::KubeScheduler,
        Part::Kubelet,
        Part::KubeProxy,
        Part::NodeTools,
        Part::Containerd,
        Part::ContainerdShim,
        Part::Ctr,
        Part::Coredns,
        Part::Pause,
        Part::PrometheusOperator,
        Part::PrometheusConfigReloader,
        Part::KubeApiserver135,
        Part::Helm,
        Part::HelmDocs,
        Part::KubeScore,
        Part::Alertmanager,
        Part::Amtool,
        Part::VictoriaLogs,
        Part::Logql,
        Part::Buildah,
        Part::BuildRoot,
    ];

    fn facts(self) -> Facts {
        match self {
            Part::Etcd => command("etcd", 50, &ETCD, "go.etcd.io/etcd/server/v3", STRIPPED),
            Part::KubeApiserver => kubernetes("kube-apiserver", 390, "k8s.io/kubernetes/cmd/kube-apiserver"),
            Part::KubeApiserver135 => command(
                "kube-apiserver-1.35",
                140,
                &KUBERNETES_1_35,
                "k8s.io/kubernetes/cmd/kube-apiserver",
                KUBERNETES_1_35_FLAGS,
            ),
            Part::KubeControllerManager => {
                kubernetes("kube-controller-manager", 100, "k8s.io/kubernetes/cmd/kube-controller-manager")
            }
            Part::Kubectl => kubernetes("kubectl", 45, "k8s.io/kubernetes/cmd/kubectl"),
            Part::KubeScheduler => kubernetes("kube-scheduler", 7, "k8s.io/kubernetes/cmd/kube-scheduler"),
            Part::Kubelet => kubernetes("kubelet", 29, "k8s.io/kubernetes/cmd/kubelet"),
            Part::KubeProxy => kubernetes("kube-proxy", 13, "k8s.io/kubernetes/cmd/kube-proxy"),
            Part::Containerd => {
                containerd("containerd", 45, "github.com/containerd/containerd/v2/cmd/containerd")
            }
            Part::ContainerdShim => containerd(
                "containerd-shim-runc-v2",
                4,
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            ),
            Part::Ctr => containerd("ctr", 4, "github.com/containerd/containerd/v2/cmd/ctr"),
            Part::NodeTools => Facts {
                name: "node-tools",
                seconds: 5,
                recipe: Recipe::Debian {
                    packages: &["runc", "nftables", "containernetworking-plugins"],
                    whole: false,
                },
            },
            Part::Buildah => Facts {
                name: "buildah",
                seconds: 8,
                recipe: Recipe::Debian { packages: &["buildah"], whole: false },
            },
            Part::BuildRoot => Facts {
                name: "build-root",
                seconds: 20,
                recipe: Recipe::Debian { packages: BUILD_ROOT, whole: true },
            },
            Part::Coredns => own("coredns", 60, &COREDNS, include_str!("../parts/coredns/main.go")),
            Part::Pause => own("pause", 1, &PAUSE, include_str!("../parts/pause/main.go")),
            Part::Jaeger => {
                command("jaeger", 160, &JAEGER, "github.com/jaegertracing/jaeger/cmd/jaeger", JAEGER_FLAGS)
            }
            Part::Prometheus => {
                prometheus("prometheus", 6, "github.com/prometheus/prometheus/cmd/prometheus")
            }
            Part::Promtool => prometheus("promtool", 130, "github.com/prometheus/prometheus/cmd/promtool"),
            Part::Collector => {
                let source = Source::Generated {
                    generator: "go.opentelemetry.io/collector/cmd/builder",
                    manifest: include_str!("../../../collector/builder.yaml"),
                };
                let recipe = Recipe::Program { module: &COLLECTOR, source, tags: "", ldflags: STRIPPED };
                Facts { name: "collector", seconds: 120, recipe }
            }
            Part::PrometheusOperatorCrds => Facts {
                name: "prometheus-operator-crds",
                seconds: 2,
                recipe: Recipe::Files {
                    module: &PROMETHEUS_OPERATOR,
                    of: "github.com/prometheus-operator/prometheus-operator",
                    directory: "example/prometheus-operator-crd",
                },
            },
            Part::Helm => command("helm", 85, &HELM, "helm.sh/helm/v4/cmd/helm", HELM_FLAGS),
            Part::HelmDocs => command(
                "helm-docs",
                4,
                &HELM_DOCS,
                "github.com/norwoodj/helm-docs/cmd/helm-docs",
                HELM_DOCS_FLAGS,
            ),
            Part::KubeScore => command(
                "kube-score",
                4,
                &KUBE_SCORE,
                "github.com/zegl/kube-score/cmd/kube-score",
                KUBE_SCORE_FLAGS,
            ),
            Part::Alertmanager => {
                alertmanager("alertmanager", 70, "github.com/prometheus/alertmanager/cmd/alertmanager")
            }
            Part::Logql => Facts { name: "logql", seconds: 2, recipe: Recipe::Node { files: LOGQL } },
            Part::VictoriaLogs => command(
                "victoria-logs",
                12,
                &VICTORIA_LOGS,
                "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs",
                VICTORIA_LOGS_FLAGS,
            ),
            Part::Amtool => alertmanager("amtool", 3, "github.com/prometheus/alertmanager/cmd/amtool"),
            Part::PrometheusOperator => prometheus_operator(
                "prometheus-operator",
                110,
                "github.com/prometheus-operator/prometheus-operator/cmd/operator",
            ),
            Part::PrometheusConfigReloader => prometheus_operator(
                "prometheus-config-reloader",
                3,
                "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
            ),
        }
    }

    /// The name on the command line and of the program.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// How long the first build takes on two cores, after those that come before it in [`Part::ALL`]. For display only.
    pub(crate) fn seconds(self) -> u64 {
        self.facts().seconds
    }

    pub(crate) fn recipe(self) -> Recipe {
        self.facts().recipe
    }
}

fn command(
    name: &'static str,
    seconds: u64,
    module: &'static Module,
    package: &'static str,
    ldflags: &'static str,
) -> Facts {
    Facts {
        name,
        seconds,
        recipe: Recipe::Program { module, source: Source::Command(package), tags: "", ldflags },
    }
}

fn kubernetes(name: &'static str, seconds: u64, package: &'static str) -> Facts {
    command(name, seconds, &KUBERNETES, package, KUBERNETES_FLAGS)
}

fn prometheus(name: &'static str, seconds: u64, package: &'static str) -> Facts {
    command(name, seconds, &PROMETHEUS, package, PROMETHEUS_FLAGS)
}

fn prometheus_operator(name: &'static str, seconds: u64, package: &'static str) -> Facts {
    command(name, seconds, &PROMETHEUS_OPERATOR, package, PROMETHEUS_OPERATOR_FLAGS)
}

fn alertmanager(name: &'static str, seconds: u64, package: &'static str) -> Facts {
    command(name, seconds, &ALERTMANAGER, package, ALERTMANAGER_FLAGS)
}

fn containerd(name: &'static str, seconds: u64, package: &'static str) -> Facts {
    let source = Source::Command(package);
    // Snapshotters that nobody here uses.
    let tags = "no_btrfs,no_zfs,no_devmapper";
    Facts {
        name,
        seconds,
        recipe: Recipe::Program { module: &CONTAINERD, source, tags, ldflags: CONTAINERD_FLAGS },
    }
}

fn own(name: &'static str, seconds: u64, module: &'static Module, main: &'static str) -> Facts {
    let source = Source::Own(main);
    Facts { name, seconds, recipe: Recipe::Program { module, source, tags: "", ldflags: STRIPPED } }
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
