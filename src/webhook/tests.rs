use super::*;

#[test]
fn a_service_is_written_with_or_without_its_port() {
    let parsed = |text: &str| text.parse::<ServiceName>().map(|service| (service.name, service.port));
    assert_eq!(parsed("hook"), Ok(("hook".to_owned(), 443)));
    assert_eq!(parsed("hook-2:9443"), Ok(("hook-2".to_owned(), 9443)));
    for text in ["", ":443", "hook:", "hook:0", "hook:65536", "Hook", "a.b", "hook:x", &"x".repeat(64)] {
        assert!(parsed(text).is_err(), "{text}");
    }
}

#[test]
fn the_first_name_is_the_one_that_the_api_server_calls() {
    let service = Service { name: "hook".to_owned(), namespace: "system".to_owned(), port: 443 };
    assert_eq!(service.names(), ["hook.system.svc", "hook.system.svc.cluster.local", "hook.system"]);
}

#[test]
fn the_state_says_why_and_is_told_once() {
    let (state, mut seen) = watch::channel(WebhookState::Starting);
    let missing = || Err(WebhookError::Missing("the Secret a/b is not there".to_owned()));
    let text = "the Secret a/b is not there: kubectl apply -f deploy/webhook.yaml";
    for (outcome, wanted, now, told) in [
        (Ok(None), true, WebhookState::Starting, false),
        (missing(), true, WebhookState::Failed(text.to_owned()), true),
        (missing(), true, WebhookState::Failed(text.to_owned()), false),
        (Ok(Some(1)), true, WebhookState::Registered, true),
        (Ok(Some(2)), true, WebhookState::Registered, false),
        (Ok(None), false, WebhookState::Starting, true),
    ] {
        note(&state, wanted, &outcome);
        assert_eq!(seen.has_changed().ok(), Some(told), "{outcome:?}");
        assert_eq!(*seen.borrow_and_update(), now);
    }
}
