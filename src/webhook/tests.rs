use super::*;

#[test]
fn the_first_name_is_the_one_that_the_api_server_calls() {
    let service = Service { name: "hook".to_owned(), namespace: "system".to_owned(), port: 443 };
    assert_eq!(service.names(), ["hook.system.svc", "hook.system.svc.cluster.local", "hook.system"]);
}

#[test]
fn the_state_says_why_and_is_told_once() {
    let (state, mut seen) = watch::channel(WebhookState::Starting);
    let missing = || Err(WebhookError::Missing("the Secret a/b is not there".to_owned()));
    let text = "the Secret a/b is not there: `helm upgrade` the operator's release with --set injection.mode=Webhook";
    for (outcome, wanted, now, told) in [
        (Ok(None), true, WebhookState::Starting, false),
        (missing(), true, WebhookState::Failed(text.to_owned()), true),
        (missing(), true, WebhookState::Failed(text.to_owned()), false),
        (Ok(Some(1)), true, WebhookState::Registered, true),
        (Ok(Some(2)), true, WebhookState::Registered, false),
        (Ok(None), false, WebhookState::Starting, true),
    ] {
        note(&state, wanted, Role::Leads, &outcome);
        assert_eq!(seen.has_changed().ok(), Some(told), "{outcome:?}");
        assert_eq!(*seen.borrow_and_update(), now);
    }
}

#[test]
fn a_replica_that_stands_by_does_not_wait_for_certificates() {
    let (state, seen) = watch::channel(WebhookState::Starting);
    for (role, outcome, now) in [
        (Role::Unknown, Ok(None), WebhookState::Starting),
        (Role::StandsBy, Ok(None), WebhookState::StandingBy),
        (Role::Leads, Ok(None), WebhookState::Starting),
        (Role::StandsBy, Ok(Some(1)), WebhookState::Registered),
    ] {
        note(&state, true, role, &outcome);
        assert_eq!(*seen.borrow(), now, "{role:?}");
    }
}
