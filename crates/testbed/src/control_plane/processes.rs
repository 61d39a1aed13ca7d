//! How each process of a control plane is started and when it is ready. In: the control plane's files, ports and
//! credentials. Out: daemons. It talks to the cluster that it starts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::build::path;
use crate::credentials::Credentials;
use crate::daemon::{Daemon, Readiness, Setting, output};
use crate::directory::Directory;
use crate::net::http_get;
use crate::part::Part;

/// Addresses of Services.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";

const DEADLINE: Duration = Duration::from_secs(90);

const CONTROLLERS: &str = "clusterrole-aggregation-controller,daemonset-controller,deployment-controller,disruption-controller,\
    endpointslice-controller,garbage-collector-controller,namespace-controller,\
    persistentvolumeclaim-protection-controller,replicaset-controller,resourcequota-controller,\
    root-ca-certificate-publisher-controller,serviceaccount-controller,serviceaccount-token-controller,\
    statefulset-controller,validatingadmissionpolicy-status-controller";

/// Every request once when it is answered, and long-running ones once more when they begin.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
 "rules": [{"level": "Metadata"}]}"#;

/// Everything about a control plane that is known before it runs.
pub(crate) struct Files {
    pub(crate) directory: Directory,
    /// The program that is the API server.
    api_server: Part,
    pub(crate) kubectl: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) authority: PathBuf,
    pub(crate) audit_log: PathBuf,
}

impl Files {
    pub(super) fn new(directory: Directory, api_server: Part) -> Result<Files> {
        let at = |name: &str| directory.path().join(name);
        Ok(Files {
            api_server,
            kubectl: path(Part::Kubectl)?,
            kubeconfig: at("kubeconfig"),
            authority: at("certificates/apiserver.crt"),
            audit_log: audit_log(&directory),
            directory,
        })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn kubectl<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(&self.kubectl);
        // Its discovery cache would otherwise pile up in the user's home, one directory for each port.
        command.args(args).env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", self.at("kubectl-cache"));
        command
    }

