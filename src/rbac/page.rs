//! The page of rights: rules → Markdown. Pure, no cluster. `docs/rights.md` is this text; a test compares them.

use std::fmt::Write as _;

use super::{Right, Rules};

const INTRODUCTION: &str = "\
# The rights of an installation

Generated from the rules that the chart makes its roles of; `make generate` writes it anew. A test drives the operator through all
that it does and compares the API server's audit log with this page, both ways: nothing is refused, and no right is left unused. `name`
stands for the installation's name, by default `telemetry-operator`.

There is no wildcard, no right to list or watch Secrets, and none to escalate, bind, impersonate or run commands in pods. Nobody
but the administrator writes the CRD, roles, the admission policy and the webhook's Service.
";

/// The whole page.
#[must_use]
pub fn markdown(rules: &Rules) -> String {
    let Rules { profiles, restarts, policy, webhook, certificates, discovery, own, prometheus, view, edit } =
        rules;
    let sections: [(&str, &str, &[Right]); 10] = [
        (
            "Where profiles are",
            "In each of the chart's `watchNamespaces`, or in the whole cluster where there are none.",
            profiles,
        ),
        (
            "Restarts of the application",
            "In the same place, unless `rbac.restarts` is false. The operator works without: the status of a profile that asks for \
             restarts then names what it may not restart.",
            restarts,
        ),
        (
            "Injection by the policy",
            "By name, in a ClusterRole, since no Role can name them. Only where the policy injects.",
            policy,
        ),
        (
            "Injection by the webhook",
            "By name, in a ClusterRole, since no Role can name it. Only where the webhook injects.",
            webhook,
        ),
        (
            "The webhook's certificates",
            "By name, in the operator's own namespace. Only where the webhook injects.",
            certificates,
        ),
        (
            "Finding a Prometheus",
            "In the whole cluster, and only where the operator works in the whole cluster. Otherwise it does not look: conditions \
             of a profile whose metrics go to the Prometheus Operator say that nobody was asked.",
            discovery,
        ),
        ("Leader election", "By name, in the operator's own namespace.", own),
        (
            "A managed Prometheus",
            "In its profile's namespace. Collectors and Jaegers have no rights and no token.",
            prometheus,
        ),
        ("People who see profiles", "Part of the roles `view`, `edit` and `admin`.", view),
        ("People who write profiles", "Part of the roles `edit` and `admin`.", edit),
    ];
    let mut page = INTRODUCTION.to_owned();
    for (title, scope, rights) in sections {
        let _ = write!(page, "\n## {title}\n\n{scope}\n\n| may | on | what for |\n|---|---|---|\n");
        rights.iter().for_each(|right| row(&mut page, right));
    }
    page
}

fn row(page: &mut String, right: &Right) {
    let Right { rule, why } = right;
    let list = |items: &Option<Vec<String>>| items.clone().unwrap_or_default();
    let group = list(&rule.api_groups).concat();
    let dot = if group.is_empty() { "" } else { "." };
    let resources: Vec<_> =
        list(&rule.resources).iter().map(|resource| format!("`{resource}{dot}{group}`")).collect();
    let names: Vec<_> = list(&rule.resource_names).iter().map(|name| format!(" `{name}`")).collect();
    let _ =
        writeln!(page, "| {} | {}{} | {why} |", rule.verbs.join(", "), resources.join(", "), names.concat());
}
