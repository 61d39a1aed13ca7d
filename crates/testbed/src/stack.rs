//! The operator and its first application on a node, from this repository's own files. In: the repository, the directory
//! in which cargo has built the programs. Out: a cluster in which the operator runs as a Deployment. It talks to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::daemon::output;
use crate::forward::Forward;
use crate::helm::helm;
use crate::image::Image;
use crate::node::Node;
use crate::part::Part;

/// The programs that the pods of profiles run.
pub const BACK_ENDS: [Part; 3] = [Part::Collector, Part::Jaeger, Part::Prometheus];

/// The operator's namespace.
pub const OPERATOR_NAMESPACE: &str = "telemetry-system";

/// The Helm release of the operator.
pub const RELEASE: &str = "telemetry-operator";

/// The chart in the repository.
const CHART: &str = "charts/telemetry-operator";

/// A node on which the operator runs.
pub struct Stack {
    node: Node,
    repository: PathBuf,
}

impl Stack {
    /// Starts a node with all images, and on it the operator with `environment` besides the images of its children.
    ///
    /// # Errors
    /// When the machine cannot run a node, or the operator does not become available.
    pub fn start(repository: &Path, programs: &Path, environment: &[(&str, &str)]) -> Result<Stack> {
        Node::ensure_parts(&BACK_ENDS)?;
        crate::build::ensure(&[Part::Helm])?;
        let mut images = Vec::new();
        for name in ["telemetry-operator", "export-trakt-4-letterboxd", "trakt-sim"] {
            let program = programs.join(name);
            ensure!(program.exists(), "{} is missing: `cargo build --workspace` makes it", program.display());
            images.push(Image::of_program(name, &program)?);
        }
        for part in BACK_ENDS {
            images.push(Image::of_part(part)?);
        }
        let node = Node::start()?;
        node.load(&images)?;
        let stack = Stack { node, repository: repository.to_owned() };
        stack.install(environment)?;
        Ok(stack)
    }

    /// The chart, as an administrator installs it. The API server injects sidecars from now on, with or without an operator.
    fn install(&self, environment: &[(&str, &str)]) -> Result<()> {
        self.namespace(OPERATOR_NAMESPACE)?;
        output(&mut self.helm_install(environment)?).map(drop).context("helm install")
    }

    /// Helm, for the chart of the repository with the testbed's images and `environment` for the operator.
    ///
    /// # Errors
    /// When Helm cannot be built.
    pub fn helm_install(&self, environment: &[(&str, &str)]) -> Result<Command> {
        let extra: Vec<_> =
            environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let images = [
            ("image", "telemetry-operator"),
            ("operands.collector.image", "collector"),
            ("operands.jaeger.image", "jaeger"),
            ("operands.prometheus.image", "prometheus"),
        ];
        let mut command = self.helm()?;
        command.args(["upgrade", "--install", RELEASE]).arg(self.repository.join(CHART));
        command.args(["--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "120s"]);
        for (value, name) in images {
            command.arg("--set").arg(format!("{value}.repository=localhost/{name},{value}.tag=testbed"));
        }
        command.arg("--set-json").arg(format!("extraEnv={}", Value::from(extra)));
        Ok(command)
    }

    /// Helm, to add arguments to.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn helm(&self) -> Result<Command> {
        let plane = self.node.control_plane();
        helm(plane.directory(), Some(plane.kubeconfig()))
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The node, for what changes it.
    pub fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Runs kubectl with these arguments, which blanks separate.
    pub fn kubectl(&self, arguments: &str) -> Result<String> {
        output(&mut self.command(arguments))
    }

    /// kubectl with these arguments, which blanks separate, to add others to.
    pub fn command(&self, arguments: &str) -> Command {
        self.node.control_plane().kubectl(arguments.split_whitespace())
    }

    /// One object, or a list, as JSON.
    pub fn get(&self, namespace: &str, what: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&format!("get -n {namespace} {what} -o json"))?)?)
    }

    /// A new namespace in which only restricted pods may run.
    pub fn namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&format!("create namespace {name}"))?;
        self.restrict(name)
    }

    fn restrict(&self, namespace: &str) -> Result<()> {
        let label = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(&format!("label namespace {namespace} {label} --overwrite")).map(drop)
    }

    /// Applies a file of the repository, to a namespace where it names none.
    pub fn apply_file(&self, namespace: Option<&str>, path: &str) -> Result<()> {
        let path = self.repository.join(path);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.apply(namespace, &text).with_context(|| path.display().to_string())
    }

    /// Applies YAML or JSON, to a namespace where it names none.
    pub fn apply(&self, namespace: Option<&str>, manifests: &str) -> Result<()> {
        self.node.control_plane().apply_in(namespace, manifests)
    }

    /// Waits until a profile is Ready, or fails with all its conditions.
    pub fn wait_until_ready(&self, namespace: &str, profile: &str) -> Result<()> {
        self.wait_for_condition(namespace, profile, "Ready=True")
    }

    /// Waits for `Type=Status` of a profile, or fails with all its conditions.
    pub fn wait_for_condition(&self, namespace: &str, profile: &str, condition: &str) -> Result<()> {
        let wait = format!("wait -n {namespace} tp/{profile} --for=condition={condition} --timeout=180s");
        self.kubectl(&wait).map(drop).with_context(|| {
            let conditions = self
                .get(namespace, &format!("tp/{profile}"))
                .map(|tp| tp["status"]["conditions"].to_string());
            format!("tp/{profile}: {}", conditions.unwrap_or_else(|error| format!("{error:#}")))
        })
    }

    /// The query API of a profile's Jaeger, through a loopback port.
    pub fn jaeger(&self, namespace: &str, profile: &str) -> Result<Forward> {
        self.node.forward(namespace, &format!("{profile}-jaeger"), 16686)
    }

    /// The API of a profile's managed Prometheus, through a loopback port.
    pub fn prometheus(&self, namespace: &str, profile: &str) -> Result<Forward> {
        self.node.forward(namespace, &format!("{profile}-prometheus"), 9090)
    }

    /// Changes an object by a JSON merge patch.
    pub fn patch(&self, namespace: &str, what: &str, patch: &Value) -> Result<()> {
        let mut command = self.command(&format!("patch -n {namespace} {what} --type=merge"));
        output(command.arg("--patch").arg(patch.to_string())).map(drop)
    }
}
