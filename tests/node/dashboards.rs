//! Every query of every panel of a profile's dashboards is asked, with the variables at their defaults and at each value, while all
//! is well and while the application fails. In: the dashboards as they lie in the cluster. Out: a table of what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::board::{self, Answer, Sources, TimeRange};
use testbed::{Forward, http, victoria_logs, wait_until};

use crate::common::{EXPORTER, STACK, Site, documents};

/// What a dashboard opens with, in seconds, is more than the test lasts.
const SHOWN: u64 = 900;
/// Records come every half minute, and a rate needs two scrapes within a minute.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn every_query_of_every_panel_has_an_answer() {
    victoria_logs::deploy(&STACK).unwrap();
    let site = Site::new(&STACK, "boards");
    let example = &documents("examples/export-trakt-4-letterboxd.yaml")[0]["spec"];
    site.exporter_profile(&json!({
        "metrics": {"instruments": example["metrics"]["instruments"]},
        "slos": example["slos"],
        "logs": {"endpoint": victoria_logs::ENDPOINT, "store": "VictoriaLogs"},
    }));
    site.run_exporter();
    site.apply(&cached_exporter());
    site.ready(EXPORTER);
    let stage = Stage::of(&site);

    let loud = |answers: &[Answer]| {
        answers.iter().filter(|answer| answer.no_value.is_none()).map(must_have).collect::<Vec<_>>()
    };
    stage.wait_for("an answer to every query while all is well", false, loud);
    let calm = stage.wait_for("an answer with each value of each variable", true, loud);
    print(&calm);

    // So many that an export gives up, and says so in its log.
    stage.behave(&json!({"error_rate": 0.9}));
    let incident = stage.wait_for("an answer to every query in the incident", false, |answers| {
        // What says itself that there is nothing has something now, for one of its objectives and choices.
        let mut sizes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for answer in answers.iter().filter(|answer| answer.no_value.is_some()) {
            *sizes.entry((&answer.dashboard, &answer.panel)).or_default() += answer.size;
        }
        let silent = sizes.iter().filter(|(_, size)| **size == 0).map(|((dashboard, panel), _)| {
            Err(format!("{dashboard} | {panel} still says that there is nothing"))
        });
        silent.chain(loud(answers)).collect()
    });
    print(&incident);

    // Nothing is excused that has an answer while all is well.
    let excused = calm.iter().filter(|answer| answer.no_value.is_some() && answer.choice.is_empty());
    for panel in excused.map(|answer| &answer.panel).collect::<BTreeSet<_>>() {
        let empty = calm.iter().any(|answer| answer.panel == *panel && answer.size == 0);
        assert!(empty, "{panel} says what an empty answer means, and has never been empty");
    }
}

/// A second exporter, which has a cache: without one there is no ratio of hits, with one there is little else.
fn cached_exporter() -> Value {
    let items = documents("examples/exporter/kubernetes.yaml");
    let is_exporter = |item: &&Value| item["kind"] == "Deployment" && item["metadata"]["name"] == EXPORTER;
    let mut deployment = items.iter().find(is_exporter).unwrap().clone();
    deployment["metadata"]["name"] = json!("cached");
    for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        deployment.pointer_mut(labels).unwrap()["cached"] = json!("yes");
    }
    let args = deployment.pointer_mut("/spec/template/spec/containers/0/args").unwrap();
    args.as_array_mut().unwrap().extend([json!("--cache"), json!("/data/cache")]);
    deployment
}

fn must_have(answer: &Answer) -> Result<(), String> {
    if answer.size > 0 { Ok(()) } else { Err(format!("{answer}\n       {}", answer.query)) }
}

fn print(answers: &[Answer]) {
    println!(" size  dashboard | panel | type and target | choice");
    answers.iter().for_each(|answer| println!("{answer}"));
}

/// The application, what it reads from, and where its telemetry can be asked for.
struct Stage<'a> {
    site: &'a Site<'a>,
    exports: Forward,
    simulator: Forward,
    prometheus: Forward,
    jaeger: Forward,
    logs: Forward,
}

impl<'a> Stage<'a> {
    fn of(site: &'a Site<'a>) -> Self {
        Self {
            site,
            exports: site.exports(),
            simulator: site.forward("trakt-sim", 8090),
            prometheus: site.prometheus(EXPORTER),
            jaeger: site.jaeger(EXPORTER),
            logs: victoria_logs::forward(site.stack).unwrap(),
        }
    }

    /// How the service answers from now on.
    fn behave(&self, behaviour: &Value) {
        let url = format!("{}/sim/behaviour", self.simulator.url());
        let (status, answer) = http("PUT", &url, &behaviour.to_string()).unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    /// Exports and asks everything again until nothing is missing.
    fn wait_for(
        &self,
        what: &str,
        each_value: bool,
        check: impl Fn(&[Answer]) -> Vec<Result<(), String>>,
    ) -> Vec<Answer> {
        let sources = Sources {
            prometheus: self.prometheus.url(),
            jaeger: Some(self.jaeger.url()),
            logs: Some(self.logs.url()),
        };
        wait_until(what, PATIENCE, || {
            // In the incident an export may fail: that is what is to be seen.
            http("POST", &format!("{}/exports", self.exports.url()), "")?;
            let range = TimeRange::last(SHOWN)?;
            let mut answers = Vec::new();
            for board in self.boards() {
                answers.extend(board::ask(&board, &sources, range, each_value)?);
            }
            let missing: Vec<_> = check(&answers).into_iter().filter_map(Result::err).collect();
            anyhow::ensure!(missing.is_empty(), "empty:\n{}", missing.join("\n"));
            Ok(Some(answers))
        })
        .unwrap_or_else(|error| panic!("{error:?}\n{}", self.site.diagnosis()))
    }

    /// The dashboards of the profile.
    fn boards(&self) -> Vec<Value> {
        let maps = self.site.list("configmaps -l grafana_dashboard=1");
        assert_eq!(maps.len(), 4, "a dashboard for each view");
        let texts = maps.iter().flat_map(|map| map["data"].as_object().unwrap().values());
        texts.map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
    }
}
