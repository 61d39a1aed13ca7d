//! Asks. In: client, HTTP, subjects. Out: their [`Health`]. Talks to the cluster (Prometheus objects, labels of a namespace,
//! whether a pod runs) and to Prometheus (targets, rules, whether it took its last configuration).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, Pod};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;

use super::answer::{self, Pools, RuleList, RuntimeInfo, TargetList};
use super::choose::{Choice, Namespace, Object, choose};
use super::http::{Failed, Http};
use super::subject::{Groups, Job, Monitor, Subject};
use super::{Health, Prometheus, Rules, Sight, Targets};
use crate::metrics::Metrics;
use crate::observe::is_not_found;
use crate::plan::prometheus::PORT;
use crate::validate::Delivery;

/// How many targets' errors are worth keeping: a message names the first few.
const MOST: usize = 4;

/// Asks, round by round.
#[derive(Clone)]
pub struct Asker {
    client: Client,
    http: Http,
    metrics: Metrics,
    everywhere: bool,
}

/// One round: the Prometheus objects are listed once, and who does not answer is not asked again.
pub struct Round<'a> {
    asker: &'a Asker,
    objects: Result<Vec<Object>, String>,
    silent: Mutex<BTreeMap<String, String>>,
}

/// Why an answer could not be had.
enum AskError {
    /// Prometheus does not answer.
    Prometheus(String),
    /// The API server does not.
    Cluster(kube::Error),
}

impl From<Failed> for AskError {
    fn from(failed: Failed) -> Self {
        Self::Prometheus(failed.error)
    }
}

impl From<kube::Error> for AskError {
    fn from(error: kube::Error) -> Self {
        Self::Cluster(error)
    }
}

/// Who is asked about one object.
enum Whom {
    /// This one; the misses are those of the Prometheus objects that do not select the object.
    Ask(Prometheus, Vec<String>),
    Unselected(Vec<String>),
    Nobody(String),
}

impl Asker {
    /// An asker that counts its queries in `metrics`. An operator that does not work everywhere has no right to list Prometheus
    /// objects, and never tries to.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(client: Client, metrics: Metrics, everywhere: bool) -> Result<Self, reqwest::Error> {
        Ok(Self { client, http: Http::new()?, metrics, everywhere })
    }

    /// Begins a round for these subjects.
    ///
    /// # Errors
    /// When Prometheus objects cannot be listed for a passing reason.
    pub async fn round(&self, subjects: impl Iterator<Item = &Subject>) -> Result<Round<'_>, kube::Error> {
        let mut subjects = subjects;
        let by_operator = |by| by == Delivery::Operator;
        let objects =
            if subjects.any(|subject| by_operator(subject.scrape_by) || by_operator(subject.rules_by)) {
                self.objects().await?
            } else {
                Ok(Vec::new())
            };
        Ok(Round { asker: self, objects, silent: Mutex::default() })
    }

    async fn objects(&self) -> Result<Result<Vec<Object>, String>, kube::Error> {
        if !self.everywhere {
            return Ok(Err(
                "the operator works in some namespaces only (--watch-namespace) and does not look for objects of kind Prometheus"
                    .to_owned(),
            ));
        }
        let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "Prometheus");
        let resource = ApiResource::from_gvk_with_plural(&kind, "prometheuses");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let list = match api.list(&ListParams::default().match_any()).await {
            Ok(list) => list.items,
            Err(error) if is_not_found(&error) => Vec::new(),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Ok(Err(format!(
                    "the operator may not list the objects of kind Prometheus: {}",
                    status.message
                )));
            }
            Err(error) => return Err(error),
        };
        let present = list.into_iter().filter(|object| object.metadata.deletion_timestamp.is_none());
        Ok(Ok(present
            .map(|object| Object {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                // What the API server has let in fits; a selector that does not selects nothing.
                spec: serde_json::from_value(object.data["spec"].clone()).unwrap_or_default(),
            })
            .collect()))
    }
}

