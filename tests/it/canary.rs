//! Canaries: texts that would reach more than their author has, in every field of a profile. Each is refused with the
//! field's path, or every reader of what is made of it takes it as the text that it is. Readers are the real ones.

mod cluster;
mod fields;
mod payloads;
mod programs;
mod queries;
mod rendered;
mod shape;
mod stages;

use futures::StreamExt;
use kube::Client;
use serde_json::Value;
use telemetry_operator::plan::Child;

use crate::common::*;
use programs::Bait;
use stages::Outcome;

/// How many questions the API server has at a time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_refused_or_taken_as_text() {
    let bait = Bait::lay();
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("canary").await;
    let bases = fields::bases();
    let fields = fields::all(&bases);
    let (mut counts, mut wrong) = ([0; 3], Vec::new());
    for (base, fields) in bases.iter().zip(&fields) {
        let asked = futures::stream::iter(&bait.payloads)
            .map(|payload| stages::outcome(&client, &namespace, base, fields, payload))
            .buffered(AT_ONCE);
        let outcomes: Vec<_> = asked.collect().await;
        for outcome in &outcomes {
            counts[0] += outcome.refused_by_schema;
            counts[1] += outcome.refused_by_validate;
            counts[2] += outcome.accepted.len();
        }
        wrong.extend(examine(&client, &namespace, base, &outcomes).await);
    }
    let [schema, validate, accepted] = counts;
    println!(
        "{} fields x {} payloads: {schema} refused by the API server, {validate} by validate, {accepted} taken as text",
        fields.concat().len(),
        bait.payloads.len()
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(schema >= 500 && accepted >= 500, "{counts:?}");
    bait.assert_untouched();
}

/// Looks at everything that is made of what was accepted.
async fn examine(client: &Client, namespace: &str, base: &Value, outcomes: &[Outcome]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut changed: Vec<(String, Child)> = Vec::new();
    for delivery in rendered::DELIVERIES {
        let plain = rendered::children(base, namespace, delivery);
        for outcome in outcomes {
            // An endpoint decides where the collector sends, and with it which way out its network policy opens.
            let texts: Vec<_> =
                outcome.accepted.iter().filter(|field| !field.name.ends_with(".endpoint")).cloned().collect();
            if texts.is_empty() {
                continue;
            }
            let body = stages::with(base, &texts, &outcome.payload);
            let got = rendered::children(&body, namespace, delivery);
            let found = shape::wrong(&plain, &got, &outcome.payload);
            wrong.extend(found.into_iter().map(|what| format!("{:?}: {what}", outcome.payload)));
            if delivery == rendered::DELIVERIES[1] {
                let new = got.into_iter().zip(&plain).filter(|(got, plain)| got != *plain);
                changed.extend(new.map(|(child, _)| (outcome.payload.clone(), child)));
            }
        }
        if delivery != rendered::DELIVERIES[0] {
            changed.extend(plain.into_iter().map(|child| (String::new(), child)));
        }
    }
    let asked = futures::stream::iter(&changed)
        .map(|(payload, child)| async move { (payload, cluster::refused(client, namespace, child).await) })
        .buffered(AT_ONCE);
    for (payload, refused) in asked.collect::<Vec<_>>().await {
        wrong.extend(refused.into_iter().map(|what| format!("{payload:?}: {what}")));
    }
    wrong
}
