//! The command `testbed`: a real Kubernetes for people, by name. Standard output carries what a script
//! can use, standard error the rest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use testbed::named::{Cluster, Shape, Up};
use testbed::{BACK_ENDS, Image, Node, Part, build_image};

/// Starts and stops a real Kubernetes on this machine: a control plane alone, or with a node that runs pods.
///
/// Its parts are built once from pinned Go modules and kept in $TESTBED_CACHE, by default
/// ~/.cache/telemetry-operator-testbed.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start a cluster that stays up, and print how to use it
    Up {
        #[command(flatten)]
        named: Named,
        /// With a node that runs pods, and the images of the collector, Jaeger and Prometheus (needs root)
        #[arg(long)]
        node: bool,
    },
    /// End a cluster and remove everything about it
    Down(Named),
    /// List the clusters, their addresses and versions
    Status,
    /// Print the path of the administrator's kubeconfig
    Kubeconfig(Named),
    /// Build parts: all of them, or the named ones
    Build {
        /// For example kube-apiserver, collector, jaeger
        parts: Vec<Part>,
    },
    /// Print where a part lies, after building it if need be
    Path {
        /// For example promtool
        part: Part,
    },
    /// Build the operator's image from the Dockerfile, without a registry, and write it to a file (needs root)
    Image {
        /// The OCI archive
        archive: PathBuf,
        /// Arguments of the Dockerfile, as NAME=VALUE
        arguments: Vec<String>,
    },
    /// Remove what test runs and killed commands have left behind: directories and control groups, never a running cluster
    Sweep,
    /// Keep the port open through which a node's API server is reached; `up --node` starts this
    #[command(hide = true)]
    Forward {
        /// The first process of the node's namespaces
        init: u32,
        /// The loopback port
        port: u16,
        /// The address inside
        target: SocketAddr,
    },
}

#[derive(clap::Args)]
struct Named {
    /// Which cluster; several can run at once
    #[arg(long, default_value = "default")]
    name: String,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Action) -> Result<()> {
    match command {
        Action::Up { named: Named { name }, node } => up(&name, node),
        Action::Down(Named { name }) => {
            let existed = Cluster::named(&name)?.down()?;
            eprintln!("testbed: cluster {name:?} {}", if existed { "is gone" } else { "did not exist" });
            Ok(())
        }
        Action::Image { archive, arguments } => {
            let arguments = arguments
                .iter()
                .map(|text| text.split_once('=').ok_or_else(|| anyhow!("{text:?}: write it as NAME=VALUE")))
                .collect::<Result<Vec<_>>>()?;
            build_image(Path::new("."), &arguments, &archive)
        }
        Action::Status => {
            for status in Cluster::all()?.iter().map(Cluster::status) {
                let status = status?;
                println!("{}\t{}\t{}", status.name, status.url.as_deref().unwrap_or("-"), status.version);
            }
            Ok(())
        }
        Action::Kubeconfig(Named { name }) => {
            println!("{}", Cluster::named(&name)?.kubeconfig()?.display());
            Ok(())
        }
        Action::Build { parts } if parts.is_empty() => testbed::ensure(&Part::ALL),
        Action::Build { parts } => testbed::ensure(&parts),
        Action::Path { part } => {
            println!("{}", testbed::path(part)?.display());
            Ok(())
        }
        Action::Sweep => {
            testbed::Directory::sweep();
            Ok(())
        }
        Action::Forward { init, port, target } => testbed::keep_forward(init, port, target),
    }
}

fn up(name: &str, node: bool) -> Result<()> {
    let cluster = Cluster::named(name)?;
    let images = if node {
        Node::ensure_parts(&BACK_ENDS)?;
        BACK_ENDS.map(Image::of_part).into_iter().collect::<Result<Vec<_>>>()?
    } else {
        Vec::new()
    };
    let shape = if node { Shape::Node { load: &images } } else { Shape::ControlPlane };
    let verb = match cluster.up(shape)? {
        Up::Started => "runs",
        Up::Running => "was running already",
    };
    let status = cluster.status()?;
    let url = status.url.as_deref().unwrap_or("-");
    eprintln!("testbed: cluster {name:?} {verb} at {url} ({})", status.version);
    for image in &images {
        eprintln!("testbed: image on the node: {}", image.name);
    }
    eprintln!("testbed: kubectl of this version: {}", testbed::path(Part::Kubectl)?.display());
    eprintln!("testbed: use it with the next line, end it with `testbed down --name {name}`");
    println!("export KUBECONFIG='{}'", cluster.kubeconfig()?.display());
    Ok(())
}
