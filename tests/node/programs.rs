//! Programs of the node's images as somebody's workloads: applications, and the back ends that are there already. In: what
//! runs where. Out: a Deployment with its Service and configuration, fit for a restricted namespace. It talks to the cluster.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::common::{STACK, Site, small};

/// A workload of one container.
pub struct Program<'a> {
    /// Name of all its objects, and its label `app.kubernetes.io/name`.
    pub name: &'a str,
    /// Image and program.
    pub image: &'a str,
    pub arguments: &'a [&'a str],
    /// Ports of its Service, and the ports that it listens at.
    pub ports: &'a [(u16, u16)],
    /// Its configuration: `/etc/program/config.yaml`. JSON is YAML.
    pub configuration: Value,
    /// Further ConfigMaps, each as a directory below `/etc`.
    pub mounts: &'a [&'a str],
    /// Whether it talks to the API server, by the account of its name.
    pub account: bool,
}

impl Program<'_> {
    /// Starts it and waits until it listens.
    pub fn run(&self, site: &Site) {
        site.apply(&json!({"apiVersion": "v1", "kind": "List", "items": self.objects()}));
        site.available(self.name);
    }

    fn objects(&self) -> [Value; 3] {
        let metadata = json!({"name": self.name});
        let labels = json!({"app.kubernetes.io/name": self.name});
        let ports = self
            .ports
            .iter()
            .map(|(port, target)| json!({"name": format!("p{port}"), "port": port, "targetPort": target}));
        let container = json!({
            "name": self.name,
            "image": format!("localhost/{}:testbed", self.image),
            "args": self.arguments,
            "resources": small(),
            "readinessProbe": {"tcpSocket": {"port": self.ports[0].1}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": self.volumes().map(|(name, path, _)| json!({"name": name, "mountPath": path})).collect::<Vec<_>>(),
        });
        let mut pod = json!({
            "automountServiceAccountToken": self.account,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": self.volumes().map(|(_, _, volume)| volume).collect::<Vec<_>>(),
        });
        if self.account {
            pod["serviceAccountName"] = json!(self.name);
        }
        [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": self.configuration.to_string()}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"selector": labels, "ports": ports.collect::<Vec<_>>()}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
                "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}}),
        ]
    }

    /// Name, place and source of each volume.
    fn volumes(&self) -> impl Iterator<Item = (String, String, Value)> {
        let of = |name: &str, map: &str| {
            let source = json!({"name": name, "configMap": {"name": map}});
            (name.to_owned(), format!("/etc/{name}"), source)
        };
        let data = ("data".to_owned(), "/data".to_owned(), json!({"name": "data", "emptyDir": {}}));
        let mounts = self.mounts.iter().map(move |map| of(map, map));
        [of("program", self.name), data].into_iter().chain(mounts)
    }
}

/// An application that serves metrics below a prefix and sends a span for each request to `collector`: a Prometheus is
/// one.
pub fn application(site: &Site, name: &str, port: u16, prefix: &str, collector: &str) {
    let listen = format!("--web.listen-address=0.0.0.0:{port}");
    let prefix = format!("--web.route-prefix={prefix}");
    Program {
        name,
        image: "prometheus",
        arguments: &["--config.file=/etc/program/config.yaml", "--storage.tsdb.path=/data", &listen, &prefix],
        ports: &[(port, port)],
        configuration: json!({"tracing": {"endpoint": format!("{collector}:4317"), "insecure": true, "sampling_fraction": 1.0}}),
        mounts: &[],
        account: false,
    }
    .run(site);
}

/// The namespace of the back ends that are there already, under the names that the examples have: `tempo` takes traces, `loki` takes
/// log records and writes them into its own log. Their pods listen at other ports than their Services.
pub static MONITORING: LazyLock<Site> = LazyLock::new(|| {
    let site = Site::new(&STACK, "monitoring");
    Program {
        name: "tempo",
        image: "jaeger",
        arguments: &["--config=/etc/program/config.yaml"],
        ports: &[(4317, 14317), (16686, 16686)],
        configuration: trace_store(),
        mounts: &[],
        account: false,
    }
    .run(&site);
    Program {
        name: "loki",
        image: "collector",
        arguments: &["--config=/etc/program/config.yaml"],
        ports: &[(3100, 13100)],
        configuration: log_store(),
        mounts: &[],
        account: false,
    }
    .run(&site);
    site
});

fn trace_store() -> Value {
    json!({
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10_000}}}},
            "jaeger_query": {"storage": {"traces": "memory"}, "http": {"endpoint": "0.0.0.0:16686"}},
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:14317"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    })
}

fn log_store() -> Value {
    json!({
        "service": {
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["debug"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": "0.0.0.0:13100", "logs_url_path": "/otlp/v1/logs"}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
    })
}
