//! Whether polls and heartbeats fit what AWS allows an account by default, and what the settings allow.

use jiff::SignedDuration;

use super::{Report, store::Known};
use crate::{config::Config, store::DEFAULT_HEARTBEAT};

/// Calls per second of GetActivityTask, SendTaskHeartbeat, SendTaskSuccess and SendTaskFailure each, in the long run.
fn quota(region: &str) -> u32 {
    if matches!(region, "us-east-1" | "us-west-2" | "eu-west-1") { 500 } else { 300 }
}

/// An idle poll lasts this long.
const POLL_SECONDS: f64 = 60.0;

pub(super) fn check(config: &Config, region: &str, known: &Known, report: &mut Report) {
    let quota = quota(region);
    let worker = &config.worker;
    let raise = "raise the quota of Step Functions in Service Quotas (it may be higher already)";
    let activities = known.workflows.iter().map(|workflow| workflow.activity_arns.len()).sum::<usize>();
    let polls = per_second(activities * worker.min_polls, POLL_SECONDS);
    let found = format!(
        "{activities} × {} open polls are {polls:.0}/s; AWS's default in {region} is {quota}/s",
        worker.min_polls
    );
    if polls > f64::from(quota) {
        report.warn("quota, GetActivityTask", found, format!("lower worker.min_polls, or {raise}"));
    } else {
        report.ok("quota, GetActivityTask", found);
    }
    let beats = beats(known);
    let pending: u64 = known.pending.iter().sum();
    let found = format!(
        "{pending} pending need {beats:.1}/s; worker.heartbeats_per_second is {}, AWS's default {quota}/s",
        worker.heartbeats_per_second
    );
    if beats > f64::from(worker.heartbeats_per_second.min(quota)) {
        let advice = format!("longer HeartbeatSeconds, a higher worker.heartbeats_per_second, or {raise}");
        report.fail("quota, SendTaskHeartbeat", found, advice);
    } else if worker.heartbeats_per_second > quota {
        let advice =
            format!("heartbeats could use up what others need: lower worker.heartbeats_per_second, or {raise}");
        report.warn("quota, SendTaskHeartbeat", found, advice);
    } else {
        report.ok("quota, SendTaskHeartbeat", found);
    }
    let found = format!("worker.deliveries_per_second is {}, AWS's default {quota}/s", worker.deliveries_per_second);
    if worker.deliveries_per_second > quota {
        report.warn("quota, SendTaskSuccess", found, format!("lower worker.deliveries_per_second, or {raise}"));
    } else {
        report.ok("quota, SendTaskSuccess", found);
    }
}

#[allow(clippy::cast_precision_loss)]
fn per_second(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Heartbeats per second that keep all open that is pending: each is sent after three fifths of its interval at the
/// earliest.
#[allow(clippy::cast_precision_loss)]
fn beats(known: &Known) -> f64 {
    let of = |(workflow, pending): (&crate::workflows::Workflow, &u64)| {
        let shortest = workflow.activity_arns.iter().filter_map(|arn| workflow.heartbeat(arn, None)).min();
        let every = shortest.map_or(DEFAULT_HEARTBEAT, |interval| (interval * 17) / 30);
        *pending as f64 / every.max(SignedDuration::from_secs(1)).as_secs_f64()
    };
    known.workflows.iter().zip(&known.pending).map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn verdict(config: &Config, region: &str, what: &str) -> Verdict {
        let mut report = Report::default();
        check(config, region, &Known::default(), &mut report);
        report.findings.iter().find(|finding| finding.what.ends_with(what)).unwrap().verdict
    }

    #[test]
    fn rates_beyond_the_accounts_quota_are_warned_of() {
        let mut config = Config::default();
        assert_eq!(verdict(&config, "us-east-1", "SendTaskHeartbeat"), Verdict::Ok);
        // 400 by default, where AWS allows 300.
        assert_eq!(verdict(&config, "eu-central-1", "SendTaskHeartbeat"), Verdict::Warn);
        assert_eq!(verdict(&config, "eu-central-1", "SendTaskSuccess"), Verdict::Warn);
        config.worker.heartbeats_per_second = 300;
        assert_eq!(verdict(&config, "eu-central-1", "SendTaskHeartbeat"), Verdict::Ok);
        assert_eq!(verdict(&config, "eu-central-1", "GetActivityTask"), Verdict::Ok);
    }
}