    pub(super) fn start_etcd(&self, listen: &Listen, setting: Setting<'_>) -> Result<Daemon> {
        let client = listen.etcd_url();
        let peer = format!("http://127.0.0.1:{}", listen.etcd_peer);
        let command = command(
            Part::Etcd,
            &[
                ("--data-dir", &self.at("etcd")),
                ("--listen-client-urls", &client),
                ("--advertise-client-urls", &client),
                ("--listen-peer-urls", &peer),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &format!("default={peer}")),
                ("--unsafe-no-fsync", &"true"),
            ],
        )?;
        let log = self.fresh("etcd.log")?;
        // The log is asked as well: another control plane's etcd might answer if it has taken the port in the meantime.
        let mut ready = || {
            let serves = fs::read_to_string(&log)?.contains("ready to serve client requests");
            Ok(serves && setting.in_network(|| http_get(&format!("{client}/health")))??.0 == 200)
        };
        let readiness = until("a healthy store", &mut ready);
        Daemon::launch("etcd", command, &log, readiness, setting)
    }

    pub(super) fn start_api_server(
        &self,
        listen: &Listen,
        credentials: &Credentials,
        setting: Setting<'_>,
    ) -> Result<Daemon> {
        let policy = self.at("audit-policy.json");
        fs::write(&policy, AUDIT_POLICY)?;
        let mut command = command(
            self.api_server,
            &[
                ("--etcd-servers", &listen.etcd_url()),
                ("--advertise-address", &listen.address),
                ("--secure-port", &listen.api.to_string()),
                ("--cert-dir", &self.at("certificates")),
                ("--service-cluster-ip-range", &SERVICE_RANGE),
                ("--authorization-mode", &"Node,RBAC"),
                // As on OpenShift: who owns an object that holds up its owner's deletion must be allowed to do that.
                ("--enable-admission-plugins", &"OwnerReferencesPermissionEnforcement"),
                ("--token-auth-file", &credentials.tokens),
                ("--service-account-issuer", &"https://kubernetes.default.svc"),
                ("--service-account-signing-key-file", &credentials.signing_key),
                ("--service-account-key-file", &credentials.public_key),
                ("--audit-policy-file", &policy),
                ("--audit-log-path", &self.audit_log),
                ("--audit-log-mode", &"blocking"),
            ],
        )?;
        if setting.inside.is_some() {
            // For everybody inside, and for whoever comes in through a forwarded port under the name `localhost`.
            command.arg("--bind-address=0.0.0.0");
            // Nobody resolves the node's name.
            command.arg("--kubelet-preferred-address-types=InternalIP");
        } else {
            // A loopback address cannot be an endpoint of the Service `kubernetes`.
            command.args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
        }
        let mut ready = || Ok(output(&mut self.kubectl(["get", "--raw", "/readyz"]))? == "ok");
        let readiness = until("ok from /readyz", &mut ready);
        Daemon::launch("kube-apiserver", command, &self.fresh("kube-apiserver.log")?, readiness, setting)
    }

    pub(super) fn start_controller_manager(
        &self,
        kubeconfig: &Path,
        credentials: &Credentials,
        setting: Setting<'_>,
    ) -> Result<Daemon> {
        // With a node there is work for all of them.
        let controllers = if setting.inside.is_some() { "*" } else { CONTROLLERS };
        let command = command(
            Part::KubeControllerManager,
            &[
                ("--kubeconfig", &kubeconfig),
                ("--controllers", &controllers),
                ("--leader-elect", &"false"),
                ("--secure-port", &"0"),
                ("--kube-api-qps", &"500"),
                ("--kube-api-burst", &"1000"),
                ("--service-account-private-key-file", &credentials.signing_key),
                ("--root-ca-file", &self.authority),
            ],
        )?;
        let mut ready = || {
            output(&mut self.kubectl(["get", "serviceaccount/default", "--namespace=default"]))?;
            Ok(true)
        };
        let readiness = until("the service account of namespace default", &mut ready);
        let log = self.fresh("kube-controller-manager.log")?;
        Daemon::launch("kube-controller-manager", command, &log, readiness, setting)
    }

    /// The path of an empty log file.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let log = self.at(name);
        fs::write(&log, "")?;
        Ok(log)
    }
}

/// In the control plane's own directory, or under a name of its own in the folder of the variable `TESTBED_AUDIT_LOGS`: there it
/// outlives the control plane, for who wants to know what was asked of all of them.
fn audit_log(directory: &Directory) -> PathBuf {
    let Some(folder) = std::env::var_os("TESTBED_AUDIT_LOGS") else {
        return directory.path().join("audit.log");
    };
    let name = directory.path().file_name().unwrap_or_default().to_string_lossy();
    // A directory's name is free again when its control plane is gone.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Path::new(&folder).join(format!("{name}.{now}.log"))
}

/// Where the processes of a control plane listen.
pub(crate) struct Listen {
    /// The API server's address; the store is on the loopback interface beside it.
    pub(crate) address: &'static str,
    pub(crate) etcd_client: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api: u16,
}

impl Listen {
    fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_client)
    }

    /// The API server's address for everybody who is where it is.
    pub(crate) fn api_url(&self) -> String {
        format!("https://{}:{}", self.address, self.api)
    }
}

pub(crate) fn until<'a>(what: &'a str, check: &'a mut dyn FnMut() -> Result<bool>) -> Readiness<'a> {
    Readiness::When { what, deadline: DEADLINE, check }
}

/// A part's command with its flags.
pub(crate) fn command(part: Part, flags: &[(&str, &dyn AsRef<OsStr>)]) -> Result<Command> {
    let mut command = Command::new(path(part)?);
    for (name, value) in flags {
        let mut flag = OsString::from(name);
        flag.push("=");
        flag.push(value);
        command.arg(flag);
    }
    Ok(command)
}
