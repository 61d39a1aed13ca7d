//! At rest the operator writes nothing, and a restart writes nothing, by the API server's audit log.

use std::time::Duration;

use serde_json::json;

use crate::common::*;

/// Twenty profiles of many shapes, then a minute, then a restart.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_profiles_at_rest_and_over_a_restart_cause_no_write() {
    let cluster = shared();
    let client = cluster.client().await;
    let namespace = cluster.namespace("rest").await;
    let operator = cluster.operator(&[&namespace], &[]);
    for index in 0..20 {
        let mut spec = if index % 2 == 0 { full_spec() } else { minimal_spec() };
        match index % 5 {
            1 => spec["collector"] = json!({"autoscaling": {"max": 4}}),
            2 => spec["collector"] = json!({"resources": {"limits": {"cpu": "1500m", "memory": "1024Mi"}}}),
            3 => spec["metrics"] = json!({"prometheus": "ConfigMap"}),
            4 => spec["traces"] = json!({"endpoint": "http://tempo.monitoring:4317"}),
            _ => {}
        }
        apply_profile(&client, &namespace, &format!("p{index}"), spec).await;
    }
    for index in 0..20 {
        observed(&client, &namespace, &format!("p{index}")).await;
    }
    cluster.quiet(&[&namespace]).await;

    let before = cluster.operator_writes(&[&namespace]);
    // A minute is what is claimed: nothing is waited for, the time itself is the test.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = cluster.operator_writes(&[&namespace]);
    assert_eq!(after[before.len()..], [] as [String; 0], "writes at rest");

    drop(operator);
    let second = cluster.operator(&[&namespace], &[]);
    eventually("the second operator to have looked at every profile", || {
        let text = second.page("/metrics").1;
        async move {
            let line = text
                .lines()
                .find(|line| line.starts_with("telemetry_operator_reconciles_total{result=\"ok\"}"));
            let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).unwrap_or(0);
            if count >= 20 { Ok(()) } else { Err(format!("{count} reconciles")) }
        }
    })
    .await;
    cluster.quiet(&[&namespace]).await;
    let restarted = cluster.operator_writes(&[&namespace]);
    assert_eq!(restarted[after.len()..], [] as [String; 0], "writes after a restart");
}
