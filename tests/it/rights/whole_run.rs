//! Everything that operators have asked for while all tests ran, on every control plane and node: no right was unused, and nothing
//! was refused but where a test means it. `make test` has the API servers write their audit logs into one folder for this.

use super::granted::{granted, uncovered, unused};
use super::*;
use std::path::Path;

/// Refusals that have nothing to do with rights, and that tests bring about: a namespace or a kind that goes, a full quota, a kind
/// that has just come and that admission does not know yet.
const OTHER_REASONS: [&str; 4] = [
    "because it is being terminated",
    "while custom resource definition is terminating",
    "exceeded quota",
    "no matches for kind",
];

/// True where somebody takes roles away while the operator runs, as an uninstallation and a change of the way of injection do: what it
/// asks for until it ends is refused.
fn loses_roles(log: &Path, installation: &str) -> bool {
    let text = std::fs::read_to_string(log).expect("a log");
    let events = text.lines().filter(|line| line.contains("rbac.authorization.k8s.io"));
    events.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).any(|event| {
        let object = &event["objectRef"];
        let changes = ["delete", "patch", "update"].iter().any(|verb| event["verb"] == *verb);
        changes && object["name"] == installation && event["responseStatus"]["code"] == 200
    })
}

#[test]
#[ignore = "make test runs it last, over the audit logs of all the other tests"]
fn every_right_was_used_while_the_tests_ran_and_nothing_was_refused() {
    let folder = std::env::var_os("TESTBED_AUDIT_LOGS").expect("TESTBED_AUDIT_LOGS, which make test sets");
    let mut wrong = Vec::new();
    let mut never_used: Option<BTreeSet<_>> = None;
    let mut accounts = BTreeSet::new();
    for log in std::fs::read_dir(folder).expect("the folder") {
        let log = log.expect("a file").path();
        let requests = requests(&log);
        // An operator is who watches profiles; its account is called after its installation.
        let watches = |request: &&Request| {
            request.verb == "watch" && request.resource == "telemetry-operator.dev/telemetryprofiles"
        };
        for operator in requests.iter().filter(watches).map(Request::who).collect::<BTreeSet<_>>() {
            if operator.1 == REFUSED {
                continue;
            }
            let keeps_its_roles = !loses_roles(&log, operator.1);
            let granted = granted(&operator.1.parse().expect("an installation's name"));
            let is_its = |request: &&Request| request.who() == operator;
            let refused = uncovered(&granted, requests.iter().filter(is_its));
            let by_rights = |request: &&Request| {
                let why = request.refusal.as_deref().unwrap_or_default();
                keeps_its_roles && !OTHER_REASONS.iter().any(|reason| why.contains(reason))
            };
            wrong.extend(
                refused
                    .into_iter()
                    .filter(by_rights)
                    .map(|request| format!("{}: {request:?}", log.display())),
            );
            let unused: BTreeSet<_> =
                unused(&granted, requests.iter().filter(is_its)).iter().map(ToString::to_string).collect();
            never_used = Some(never_used.map_or(unused.clone(), |before| &before & &unused));
            accounts.insert(format!("{}:{}", operator.0, operator.1));
        }
    }
    println!("operators: {accounts:?}");
    assert!(wrong.is_empty(), "refused, or asked for without a right:\n{}", wrong.join("\n"));
    assert_eq!(never_used, Some(BTreeSet::new()), "granted and never used");
}
