//! telemetry-operator: one `TelemetryProfile` for an application, and everything that makes it observable follows.
//!
//! The source is laid out along the path of one reconcile:
//!
//! ```text
//! watch ─▶ profile ─▶ observe ─▶ validate ─▶ plan ─▶ apply ─▶ status
//!          (types)   (client)    (pure)     (pure)  (client)  (pure, then one patch)
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`profile`] | the custom resource: types and CEL rules |
//! | [`controller`] | watches, triggers, the reconcile driver, the error policy |
//! | [`observe`], [`observed`] | what the API server serves and by which way it injects; the pods of a workload that is not there |
//! | [`mod@validate`] | every check and choice: the profile becomes a [`validate::ValidatedProfile`] |
//! | [`mod@plan`] | every object that shall exist, one file for each produced thing |
//! | [`mod@apply`], [`drift`] | server-side apply of what differs, pruning |
//! | [`health`] | what Prometheus says of targets and rules, and which metrics it lacks, asked beside the reconciles |
//! | [`inject`] | the sidecar: which pods get it, the patch, the admission policy |
//! | [`sidecars`] | which pods have their sidecar, which lack it and why |
//! | [`rollout`] | the restart of workloads whose pods lack it |
//! | [`status`] | conditions and their reasons |
//! | [`kinds`] | the one table of kinds: watches, pruning, order and RBAC follow from it |
//! | [`rbac`] | the operator's rights, from that table |
//! | [`burn_rate`] | the arithmetic of objectives and alert tiers |
//! | [`slo_report`] | what an SLO means in numbers: budget, thresholds, times |
//! | [`incident`] | an incident played against an SLO's rules by promtool, and whether each alert was in time |
//! | [`promql`], [`quantity`], [`yaml`] | three small languages, read or written exactly |
//! | [`stable`] | what other programs say, without what changes from look to look |
//! | [`lint`], [`render`], [`mod@reference`] | the same path without a cluster: findings, manifests, documents |
//! | [`mod@import`] | the configuration of an application that has the telemetry library → its profile |
//! | [`openslo`] | SLOs as OpenSLO documents, and back |
//! | [`webhook`] | injection by a webhook, where the API server cannot do it itself |
//! | [`leader`] | of several replicas one writes |
//! | [`pipe`] | injection into manifests, for people without admission |
//! | [`mod@explain`] | why a pod has its sidecar, or has none |
//! | [`cli`], [`server`], [`metrics`], [`settings`], [`installation`], [`shutdown`] | the process around it |

pub mod apply;
pub mod burn_rate;
pub mod cli;
pub mod controller;
pub mod drift;
pub mod explain;
pub mod health;
pub mod import;
pub mod incident;
pub mod inject;
pub mod installation;
pub mod kinds;
pub mod leader;
pub mod lint;
mod manifest;
pub mod metrics;
pub mod observe;
pub mod observed;
pub mod openslo;
pub mod pipe;
pub mod plan;
pub mod profile;
pub mod promql;
pub mod quantity;
pub mod rbac;
pub mod reference;
pub mod render;
pub mod rollout;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod sidecars;
pub mod slo_report;
pub mod stable;
pub mod status;
pub mod validate;
pub mod webhook;
pub mod yaml;