impl Round<'_> {
    /// Asks about one profile.
    ///
    /// # Errors
    /// When the API server does not answer; what was known before still holds then.
    pub async fn ask(&self, subject: &Subject) -> Result<Health, kube::Error> {
        let namespace = &self.namespace(subject).await?;
        let job = async |job: &Job| {
            let whom = self.whom(subject, subject.scrape_by, &job.object, namespace);
            let ask = async |prometheus: &Prometheus| self.targets(subject, job, prometheus).await;
            look(whom, ask, |targets| matches!(targets, Targets::NotLoaded { .. })).await
        };
        let rules = async |groups: &Groups| {
            let whom = self.whom(subject, subject.rules_by, &groups.object, namespace);
            let ask = async |prometheus: &Prometheus| self.rules(groups, prometheus).await;
            look(whom, ask, |rules: &Rules| rules.loaded.is_empty()).await
        };
        let application = job(&subject.application).await?;
        let collector = job(&subject.collector).await?;
        let series = match (&application, &collector) {
            _ if subject.needs.is_empty() => None,
            // What is absent before all targets are up says nothing.
            (Sight::Seen { prometheus, seen: own }, Sight::Seen { seen: spans, .. })
                if own.are_up() && spans.are_up() =>
            {
                Some(self.search(subject, prometheus).await)
            }
            _ => None,
        };
        Ok(Health {
            application,
            collector,
            series,
            rules: match &subject.rules {
                Some(groups) => Some(rules(groups).await?),
                None => None,
            },
        })
    }

    fn whom(&self, subject: &Subject, by: Delivery, monitor: &Monitor, namespace: &Namespace) -> Whom {
        let admin = subject.admin_url.as_ref().map(|url| Prometheus {
            name: "the Prometheus of the operator's --prometheus-url".to_owned(),
            url: url.clone(),
            managed: false,
        });
        let admin_or = |why: &str| match &admin {
            Some(prometheus) => Whom::Ask(prometheus.clone(), Vec::new()),
            None => Whom::Nobody(format!("{why}, and the operator has no --prometheus-url")),
        };
        match by {
            Delivery::Managed => Whom::Ask(managed(subject), Vec::new()),
            Delivery::ConfigMap => match admin {
                Some(prometheus) => Whom::Ask(prometheus, Vec::new()),
                None => Whom::Nobody("the operator has no --prometheus-url".to_owned()),
            },
            Delivery::Operator => {
                match self.objects.as_ref().map(|objects| choose(objects, monitor, namespace)) {
                    Err(why) => admin_or(why),
                    Ok(Choice::NoObjects) => admin_or("there is no object of kind Prometheus"),
                    Ok(Choice::Closed(why)) => admin_or(&why),
                    Ok(Choice::Ask(prometheus)) => Whom::Ask(prometheus, Vec::new()),
                    Ok(Choice::Unselected(misses)) => match admin {
                        Some(prometheus) => Whom::Ask(prometheus, misses),
                        None => Whom::Unselected(misses),
                    },
                }
            }
        }
    }

    /// The profile's namespace, with its labels where somebody selects by them.
    async fn namespace(&self, subject: &Subject) -> Result<Namespace, kube::Error> {
        let name = subject.namespace.clone();
        let mut labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
        if self.objects.iter().flatten().any(Object::reads_namespaces) {
            let api: Api<NamespaceObject> = Api::all(self.asker.client.clone());
            labels.extend(api.get_metadata(&name).await?.metadata.labels.unwrap_or_default());
        }
        Ok(Namespace { name, labels })
    }

    async fn targets(
        &self,
        subject: &Subject,
        job: &Job,
        prometheus: &Prometheus,
    ) -> Result<Targets, AskError> {
        let query = [("state", "active"), ("scrapePool", job.pool.as_str())];
        let list: TargetList = self.get(prometheus, "targets", &query).await?;
        if let Some((mut down, pending)) = answer::targets(list, &job.pool) {
            down.truncate(MOST);
            return Ok(Targets::Active { down, pending });
        }
        match self.get::<Pools>(prometheus, "scrape_pools", &[]).await {
            Ok(pools) if !pools.scrape_pools.contains(&job.pool) => {
                let refused = self.refused(prometheus).await?;
                return Ok(Targets::NotLoaded { refused });
            }
            Ok(_) => {}
            // Too old to say: the job may be there.
            Err(failed) if failed.unknown_path => {}
            Err(failed) => return Err(failed.into()),
        }
        let one = ListParams::default().labels(&job.pods).fields("status.phase=Running").limit(1);
        let api: Api<Pod> = Api::namespaced(self.asker.client.clone(), &subject.namespace);
        let none = api.list_metadata(&one).await?.items.is_empty();
        Ok(if none { Targets::NoPods } else { Targets::NoTargets })
    }

    async fn rules(&self, groups: &Groups, prometheus: &Prometheus) -> Result<Rules, AskError> {
        let mut query = vec![("exclude_alerts", "true")];
        query.extend(groups.names.iter().map(|name| ("rule_group[]", name.as_str())));
        let list: RuleList = self.get(prometheus, "rules", &query).await?;
        let mut rules = answer::rules(list, groups, self.refused(prometheus).await?);
        rules.failing.truncate(MOST);
        Ok(rules)
    }

    /// True when it refused its last configuration; false where it does not tell.
    async fn refused(&self, prometheus: &Prometheus) -> Result<bool, Failed> {
        match self.get::<RuntimeInfo>(prometheus, "status/runtimeinfo", &[]).await {
            Ok(info) => Ok(!info.reload_config_success),
            Err(failed) if failed.unknown_path => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        prometheus: &Prometheus,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failed> {
        self.answer(prometheus, self.asker.http.get(&prometheus.url, path, query)).await
    }

    /// For what may be too long for a URL.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        prometheus: &Prometheus,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Failed> {
        self.answer(prometheus, self.asker.http.post(&prometheus.url, path, form)).await
    }

    async fn answer<T>(
        &self,
        prometheus: &Prometheus,
        request: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let known = self.silent.lock().unwrap_or_else(PoisonError::into_inner).get(&prometheus.url).cloned();
        if let Some(error) = known {
            return Err(Failed { error, answered: false, unknown_path: false });
        }
        let result = request.await;
        self.asker.metrics.asked_prometheus(result.is_ok());
        if let Err(Failed { error, answered: false, .. }) = &result {
            let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.insert(prometheus.url.clone(), error.clone());
        }
        result
    }
}

