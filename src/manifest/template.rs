//! The pods that an object describes. In: any object as JSON. Out: the pod that would be made of it, and the object with a
//! changed one in its place. Pure, no cluster.

use serde_json::{Value, json};

/// Where built-in kinds and most others keep the template of their pods.
const TEMPLATES: [&str; 3] = ["/spec/template", "/spec/jobTemplate/spec/template", "/template"];

/// The place of a pod in an object: the object itself, or a template in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PodPlace(&'static str);

/// Where `object` describes a pod; none when it does not.
pub(crate) fn pod_place(object: &Value) -> Option<PodPlace> {
    if object["kind"] == "Pod" && object["apiVersion"] == "v1" {
        return object["spec"].is_object().then_some(PodPlace(""));
    }
    let has_containers =
        |place: &str| object.pointer(&format!("{place}/spec/containers")).is_some_and(Value::is_array);
    TEMPLATES.into_iter().find(|place| has_containers(place)).map(PodPlace)
}

/// The pod as the API server would see it when it is made: of a template, with the workload as its owner.
pub(crate) fn pod(object: &Value, PodPlace(place): PodPlace) -> Value {
    if place.is_empty() {
        return object.clone();
    }
    let template = object.pointer(place).unwrap_or(&Value::Null);
    let metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
    // A workload without a name gets one from the API server, and nobody knows it yet.
    if object["metadata"]["name"].is_string() {
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": object["apiVersion"],
            "kind": object["kind"],
            "name": object["metadata"]["name"],
            "controller": true,
        }]);
    }
    pod
}

/// Puts a changed pod back to where [`pod`] has found it.
pub(crate) fn put(object: &mut Value, PodPlace(place): PodPlace, mut pod: Value) {
    if place.is_empty() {
        *object = pod;
        return;
    }
    let Some(template) = object.pointer_mut(place) else { return };
    let mut metadata = pod["metadata"].take();
    let owners = template["metadata"].get("ownerReferences").cloned();
    if let Some(map) = metadata.as_object_mut() {
        map.remove("ownerReferences");
        map.extend(owners.map(|owners| ("ownerReferences".to_owned(), owners)));
        if !map.is_empty() || !template["metadata"].is_null() {
            template["metadata"] = metadata;
        }
    }
    template["spec"] = pod["spec"].take();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Value {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a"}], "newField": 1}})
    }

    #[test]
    fn a_template_becomes_a_pod_with_its_owner_and_back() {
        let nested = |spec: Value, kind: &str| json!({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec});
        let objects = [
            nested(json!({"template": template(), "replicas": 2}), "Deployment"),
            nested(json!({"template": template()}), "Rollout"),
            nested(json!({"jobTemplate": {"spec": {"template": template()}}}), "CronJob"),
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": template()}),
        ];
        for object in objects {
            let place = pod_place(&object).unwrap();
            let mut pod = pod(&object, place);
            assert_eq!(
                pod["metadata"],
                json!({"labels": {"app": "web"}, "ownerReferences": [
                    {"apiVersion": object["apiVersion"], "kind": object["kind"], "name": "web", "controller": true}]})
            );
            assert_eq!(pod["spec"], template()["spec"]);
            let mut same = object.clone();
            put(&mut same, place, pod.clone());
            assert_eq!(same, object);
            pod["metadata"]["labels"]["new"] = json!("1");
            pod["spec"]["containers"][0]["env"] = json!([]);
            put(&mut same, place, pod.clone());
            let changed = same.pointer(place.0).unwrap();
            assert_eq!(changed["metadata"], json!({"labels": {"app": "web", "new": "1"}}));
            assert_eq!(changed["spec"], pod["spec"]);
        }
    }

    #[test]
    fn a_pod_is_itself_and_a_workload_without_a_name_owns_nothing() {
        let lone = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}, "spec": {}});
        assert_eq!(pod(&lone, pod_place(&lone).unwrap()), lone);
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "x-"},
            "spec": {"template": {"spec": {"containers": []}}}});
        let place = pod_place(&job).unwrap();
        assert_eq!(pod(&job, place)["metadata"], json!({}));
        let mut same = job.clone();
        put(&mut same, place, pod(&job, place));
        assert_eq!(same, job);
    }

    #[test]
    fn other_objects_describe_no_pod() {
        for object in [
            json!(null),
            json!([1]),
            json!("text"),
            json!({"kind": "Pod", "apiVersion": "metrics.k8s.io/v1beta1", "spec": {}}),
            json!({"kind": "Pod", "apiVersion": "v1", "spec": 7}),
            json!({"kind": "Certificate", "spec": {"template": {"spec": {"containers": "no"}}}}),
            json!({"kind": "ConfigMap", "data": {"template": "x"}}),
        ] {
            assert_eq!(pod_place(&object), None, "{object}");
        }
    }
}
