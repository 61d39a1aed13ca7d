//! The SLO rules against the truth: 35 days of events in a real Prometheus, the generated rules over all of them, and an
//! independent reference that knows only the events.
//!
//! - `scenarios`: what happens; `generator`: the raw series of it, and how many events each scrape brings to light
//! - `store`: the Prometheus; `replay`: the rules, evaluated by it in their order at every step of the `clock`
//! - `simulator`: the reference; `comparison`: where the two disagree
//! - `sloth`: how far off an average of ratios is
//!
//! An evaluation sees what was scraped until 15 s before, for the reference too. Three things no rule can know, and the
//! reference does not count them: what a process counted before its first scrape, what was scraped between the last evaluation
//! and Prometheus' stop, and what is bad in the step in which a bound changes its spelling. Not played are the absence alert
//! and freshness, which have tests in `rules`.

mod clock;
mod comparison;
mod generator;
mod replay;
mod scenarios;
mod simulator;
mod sloth;
mod store;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;
use telemetry_operator::observed::Observed;
use telemetry_operator::plan;
use telemetry_operator::profile::TelemetryProfile;
use telemetry_operator::settings::Settings;
use telemetry_operator::validate::validate;
use testbed::Directory;

use clock::{HOUR, STEP, STEPS, at};
use comparison::Comparison;
use replay::replay;
use scenarios::Scenario;
use simulator::History;
use store::Store;

/// The rule groups of the scenarios' SLOs by name.
fn rule_groups(scenarios: &[Scenario]) -> BTreeMap<String, Value> {
    let slos: Vec<_> = scenarios.iter().map(Scenario::slo).collect();
    let spec = format!(
        "{{selector: {{matchLabels: {{app: trakt}}}}, service: {{name: trakt}}, metrics: {{interval: {STEP}s}}, slos: [{}]}}",
        slos.join(", ")
    );
    let mut profile = TelemetryProfile::new("trakt", serde_yaml::from_str(&spec).expect("a spec"));
    profile.metadata.namespace = Some("media".to_owned());
    let profile = validate(&profile, &Observed::default(), &Settings::default()).expect("a valid profile");
    let text = plan::slo::rule_file(&profile).expect("rules").expect("some");
    let mut file: Value = serde_yaml::from_str(&text).expect("YAML");
    let groups: Vec<Value> = serde_json::from_value(file["groups"].take()).expect("groups");
    groups.into_iter().map(|group| (group["name"].as_str().expect("a name").to_owned(), group)).collect()
}

/// Plays a scenario and compares what the rules make of it with the reference.
fn play(store: &Store, scenario: &Scenario, rules: &BTreeMap<String, Value>) -> Comparison {
    for series in scenario.sources.iter().flat_map(|source| source.series(&scenario.metric())) {
        store.write(series);
    }
    let group = format!("media/trakt/{}", scenario.name);
    assert_eq!(rules[&group]["interval"], format!("{STEP}s"), "a step is an evaluation");
    let down = &scenario.down;
    let burn_rates = replay(store, &rules[&group], 1, down);
    let period = replay(store, &rules[&format!("{group}/period")], HOUR, down);
    let mut comparison = Comparison::default();
    for route in scenario.routes() {
        let history = History::new(scenario, route);
        comparison.burn_rates(&burn_rates, route, &history, down);
        comparison.period(&period, route, &history, down);
    }
    comparison
}

/// Fails unless everything agrees, something was compared, and exactly the tiers fired that the scenario is made for.
fn judge(scenario: &Scenario, comparison: &Comparison) {
    let Comparison { numbers, alerts, undecided, fired, faults } = comparison;
    let (name, groups) = (scenario.name, scenario.routes().len());
    let some: Vec<_> = faults.iter().take(20).collect();
    assert!(faults.is_empty(), "{name}: {} disagreements, first {some:#?}", faults.len());
    let tiers = if scenario.days < 3 { 3 } else { 4 };
    let steps = groups * (STEPS - scenario.down.len());
    assert_eq!(alerts + undecided, tiers * steps, "{name}: each tier at each step");
    assert!(
        *numbers > 3 * steps,
        "{name}: most of the seven windows have numbers, not {numbers} in {steps} steps"
    );
    assert!(undecided * 1000 < *alerts, "{name}: {undecided} of {alerts} alerts are too near to their limit");
    assert_eq!(*fired, scenario.fires.iter().copied().collect(), "{name}: the tiers that fired");
    println!("{name}: {groups} groups, {numbers} numbers and {alerts} alerts agree, {undecided} undecided");
}

#[test]
fn rules_agree_with_the_truth() {
    let directory = Directory::create("slo-history").expect("a directory");
    let store = Store::start(directory.path());
    let scenarios = scenarios::all();
    let rules = rule_groups(&scenarios);
    let queue = Mutex::new(scenarios.iter());
    let work = || {
        loop {
            let Some(scenario) = queue.lock().expect("the queue").next() else { break };
            judge(scenario, &play(&store, scenario, &rules));
        }
    };
    thread::scope(|threads| {
        threads.spawn(work);
        threads.spawn(work);
    });

    // The numbers in docs/slos.md.
    let named = |name| scenarios.iter().find(|scenario| scenario.name == name).expect("a scenario");
    let remaining = |name| {
        let scenario = named(name);
        let history = History::new(scenario, "");
        let truth = history.budget_remaining(at(STEPS - HOUR)).expect("a share");
        let average = sloth::budget_remaining(&store, scenario);
        println!("{name}: {truth} of the budget remains; by the average of ratios {average}");
        (truth, average)
    };
    let (truth, average) = remaining("day-and-night");
    assert!(truth > 0.8 && average < -3.0, "an average of ratios is far off: {average} instead of {truth}");
    let (truth, average) = remaining("silent-nights");
    assert!(
        truth.is_finite() && average.is_nan(),
        "an average of ratios is spoilt: {average} instead of {truth}"
    );
}
