//! Activities and the polls on them.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    ApiError, Engine, Tags,
    history::EventDetail,
    names::{check_arn, check_name, check_tags},
    world::{self, Activity, ActivityTask, PollId, Timer},
};

/// The service's hard limit on open polls per activity.
const MAX_OPEN_POLLS: usize = 1000;

/// An activity as it is described and listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivitySummary {
    /// `arn:aws:states:<region>:<account>:activity:<name>`
    pub arn: String,
    /// 1–80 characters.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// `encryptionConfiguration`, if it was given.
    pub encryption: Option<Value>,
}

/// What a poll got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// A task, at once.
    Task(ActivityTask),
    /// Nothing yet: the answer comes as an [`super::Effect`].
    Waiting(PollId),
}

impl Engine {
    /// CreateActivity without encryption of its own.
    pub fn create_activity(
        &mut self,
        region: &str,
        name: &str,
        tags: Tags,
        now: Timestamp,
    ) -> Result<ActivitySummary, ApiError> {
        self.create_encrypted_activity(region, name, tags, None, now)
    }

    /// CreateActivity. Idempotent by name and encryption: an existing activity is returned as it is, its tags
    /// untouched. The `encryptionConfiguration` is kept and given back; nothing is encrypted.
    pub fn create_encrypted_activity(
        &mut self,
        region: &str,
        name: &str,
        tags: Tags,
        encryption: Option<Value>,
        now: Timestamp,
    ) -> Result<ActivitySummary, ApiError> {
        self.tick(now);
        check_name(name)?;
        check_tags(&tags)?;
        let arn: Arc<str> = format!("arn:aws:states:{region}:{}:activity:{name}", self.options.account_id).into();
        let now = self.world.now;
        if self.world.activities.get(&arn).is_some_and(|activity| activity.encryption != encryption) {
            return Err(ApiError::new(
                "ActivityAlreadyExists",
                format!("Activity already exists with a different encryption configuration: '{arn}'"),
            ));
        }
        if self.world.activities.len() >= self.options.limits.activities && !self.world.activities.contains_key(&arn) {
            return Err(ApiError::new("ActivityLimitExceeded", "The maximum number of activities has been reached."));
        }
        let activity = self.world.activities.entry(arn.clone()).or_insert_with(|| Activity {
            name: name.to_owned(),
            created: now,
            tags,
            encryption,
            queue: VecDeque::new(),
            waiters: VecDeque::new(),
            open_polls: 0,
        });
        Ok(activity.summary(&arn))
    }

    /// DescribeActivity.
    pub fn describe_activity(&mut self, arn: &str, now: Timestamp) -> Result<ActivitySummary, ApiError> {
        self.tick(now);
        self.activity(arn).map(|activity| activity.summary(arn))
    }

    /// DeleteActivity. Deleting what does not exist is no error. Open polls are refused; queued tasks stay open until
    /// their execution ends, with nobody to take them.
    pub fn delete_activity(&mut self, arn: &str, now: Timestamp) -> Result<(), ApiError> {
        self.tick(now);
        check_arn(arn, "activity")?;
        while let Some((poll, _)) = self.world.take_waiter(arn) {
            self.world.answer_poll(poll, Err(activity_missing(arn)));
        }
        self.world.activities.remove(arn);
        Ok(())
    }

    /// The activities of a region, by name.
    pub fn list_activities(&mut self, region: &str, now: Timestamp) -> Vec<ActivitySummary> {
        self.tick(now);
        let prefix = format!("arn:aws:states:{region}:");
        let activities = self.world.activities.iter().filter(|(arn, _)| arn.starts_with(&prefix));
        activities.map(|(arn, activity)| activity.summary(arn)).collect()
    }

    /// GetActivityTask without waiting: the oldest task in the queue, started, or `None`.
    pub fn try_take_task(
        &mut self,
        arn: &str,
        worker: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<ActivityTask>, ApiError> {
        self.tick(now);
        self.activity(arn)?;
        if let Some(worker) = worker
            && worker.chars().count() > 80
        {
            return Err(ApiError::constraint(
                &format!("'{worker}'"),
                "workerName",
                "Member must have length less than or equal to 80",
            ));
        }
        while let Some(token) = self.world.activities.get_mut(arn).and_then(|activity| activity.queue.pop_front()) {
            let Some(task) = self.world.open_task(&token) else { continue };
            let (id, branch) = (task.execution, task.branch);
            let mut taken = None;
            self.run(id, |run| {
                run.record(branch, EventDetail::ActivityStarted { worker: worker.map(Into::into) });
                taken = run.world.start_task(&token);
            });
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// GetActivityTask: a task at once, or a place in the activity's queue of polls, first come first served.
    pub fn start_poll(&mut self, arn: &str, worker: Option<&str>, now: Timestamp) -> Result<Poll, ApiError> {
        if let Some(task) = self.try_take_task(arn, worker, now)? {
            return Ok(Poll::Task(task));
        }
        if self.activity(arn)?.open_polls >= MAX_OPEN_POLLS {
            return Err(ApiError::new(
                "ActivityWorkerLimitExceeded",
                format!(
                    "The maximum number of workers concurrently polling for activity tasks has been reached: '{arn}'"
                ),
            ));
        }
        self.world.next_poll += 1;
        let id = PollId(self.world.next_poll);
        let wait = u64::try_from(self.options.long_poll.as_millis()).unwrap_or(u64::MAX);
        let due = self.world.after_millis(wait);
        let deadline = self.world.timers.set(due, Timer::PollEnds(id));
        let poll = world::Poll { activity: arn.into(), worker: worker.map(Into::into), deadline };
        self.world.polls.insert(id, poll);
        if let Some(activity) = self.world.activities.get_mut(arn) {
            activity.waiters.push_back(id);
            activity.open_polls += 1;
        }
        Ok(Poll::Waiting(id))
    }

    /// The caller has gone: the poll gets no task and no answer. A poll that is over already is left alone.
    pub fn cancel_poll(&mut self, poll: PollId) {
        self.world.end_poll(poll);
    }

    /// How many polls wait, over all activities.
    #[must_use]
    pub fn open_polls(&self) -> usize {
        self.world.polls.len()
    }

    /// Answers every open poll empty, as at the end of its time. For shutting down.
    pub fn end_all_polls(&mut self) {
        let mut polls: Vec<PollId> = self.world.polls.keys().copied().collect();
        polls.sort_unstable();
        for poll in polls {
            self.world.end_poll(poll);
            self.world.answer_poll(poll, Ok(None));
        }
    }

    pub(super) fn activity(&self, arn: &str) -> Result<&Activity, ApiError> {
        check_arn(arn, "activity")?;
        self.world.activities.get(arn).ok_or_else(|| activity_missing(arn))
    }
}

impl Activity {
    fn summary(&self, arn: &str) -> ActivitySummary {
        ActivitySummary {
            arn: arn.to_owned(),
            name: self.name.clone(),
            created: self.created,
            encryption: self.encryption.clone(),
        }
    }
}

fn activity_missing(arn: &str) -> ApiError {
    ApiError::new("ActivityDoesNotExist", format!("Activity Does Not Exist: '{arn}'"))
}
