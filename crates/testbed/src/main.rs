//! The command `testbed`: a real Kubernetes control plane for people, by name. Standard output carries what a script
//! can use, standard error the rest.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::Part;
use testbed::named::{Cluster, Up};

/// Starts and stops a real Kubernetes control plane on this machine, without containers.
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
    /// Start a control plane that stays up, and print how to use it
    Up(Named),
    /// End a control plane and remove everything about it
    Down(Named),
    /// List the control planes, their addresses and versions
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
}

#[derive(clap::Args)]
struct Named {
    /// Which control plane; several can run at once
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
        Action::Up(Named { name }) => up(&name),
        Action::Down(Named { name }) => {
            let existed = Cluster::named(&name)?.down()?;
            eprintln!("testbed: cluster {name:?} {}", if existed { "is gone" } else { "did not exist" });
            Ok(())
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
    }
}

fn up(name: &str) -> Result<()> {
    let cluster = Cluster::named(name)?;
    let verb = match cluster.up()? {
        Up::Started => "runs",
        Up::Running => "was running already",
    };
    let status = cluster.status()?;
    let url = status.url.as_deref().unwrap_or("-");
    eprintln!("testbed: cluster {name:?} {verb} at {url} ({})", status.version);
    eprintln!("testbed: kubectl of this version: {}", testbed::path(Part::Kubectl)?.display());
    eprintln!("testbed: use it with the next line, end it with `testbed down --name {name}`");
    println!("export KUBECONFIG='{}'", cluster.kubeconfig()?.display());
    Ok(())
}
