//! The configuration files of a node's programs. In: where things are. Out: text. Does not talk to the cluster.

use std::path::Path;

use serde_json::{Value, json};

use crate::credentials::NODE;

/// The node's address and the length of its network's prefix; every node has the same, in a network of its own.
pub(super) const ADDRESS: &str = "192.168.58.2";
pub(super) const PREFIX_LENGTH: u8 = 24;
/// Addresses of pods.
pub(super) const POD_RANGE: &str = "10.244.0.0/24";
/// The address of the cluster's DNS server, in the range of the Services.
pub(super) const DNS_ADDRESS: &str = "10.96.0.10";
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// containerd's, with the sandbox image that is imported before the first pod.
pub(super) fn containerd(directory: &Path, runc: &Path, cni: &Path, sandbox: &str) -> String {
    // `{:?}` of these strings is a TOML basic string, too: paths and names without control characters.
    let text = |path: &Path| format!("{:?}", path.to_string_lossy());
    format!(
        r#"version = 3
root = {root}
state = "/run/containerd"

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{sandbox}"

[plugins.'io.containerd.cri.v1.runtime']
# Neither is to be had in every container or virtual machine that tests run in.
disable_apparmor = true
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [{cni}]
conf_dir = {configurations}
"#,
        root = text(&directory.join("containerd")),
        runc = text(runc),
        cni = text(cni),
        configurations = text(&directory.join("cni")),
    )
}

/// The pod network: a link of its own for each pod, so that all traffic is routed by the node. On a bridge, answers to a
/// Service's address would come back from the pod's without br_netfilter.
pub(super) fn pod_network() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni/networks",
                "ranges": [[{"subnet": POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// The kubelet's.
pub(super) fn kubelet(directory: &Path, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Only what is in the node's own network can reach it.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "address": ADDRESS,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": false,
        "failSwapOn": false,
        // Machines that tests run on often lack CAP_SYS_RESOURCE, or a kernel log to read.
        "featureGates": {"KubeletInUserNamespace": true},
        "oomScoreAdj": 0,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": directory.join("resolv.conf"),
        "volumePluginDir": directory.join("volume-plugins"),
        // The machine's disk is somebody else's business, and images are not to be had a second time.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // Tests wait for what the kubelet says.
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "10s",
        "logging": {"verbosity": 1},
    })
}

/// CoreDNS: names of the cluster, and for all others the answer that they do not exist, since nothing leaves the machine.
const COREFILE: &str = ".:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa
    cache 5
    loadbalance
}
";

/// What a cluster has before the first user comes: the DNS server, and volumes that claims are bound to.
pub(super) fn objects(coredns_image: &str, volumes: &[impl AsRef<Path>]) -> Value {
    let mut items = dns(coredns_image);
    items.push(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}));
    for (number, volume) in volumes.iter().enumerate() {
        let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]});
        items.push(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("local-{number}")},
            "spec": {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                "persistentVolumeReclaimPolicy": "Retain", "local": {"path": volume.as_ref()},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}}}));
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn dns(image: &str) -> Vec<Value> {
    let meta = json!({"name": "coredns", "namespace": "kube-system"});
    let labels = json!({"k8s-app": "kube-dns"});
    let probe = |path: &str, port: u16| json!({"httpGet": {"path": path, "port": port}, "periodSeconds": 1});
    // The usual port in the pod, too: that is the one which NetworkPolicies mean.
    let ports = |field: &str| {
        ["UDP", "TCP"].map(|protocol| json!({"name": format!("dns-{}", protocol.to_lowercase()), "protocol": protocol, field: 53}))
    };
    let role = "rbac.authorization.k8s.io";
    let container = json!({"name": "coredns", "image": image, "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": ports("containerPort"), "livenessProbe": probe("/health", 8080), "readinessProbe": probe("/ready", 8181),
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}]});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
        json!({"apiVersion": format!("{role}/v1"), "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]}),
        json!({"apiVersion": format!("{role}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": role, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}]}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": DNS_ADDRESS, "selector": labels, "ports": ports("port")}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "coredns", "dnsPolicy": "Default",
                "containers": [container],
                "volumes": [{"name": "config", "configMap": {"name": "coredns"}}]}}}}),
    ]
}
