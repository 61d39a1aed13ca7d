//! How each process of a control plane is started and when it is ready. In: the control plane's files, ports and
//! credentials. Out: daemons. It talks to the cluster that it starts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::build::path;
use crate::credentials::Credentials;
use crate::daemon::{Daemon, Lifetime, Readiness, output};
use crate::directory::Directory;
use crate::net::http_get;
use crate::part::Part;

const DEADLINE: Duration = Duration::from_secs(90);

const CONTROLLERS: &str = "clusterrole-aggregation-controller,deployment-controller,disruption-controller,\
    endpointslice-controller,garbage-collector-controller,namespace-controller,\
    persistentvolumeclaim-protection-controller,replicaset-controller,resourcequota-controller,\
    root-ca-certificate-publisher-controller,serviceaccount-controller,serviceaccount-token-controller,\
    statefulset-controller,validatingadmissionpolicy-status-controller";

/// Every request once when it is answered, and long-running ones once more when they begin.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
 "rules": [{"level": "Metadata"}]}"#;

/// Everything about a control plane that is known before it runs.
pub(super) struct Files {
    pub(super) directory: Directory,
    pub(super) kubectl: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) authority: PathBuf,
    pub(super) audit_log: PathBuf,
}

impl Files {
    pub(super) fn new(directory: Directory) -> Result<Files> {
        let at = |name: &str| directory.path().join(name);
        Ok(Files {
            kubectl: path(Part::Kubectl)?,
            kubeconfig: at("kubeconfig"),
            authority: at("certificates/apiserver.crt"),
            audit_log: at("audit.log"),
            directory,
        })
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
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

    pub(super) fn start_etcd(&self, client: u16, peer: u16, lifetime: Lifetime<'_>) -> Result<Daemon> {
        let client = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
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
            Ok(serves && http_get(&format!("{client}/health"))?.0 == 200)
        };
        let readiness = until("a healthy store", &mut ready);
        Daemon::launch("etcd", command, &log, readiness, lifetime)
    }

    pub(super) fn start_api_server(
        &self,
        etcd: u16,
        port: u16,
        credentials: &Credentials,
        lifetime: Lifetime<'_>,
    ) -> Result<Daemon> {
        let policy = self.at("audit-policy.json");
        fs::write(&policy, AUDIT_POLICY)?;
        let command = command(
            Part::KubeApiserver,
            &[
                ("--etcd-servers", &format!("http://127.0.0.1:{etcd}")),
                ("--bind-address", &"127.0.0.1"),
                ("--advertise-address", &"127.0.0.1"),
                ("--secure-port", &port.to_string()),
                ("--cert-dir", &self.at("certificates")),
                // A loopback address cannot be an endpoint of the Service `kubernetes`.
                ("--endpoint-reconciler-type", &"none"),
                ("--service-cluster-ip-range", &"10.96.0.0/16"),
                ("--authorization-mode", &"Node,RBAC"),
                ("--token-auth-file", &credentials.tokens),
                ("--service-account-issuer", &"https://kubernetes.default.svc"),
                ("--service-account-signing-key-file", &credentials.signing_key),
                ("--service-account-key-file", &credentials.public_key),
                ("--audit-policy-file", &policy),
                ("--audit-log-path", &self.audit_log),
                ("--audit-log-mode", &"blocking"),
            ],
        )?;
        let mut ready = || Ok(output(&mut self.kubectl(["get", "--raw", "/readyz"]))? == "ok");
        let readiness = until("ok from /readyz", &mut ready);
        Daemon::launch("kube-apiserver", command, &self.fresh("kube-apiserver.log")?, readiness, lifetime)
    }

    pub(super) fn start_controller_manager(
        &self,
        kubeconfig: &Path,
        credentials: &Credentials,
        lifetime: Lifetime<'_>,
    ) -> Result<Daemon> {
        let command = command(
            Part::KubeControllerManager,
            &[
                ("--kubeconfig", &kubeconfig),
                ("--controllers", &CONTROLLERS),
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
        Daemon::launch("kube-controller-manager", command, &log, readiness, lifetime)
    }

    /// The path of an empty log file.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let log = self.at(name);
        fs::write(&log, "")?;
        Ok(log)
    }
}

fn until<'a>(what: &'a str, check: &'a mut dyn FnMut() -> Result<bool>) -> Readiness<'a> {
    Readiness::When { what, deadline: DEADLINE, check }
}

/// A part's command with its flags.
fn command(part: Part, flags: &[(&str, &dyn AsRef<OsStr>)]) -> Result<Command> {
    let mut command = Command::new(path(part)?);
    for (name, value) in flags {
        let mut flag = OsString::from(name);
        flag.push("=");
        flag.push(value);
        command.arg(flag);
    }
    Ok(command)
}
