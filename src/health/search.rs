//! Asks for the series that a profile needs. In: needs, a Prometheus that has them. Out: a [`Report`]. Talks to Prometheus.
//!
//! While nothing is absent this is one query for each profile, whose answer has one sample for each need. About the first few
//! that are absent it asks on: for names and values, with a limit and from the last hour, where Prometheus reads its index
//! and no samples. All of it is of the profile's namespace.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::OnceCell;

use super::ask::Round;
use super::http::Failed;
use super::missing::{self, Cause, Missing, Report, Vector};
use super::needs::{Need, NeedKind, found_query};
use super::{Prometheus, Sight, Subject};
use crate::promql::Selector;

/// How many absent needs are looked into: a message names no more.
const MOST: usize = 3;
/// Most names or values in an answer. More come without order: they could not be told in the same way twice.
const LIMIT: usize = 10_000;
/// How far back names and values are looked for.
const RECENT: Duration = Duration::from_secs(60 * 60);

impl Round<'_> {
    /// Looks for what the profile needs.
    pub(super) async fn search(&self, subject: &Subject, prometheus: &Prometheus) -> Sight<Report> {
        match self.report(subject, prometheus).await {
            Ok(seen) => Sight::Seen { prometheus: prometheus.clone(), seen },
            Err(failed) if failed.unknown_path => {
                Sight::Nobody(format!("{} does not answer queries", prometheus.name))
            }
            Err(failed) => Sight::Unreachable { prometheus: prometheus.clone(), error: failed.error },
        }
    }

    async fn report(&self, subject: &Subject, prometheus: &Prometheus) -> Result<Report, Failed> {
        let needs = subject.needs.clone();
        let found = self.found(prometheus, needs.iter().map(|need| need.forms.as_slice())).await?;
        let (missing, unused) = missing::absent(&needs, &found);
        let others = missing.len().saturating_sub(MOST);
        let named: Vec<_> = missing.into_iter().take(MOST).chain(unused.into_iter().take(MOST)).collect();
        let names = OnceCell::new();
        let mut causes = Vec::new();
        for need in named {
            let cause = self.cause(subject, prometheus, need, &names).await?;
            causes.push(Missing { need: need.clone(), cause });
        }
        let (unused, missing) = causes.into_iter().partition(|missing| missing.need.kind == NeedKind::Part);
        Ok(Report { needs, missing, others, unused })
    }

    async fn cause(
        &self,
        subject: &Subject,
        prometheus: &Prometheus,
        need: &Need,
        names: &OnceCell<Option<BTreeSet<String>>>,
    ) -> Result<Cause, Failed> {
        let namespace = &subject.namespace;
        if let (NeedKind::Bound(threshold), Some(bucket)) = (&need.kind, need.forms.first()) {
            let mut buckets = bucket.clone();
            buckets.matchers.retain(|(label, ..)| label != "le");
            let bounds = self.list(prometheus, "label/le/values", &[buckets]).await?;
            return Ok(bounds.map_or(Cause::Unknown, |bounds| missing::of_threshold(threshold, &bounds)));
        }
        let suspects = missing::suspects(need, namespace);
        let found = self.found(prometheus, suspects.iter().map(Vec::as_slice)).await?;
        if !found.contains(&0) {
            let names = names.get_or_try_init(|| self.names(subject, prometheus)).await?;
            return Ok(missing::of_name(need, names.as_ref()));
        }
        let blamed = need.written.matchers.iter().zip(1..).find(|(_, number)| !found.contains(number));
        let (Some((matcher, _)), Some(form)) = (blamed, need.forms.first()) else {
            return Ok(Cause::Together);
        };
        let metric = [Selector::new(&form.metric).in_namespace(namespace)];
        let Some(values) = self.list(prometheus, &format!("label/{}/values", matcher.0), &metric).await?
        else {
            return Ok(missing::of_matcher(matcher, &[], &[]));
        };
        let labels = if values.is_empty() { self.list(prometheus, "labels", &metric).await? } else { None };
        Ok(missing::of_matcher(matcher, &values, &labels.unwrap_or_default()))
    }

    /// The numbers of those alternatives that select something.
    async fn found<'a>(
        &self,
        prometheus: &Prometheus,
        alternatives: impl Iterator<Item = &'a [Selector]>,
    ) -> Result<BTreeSet<usize>, Failed> {
        let query = found_query(alternatives);
        let vector: Vector = self.post(prometheus, "query", &[("query", &query)]).await?;
        Ok(missing::found(&vector))
    }

    /// The names of the metrics of the profile's jobs.
    async fn names(
        &self,
        subject: &Subject,
        prometheus: &Prometheus,
    ) -> Result<Option<BTreeSet<String>>, Failed> {
        let jobs = subject.jobs.each_ref().map(|job| {
            Selector::new("").in_namespace(&subject.namespace).with_matcher("job", "=", job.as_str())
        });
        let names = self.list(prometheus, "label/__name__/values", &jobs).await?;
        Ok(names.map(|names| names.into_iter().filter(|name| missing::is_name(name)).collect()))
    }

    /// Recent names or values of these series; none when there are too many, or when Prometheus is too old to say.
    async fn list(
        &self,
        prometheus: &Prometheus,
        path: &str,
        series: &[Selector],
    ) -> Result<Option<Vec<String>>, Failed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = now.saturating_sub(RECENT).as_secs().to_string();
        let limit = LIMIT.to_string();
        let series: Vec<_> = series.iter().map(ToString::to_string).collect();
        let mut query = vec![("start", start.as_str()), ("limit", limit.as_str())];
        query.extend(series.iter().map(|selector| ("match[]", selector.as_str())));
        match self.get::<Vec<String>>(prometheus, path, &query).await {
            Ok(list) => Ok(Some(list).filter(|list| list.len() < LIMIT)),
            Err(failed) if failed.unknown_path => Ok(None),
            Err(failed) => Err(failed),
        }
    }
}

#[cfg(test)]
mod tests;