/// The profile's own, by its Service.
fn managed(subject: &Subject) -> Prometheus {
    Prometheus {
        name: format!("Deployment/{}-prometheus", subject.name),
        url: format!("http://{}-prometheus.{}.svc:{PORT}", subject.name, subject.namespace),
        managed: true,
    }
}

/// Asks whoever is to be asked. A Prometheus of the administrator's that has nothing of what no Prometheus object selects
/// is no news: the objects' selectors say why.
async fn look<T>(
    whom: Whom,
    ask: impl AsyncFnOnce(&Prometheus) -> Result<T, AskError>,
    is_absent: impl FnOnce(&T) -> bool,
) -> Result<Sight<T>, kube::Error> {
    let (prometheus, misses) = match whom {
        Whom::Ask(prometheus, misses) => (prometheus, misses),
        Whom::Unselected(misses) => return Ok(Sight::Unselected(misses)),
        Whom::Nobody(why) => return Ok(Sight::Nobody(why)),
    };
    match ask(&prometheus).await {
        Ok(seen) if !misses.is_empty() && is_absent(&seen) => Ok(Sight::Unselected(misses)),
        Ok(seen) => Ok(Sight::Seen { prometheus, seen }),
        Err(AskError::Prometheus(error)) => Ok(Sight::Unreachable { prometheus, error }),
        Err(AskError::Cluster(error)) => Err(error),
    }
}
