//! Who wrote when, by the audit log: replicas are told apart by their User-Agent. In: an installation's account. Out: writes. No cluster.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::rights::Installed;

/// The Lease's duration, which the replicas have by default.
pub const LEASE: Duration = Duration::from_secs(15);

/// A write that the API server has accepted or refused.
#[derive(Debug)]
pub struct Write {
    /// Pod name and suffix.
    identity: String,
    at: Timestamp,
    what: String,
    is_lease: bool,
    accepted: bool,
}

/// The writes of an installation, in order.
#[derive(Debug)]
pub struct Log(Vec<Write>);

impl Log {
    pub fn read(installed: &Installed<'_>) -> Self {
        let log = std::fs::read_to_string(installed.cluster.plane.audit_log()).expect("the audit log");
        let account = format!("system:serviceaccount:{}:{}", installed.namespace, installed.name);
        let events = log.lines().filter(|line| line.contains(&account)).filter_map(|line| {
            // The last line may be half written.
            serde_json::from_str::<Value>(line).ok()
        });
        let mut writes: Vec<_> = events.filter_map(|event| write(&event, &account)).collect();
        writes.sort_by_key(|write| write.at);
        Self(writes)
    }

    /// What this pod wrote, without the Lease.
    pub fn writes(&self, pod: &str) -> Vec<&Write> {
        self.of(pod).filter(|write| !write.is_lease).collect()
    }

    fn of(&self, pod: &str) -> impl Iterator<Item = &Write> {
        let prefix = format!("{pod}_");
        self.0.iter().filter(move |write| write.identity.starts_with(&prefix))
    }

    /// From the last write of the Lease by one pod to the first by the next.
    pub fn handed_over(&self, from: &str, to: &str) -> Duration {
        let lease = |write: &&Write| write.is_lease && write.accepted;
        let last = self.of(from).filter(lease).last().expect("it held the Lease").at;
        let first = self.of(to).find(lease).expect("it holds the Lease").at;
        first.duration_since(last).unsigned_abs()
    }

    /// Nobody writes who does not hold the Lease, after another has taken it, or after its end by more than what a request may take.
    pub fn has_one_writer_at_a_time(&self) {
        let Self(writes) = self;
        let mut holder: Option<(&str, Timestamp)> = None;
        let mut written = 0;
        for write in writes {
            if write.is_lease {
                if write.accepted {
                    holder = Some((&write.identity, write.at));
                }
                continue;
            }
            let (identity, renewed) =
                holder.unwrap_or_else(|| panic!("{}, and nobody held the Lease", write.what));
            assert_eq!(identity, write.identity, "{} by somebody who does not hold the Lease", write.what);
            let age = write.at.duration_since(renewed).unsigned_abs();
            assert!(age < LEASE + Duration::from_secs(5), "{}, and the Lease was {age:?} old", write.what);
            written += 1;
        }
        assert!(written > 10, "{written} writes show nothing");
    }
}

fn write(event: &Value, account: &str) -> Option<Write> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verb = event["verb"].as_str()?;
    if event["user"]["username"] != account || !["create", "update", "patch", "delete"].contains(&verb) {
        return None;
    }
    let agent = event["userAgent"].as_str()?;
    let (_, identity) = agent.strip_suffix(')')?.split_once('(')?;
    let object = &event["objectRef"];
    Some(Write {
        identity: identity.to_owned(),
        at: event["requestReceivedTimestamp"].as_str()?.parse().ok()?,
        what: format!("{verb} {}/{}", text(&object["resource"]), text(&object["name"])),
        is_lease: object["resource"] == "leases",
        accepted: event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300),
    })
}
