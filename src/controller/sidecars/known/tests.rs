//! Profiles, pod events and answers → which profiles are looked at, and when.

use std::collections::BTreeSet;

use kube::core::DeserializeGuard;

use super::*;

fn stored(namespace: &str, name: &str, generation: i64, version: &str) -> Arc<StoredProfile> {
    let spec = format!("selector: {{matchLabels: {{app: x}}}}\nservice: {{name: {name}-{generation}}}");
    let mut profile = TelemetryProfile::new(name, serde_yaml::from_str(&spec).expect("a spec"));
    profile.metadata.namespace = Some(namespace.to_owned());
    profile.metadata.generation = Some(generation);
    profile.metadata.resource_version = Some(version.to_owned());
    profile.metadata.uid = Some(format!("uid-of-{name}"));
    Arc::new(DeserializeGuard(Ok(profile)))
}

type Step = (&'static str, Vec<Arc<StoredProfile>>, &'static [&'static str]);

fn follow(known: &Known, profiles: &[Arc<StoredProfile>]) {
    known.follow(None, profiles, &Settings::default(), Instant::now());
}

fn pod(namespace: &str, name: &str, labels: &[(&str, &str)]) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        labels: Some(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
        ..ObjectMeta::default()
    }
}

fn look(job: &Job, injected: usize, pods: &[&str]) -> Look {
    let answer = Sidecars {
        about: job.about.clone(),
        injected,
        opted_out: 0,
        lacking: Vec::new(),
        workloads: BTreeSet::new(),
        overlaps: BTreeMap::new(),
    };
    Look { answer, pods: pods.iter().map(|name| hash(name)).collect() }
}

/// Names of the profiles that are due, which are looked at at once: this many pods, those of these names.
fn looked_at(known: &Known, now: Instant, injected: usize, pods: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = known
        .take_due(None, now, 100)
        .iter()
        .map(|job| {
            known.keep(job, look(job, injected, pods), now, Duration::ZERO);
            job.profile.clone()
        })
        .collect();
    names.sort();
    names
}

fn later(now: Instant, seconds: u64) -> Instant {
    now + Duration::from_secs(seconds)
}

#[test]
fn a_profile_is_looked_at_when_something_has_happened_and_not_more_often_than_allowed() {
    let (known, now) = (Known::default(), Instant::now());
    follow(&known, &[stored("media", "trakt", 1, "1")]);
    let job = known.take_due(None, now, 4).remove(0);
    assert!(known.take_due(None, now, 4).is_empty(), "it is being looked at");
    assert_eq!(known.answer("media", "trakt", &job.about), None);
    assert!(known.keep(&job, look(&job, 1, &["a"]), now, Duration::from_secs(3)), "the first answer is news");
    assert_eq!(known.answer("media", "trakt", &job.about).map(|answer| answer.injected), Some(1));
    follow(&known, &[stored("media", "trakt", 1, "1")]);
    assert!(known.take_due(None, later(now, 99), 4).is_empty(), "nothing has happened");

    known.touched(&pod("media", "b", &[("app", "x")]));
    assert!(known.take_due(None, later(now, 29), 4).is_empty(), "a look takes a tenth of the time at most");
    let job = known.take_due(None, later(now, 30), 4).remove(0);
    known.touched(&pod("media", "c", &[("app", "x")]));
    assert!(
        !known.keep(&job, look(&job, 1, &["a"]), later(now, 30), Duration::ZERO),
        "the same again is no news"
    );
    assert!(known.take_due(None, later(now, 30), 4).is_empty(), "a second between two looks");
    let job = known.take_due(None, later(now, 31), 4).remove(0);
    known.failed(&job, later(now, 31));
    assert!(known.take_due(None, later(now, 40), 4).is_empty());
    assert_eq!(known.take_due(None, later(now, 41), 4).len(), 1, "a look that failed is tried again");
}

#[test]
fn a_pod_concerns_those_that_select_it_carry_it_or_have_counted_it() {
    let (known, now) = (Known::default(), Instant::now());
    follow(&known, &[stored("media", "trakt", 1, "1")]);
    assert_eq!(looked_at(&known, now, 1, &["counted"]), ["trakt"]);
    let table = [
        ("selected", pod("media", "a", &[("app", "x")]), true),
        ("another application's", pod("media", "a", &[("app", "y")]), false),
        ("another namespace's", pod("other", "a", &[("app", "x")]), false),
        ("its sidecar is in it", pod("media", "a", &[(SIDECAR_LABEL, "trakt")]), true),
        ("another profile's is", pod("media", "a", &[(SIDECAR_LABEL, "else")]), false),
        ("it has lost its labels", pod("media", "counted", &[]), true),
    ];
    for ((what, pod, concerns), step) in table.into_iter().zip(1..) {
        known.touched(&pod);
        let looked = looked_at(&known, later(now, 10 * step), 1, &["counted"]);
        assert_eq!(!looked.is_empty(), concerns, "{what}");
    }
    known.all_touched(Some("other"));
    assert!(looked_at(&known, later(now, 1_000), 1, &[]).is_empty());
    known.all_touched(Some("media"));
    assert_eq!(looked_at(&known, later(now, 1_000), 1, &[]), ["trakt"]);
}

#[test]
fn a_profile_that_comes_changes_or_goes_shakes_its_neighbours() {
    let (known, now) = (Known::default(), Instant::now());
    let steps: [Step; 6] = [
        ("one", vec![stored("media", "a", 1, "1")], &["a"]),
        ("a second", vec![stored("media", "a", 1, "1"), stored("media", "b", 1, "1")], &["a", "b"]),
        (
            "one elsewhere",
            vec![stored("media", "a", 1, "1"), stored("media", "b", 1, "1"), stored("other", "c", 1, "1")],
            &["c"],
        ),
        (
            "another status",
            vec![stored("media", "a", 1, "1"), stored("media", "b", 1, "2"), stored("other", "c", 1, "1")],
            &["b"],
        ),
        (
            "an edit",
            vec![stored("media", "a", 2, "2"), stored("media", "b", 1, "2"), stored("other", "c", 1, "1")],
            &["a", "b"],
        ),
        ("one goes", vec![stored("media", "a", 2, "2"), stored("other", "c", 1, "1")], &["a"]),
    ];
    for ((what, profiles, expected), step) in steps.into_iter().zip(0..) {
        follow(&known, &profiles);
        assert_eq!(looked_at(&known, later(now, 100 * step), 1, &[]), expected, "{what}");
    }
    // Only who watches a namespace knows what is there.
    known.follow(Some("media"), &[stored("media", "a", 2, "2")], &Settings::default(), now);
    known.all_touched(None);
    assert_eq!(looked_at(&known, later(now, 10_000), 1, &[]), ["a", "c"]);
}

#[test]
fn an_answer_about_what_the_profile_was_is_none() {
    let (known, now) = (Known::default(), Instant::now());
    follow(&known, &[stored("media", "trakt", 1, "1")]);
    let old = known.take_due(None, now, 4).remove(0);
    // The service's name is in the sidecar's environment.
    follow(&known, &[stored("media", "trakt", 2, "2")]);
    known.keep(&old, look(&old, 1, &[]), now, Duration::ZERO);
    let new = known.take_due(None, later(now, 1), 4).remove(0);
    assert_ne!(new.about, old.about);
    assert_eq!(known.answer("media", "trakt", &new.about), None);
    known.keep(&new, look(&new, 2, &[]), later(now, 1), Duration::ZERO);
    assert_eq!(known.answer("media", "trakt", &new.about).map(|answer| answer.injected), Some(2));
}

#[test]
fn those_that_have_waited_longest_come_first() {
    let (known, now) = (Known::default(), Instant::now());
    follow(&known, &[stored("n1", "a", 1, "1"), stored("n2", "b", 1, "1"), stored("n3", "c", 1, "1")]);
    let first = known.take_due(None, now, 1);
    assert_eq!(first.len(), 1);
    known.keep(&first[0], look(&first[0], 1, &[]), now, Duration::ZERO);
    known.all_touched(None);
    let next = known.take_due(None, later(now, 5), 2);
    assert!(next.iter().all(|job| job.profile != first[0].profile), "it was looked at just now");
}

#[test]
fn a_restart_waits_until_every_api_server_knows_what_has_changed() {
    let (known, now) = (Known::default(), Instant::now());
    let follow = |generation, version, at| {
        known.follow(None, &[stored("media", "trakt", generation, version)], &Settings::default(), at);
    };
    let seconds = |wait: Option<Duration>| wait.map(|wait| wait.as_secs());
    let settling = |by_injection, at| seconds(known.settling("media", "trakt", by_injection, later(now, at)));
    follow(1, "1", now);
    assert_eq!((settling(true, 9), settling(false, 9)), (Some(5), None), "nothing injects yet");
    known.note_way(true, later(now, 10));
    known.note_way(true, later(now, 12));
    assert_eq!((settling(true, 12), settling(true, 15)), (Some(3), None));
    follow(2, "2", later(now, 20));
    assert_eq!((settling(true, 21), settling(false, 21), settling(true, 25)), (Some(4), Some(4), None));
    follow(2, "3", later(now, 30));
    assert_eq!(settling(true, 30), None, "another status is another matter");
    known.note_way(false, later(now, 40));
    known.note_way(true, later(now, 50));
    assert_eq!(settling(true, 51), Some(4));
}
