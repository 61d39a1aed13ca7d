//! A real Kubernetes on this machine, and the back ends that profiles talk to.
//!
//! In: nothing but a Go toolchain and the pinned modules under `parts/`, and apt and root's rights for a node. Out: etcd, the
//! API server and the controller manager as child processes ([`ControlPlane`]), or with them a node that runs pods ([`Node`])
//! and the operator on it ([`Stack`]); the collector ([`Collector`]), a Jaeger that keeps spans in memory ([`Jaeger`]), and the
//! paths of the other programs that tests run ([`path`]). Only `stack` knows the operator. Nothing leaves the machine except
//! the downloads of Go modules, whose checksums the Go toolchain verifies, and of Debian packages, whose signatures apt verifies.
//!
//! - `part`, `build`: what can be had, and how it is built once and kept in the cache directory
//! - `node_tools`: the programs of a node that come from Debian packages
//! - `image`: container images of these programs, without a registry
//! - `control_plane`, `credentials`, `kubeconfig`: a cluster of one's own, and ways to log in to it
//! - `node`: a control plane with a machine that runs pods; `namespaces`, `inside`, `cgroup`: what that machine is made of;
//!   `forward`: ports that lead into it
//! - `stack`: the operator on a node, from this repository's files
//! - `collector`, `jaeger`, `span`, `log_store`, `thrift`, `prometheus`, `remote_write`, `victoria_logs`: where an application's telemetry goes, and what has arrived there
//! - `board`: what a Grafana dashboard asks them
//! - `daemon`, `identity`, `directory`: child processes and directories that do not outlive their owner
//! - `grafana`: the files that a Grafana on this machine starts with
//! - `named`: clusters that stay up after the command ends, for people
//! - `interrupt`: an early end that still tidies up
//! - `net`, `wait`: free ports, a plain HTTP GET, waiting with a deadline
//!
//! All calls block; asynchronous tests call them from a blocking thread. Linux only: process identity is read from `/proc`.

pub mod board;
mod build;
mod cgroup;
mod collector;
mod control_plane;
mod credentials;
mod daemon;
mod directory;
mod forward;
pub mod grafana;
mod hash;
mod helm;
mod identity;
mod image;
mod image_build;
mod inside;
pub mod interrupt;
mod jaeger;
mod kubeconfig;
mod log_store;
pub mod named;
mod namespaces;
mod net;
mod node;
mod node_tools;
mod part;
pub mod prometheus;
pub mod remote_write;
mod span;
mod stack;
mod thrift;
pub mod victoria_logs;
mod wait;

pub use build::{ensure, path};
pub use collector::{Collector, TENANT_HEADER};
pub use control_plane::ControlPlane;
pub use daemon::{Daemon, Readiness, log_tail, output};
pub use directory::Directory;
pub use forward::Forward;
pub use helm::helm;
pub use image::Image;
pub use image_build::{BUILT_IMAGE, build_image};
pub use jaeger::{Jaeger, spans_of_service, spans_of_trace};
pub use log_store::LogStore;
pub use net::{free_ports, http, http_get, http_with};
pub use node::{Node, keep_forward};
pub use node_tools::NodeTools;
pub use part::Part;
pub use span::Span;
pub use stack::{BACK_ENDS, OPERATOR_NAMESPACE, RELEASE, Stack};
pub use thrift::{THRIFT, THRIFT_TRACE, thrift_span};
pub use wait::wait_until;
