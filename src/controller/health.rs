//! Keeps what Prometheus says of each profile, and makes a profile due when that has changed. In: subjects, from reconciles.
//! Out: the latest answer for a reconcile, profile references. Talks to Prometheus and the cluster through the asker.
//!
//! Looking writes nothing: as long as the answers are equal, no reconcile runs because of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::{StreamExt, stream};
use kube::runtime::reflector::Store;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::{Context, ProfileRef, StoredProfile};
use crate::health::{Health, Subject};

/// How often each profile's Prometheus is asked.
const INTERVAL: Duration = Duration::from_secs(15);
/// Profiles that are asked about at once.
const CONCURRENCY: usize = 8;

#[derive(Debug)]
struct Entry {
    subject: Arc<Subject>,
    asked: bool,
    answer: Option<Health>,
    /// The last try found nobody, and the answer before it still stands.
    missed: bool,
}

/// The latest answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    entries: Mutex<HashMap<ProfileRef, Entry>>,
    noted: watch::Sender<()>,
}

impl Answers {
    /// Notes what is to be asked about a profile from now on, at once where it is new, and returns what is known.
    pub(super) fn note(&self, profile: &ProfileRef, subject: Option<Subject>) -> Option<Health> {
        let Some(subject) = subject else {
            self.forget(profile);
            return None;
        };
        let mut entries = self.entries();
        let before = entries.get(profile);
        if let Some(entry) = before.filter(|entry| *entry.subject == subject) {
            return entry.answer.clone();
        }
        let kept = before.filter(|entry| entry.subject.is_told_as(&subject));
        let answer = kept.and_then(|entry| entry.answer.clone());
        let entry = Entry { subject: Arc::new(subject), asked: false, answer: answer.clone(), missed: false };
        entries.insert(profile.clone(), entry);
        self.noted.send_replace(());
        answer
    }

    /// Nothing is asked about the profile any more.
    pub(super) fn forget(&self, profile: &ProfileRef) {
        self.entries().remove(profile);
    }

    /// What is to be asked now, in this namespace (all when `None`). A profile that is gone is forgotten here: its deletion
    /// leads to no reconcile.
    fn subjects(
        &self,
        namespace: Option<&str>,
        only_new: bool,
        is_there: impl Fn(&ProfileRef) -> bool,
    ) -> Vec<(ProfileRef, Arc<Subject>)> {
        let here = |profile: &ProfileRef| {
            namespace.is_none_or(|namespace| profile.namespace.as_deref() == Some(namespace))
        };
        let mut entries = self.entries();
        entries.retain(|profile, _| !here(profile) || is_there(profile));
        let due = entries.iter_mut().filter(|(profile, entry)| here(profile) && !(only_new && entry.asked));
        due.map(|(profile, entry)| {
            entry.asked = true;
            (profile.clone(), Arc::clone(&entry.subject))
        })
        .collect()
    }

    /// Keeps an answer. True when it is news.
    ///
    /// A Prometheus that does not answer once may just be busy: only the second time in a row it is news.
    fn keep(&self, profile: &ProfileRef, subject: &Subject, answer: Health) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(profile).filter(|entry| *entry.subject == *subject) else {
            return false;
        };
        let was_there = entry.answer.as_ref().is_some_and(|before| !before.is_out_of_reach());
        if answer.is_out_of_reach() && was_there && !entry.missed {
            entry.missed = true;
            return false;
        }
        entry.missed = false;
        let news = entry.answer.as_ref() != Some(&answer);
        entry.answer = Some(answer);
        news
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ProfileRef, Entry>> {
        // Nothing panics while the lock is held; if it did, the map would still be whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks about every noted profile in `namespace` (all when `None`), and never returns.
pub(super) async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    profiles: Store<StoredProfile>,
    due: UnboundedSender<ProfileRef>,
) {
    let mut noted = context.answers.noted.subscribe();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let only_new = tokio::select! {
            _ = tick.tick() => false,
            // The sender lives in the context.
            _ = noted.changed() => true,
        };
        let subjects = context
            .answers
            .subjects(namespace.as_deref(), only_new, |profile| profiles.get(profile).is_some());
        if !subjects.is_empty() {
            ask(&context, &subjects, &due).await;
        }
    }
}

