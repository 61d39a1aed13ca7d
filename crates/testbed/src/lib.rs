//! A real Kubernetes control plane, and the back ends that profiles talk to, on this machine's loopback interface.
//!
//! In: nothing but a Go toolchain and the pinned modules under `parts/`. Out: etcd, the API server and the controller
//! manager as child processes ([`ControlPlane`]), the collector ([`Collector`]), a Jaeger that keeps spans in memory
//! ([`Jaeger`]), and the paths of the other programs that tests run ([`path`]). Nothing here knows the operator, and nothing
//! leaves the machine except the downloads of the Go modules, whose checksums the Go toolchain verifies.
//!
//! - `part`, `build`: what can be had, and how it is built once and kept in the cache directory
//! - `control_plane`, `credentials`, `kubeconfig`: a cluster of one's own, and ways to log in to it
//! - `collector`, `jaeger`, `span`, `log_store`: where an application's telemetry goes, and what has arrived there
//! - `daemon`, `identity`, `directory`: child processes and directories that do not outlive their owner
//! - `named`: clusters that stay up after the command ends, for people
//! - `net`, `wait`: free ports, a plain HTTP GET, waiting with a deadline
//!
//! All calls block; asynchronous tests call them from a blocking thread. Linux only: process identity is read from `/proc`.

mod build;
mod collector;
mod control_plane;
mod credentials;
mod daemon;
mod directory;
mod identity;
mod jaeger;
mod kubeconfig;
mod log_store;
pub mod named;
mod net;
mod part;
mod span;
mod wait;

pub use build::{ensure, path};
pub use collector::{Collector, TENANT_HEADER};
pub use control_plane::ControlPlane;
pub use daemon::{Daemon, Readiness, log_tail, output};
pub use directory::Directory;
pub use jaeger::Jaeger;
pub use log_store::LogStore;
pub use net::{free_ports, http_get};
pub use part::Part;
pub use span::Span;
pub use wait::wait_until;