async fn ask(context: &Context, subjects: &[(ProfileRef, Arc<Subject>)], due: &UnboundedSender<ProfileRef>) {
    let round = match context.asker.round(subjects.iter().map(|(_, subject)| subject.as_ref())).await {
        Ok(round) => round,
        Err(error) => {
            tracing::warn!(%error, "Prometheus objects cannot be listed; what was known stays");
            return;
        }
    };
    let round = &round;
    let answers = stream::iter(subjects)
        .map(|(profile, subject)| async move { (profile, subject, round.ask(subject).await) })
        .buffer_unordered(CONCURRENCY);
    answers
        .for_each(|(profile, subject, answer)| {
            match answer {
                Ok(answer) => {
                    if context.answers.keep(profile, subject, answer) {
                        context.memory.note_trigger(profile, "Prometheus".to_owned());
                        // The receiver lives as long as the controller.
                        let _ = due.unbounded_send(profile.clone());
                    }
                }
                Err(error) => tracing::warn!(
                    %error, profile = profile.name, namespace = subject.namespace,
                    "what to ask Prometheus cannot be found out; what was known stays"
                ),
            }
            std::future::ready(())
        })
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Prometheus, Sight, Targets};
    use crate::validate::fixture;

    fn subject(more: &str) -> Subject {
        let spec = format!(
            "selector: {{matchLabels: {{app: x}}}}\nservice: {{name: x}}\nmetrics: {{prometheus: Managed}}\n{more}"
        );
        Subject::of(&fixture(&spec)).expect("somebody to ask")
    }

    fn health(up: bool) -> Health {
        let prometheus = Prometheus { name: "p".to_owned(), url: "http://p".to_owned(), managed: true };
        let sight = if up {
            Sight::Seen { prometheus, seen: Targets::NoPods }
        } else {
            Sight::Unreachable { prometheus, error: "refused".to_owned() }
        };
        Health { application: sight.clone(), collector: sight, rules: None, series: None }
    }

    #[test]
    fn only_a_changed_answer_is_news() {
        let (answers, profile) = (Answers::default(), ProfileRef::new("trakt").within("media"));
        let subject = subject("");
        assert_eq!(answers.note(&profile, Some(subject.clone())), None);
        assert!(answers.keep(&profile, &subject, health(true)));
        assert!(!answers.keep(&profile, &subject, health(true)));
        assert_eq!(answers.note(&profile, Some(subject.clone())), Some(health(true)));
        answers.forget(&profile);
        assert!(!answers.keep(&profile, &subject, health(true)), "nobody asks for it any more");
    }

    #[test]
    fn one_miss_is_no_news_and_the_second_is() {
        let (answers, profile) = (Answers::default(), ProfileRef::new("trakt").within("media"));
        let subject = subject("");
        answers.note(&profile, Some(subject.clone()));
        assert!(answers.keep(&profile, &subject, health(false)), "the first answer of all counts");
        assert!(answers.keep(&profile, &subject, health(true)));
        for expected in [false, true, false] {
            assert_eq!(answers.keep(&profile, &subject, health(false)), expected);
        }
        assert!(answers.keep(&profile, &subject, health(true)));
        assert!(!answers.keep(&profile, &subject, health(false)));
        assert!(!answers.keep(&profile, &subject, health(true)), "it was there all the time");
        assert!(!answers.keep(&profile, &subject, health(false)), "the misses are not in a row");
    }

    #[test]
    fn what_is_new_is_asked_at_once_and_the_rest_in_its_time() {
        let (answers, profile) = (Answers::default(), ProfileRef::new("trakt").within("media"));
        let new = |namespace| answers.subjects(namespace, true, |_| true).len();
        answers.note(&profile, Some(subject("")));
        // Noted again before anybody has asked: still new.
        answers.note(&profile, Some(subject("")));
        assert_eq!(new(Some("other")), 0);
        assert_eq!(new(Some("media")), 1);
        assert_eq!(new(None), 0);
        assert_eq!(answers.subjects(None, false, |_| true).len(), 1);
        let edited = subject(
            "traces: {enabled: false}\nslos: [{name: a, objective: '99', freshness: {counter: c_total, maxAge: 1h}}]",
        );
        answers.keep(&profile, &subject(""), health(true));
        assert_eq!(
            answers.note(&profile, Some(edited)),
            None,
            "an answer without rules says nothing of rules"
        );
        assert_eq!(new(None), 1);
        // Only who watches the namespace knows whether the profile is there.
        answers.subjects(Some("other"), false, |_| false);
        assert_eq!(answers.subjects(None, false, |_| true).len(), 1);
        assert_eq!(answers.subjects(None, false, |_| false).len(), 0);
        assert_eq!(answers.subjects(None, false, |_| true).len(), 0, "it is forgotten");
    }
}
