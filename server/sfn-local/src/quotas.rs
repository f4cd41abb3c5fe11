//! The service's quotas on calls: a token bucket per operation and region.
//!
//! Numbers as the developer guide's page on quotas gives them. Operations that it does not list are not throttled.

use std::collections::HashMap;

use jiff::Timestamp;

/// How many calls may come at once, and how many more each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    bucket: u32,
    refill: u32,
}

const fn quota(bucket: u32, refill: u32) -> Quota {
    Quota { bucket, refill }
}

/// The regions with the larger quotas.
const LARGE: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];

/// The quota of an operation, or `None` where it has none.
pub(crate) fn quota_of(operation: &str, region: &str) -> Option<Quota> {
    let by_region = |large, small| if LARGE.contains(&region) { large } else { small };
    Some(match operation {
        "GetActivityTask" | "SendTaskSuccess" | "SendTaskFailure" | "SendTaskHeartbeat" => {
            by_region(quota(3000, 500), quota(1500, 300))
        }
        "StartExecution" => by_region(quota(1300, 300), quota(800, 150)),
        "StopExecution" => by_region(quota(1000, 200), quota(500, 25)),
        "DescribeExecution" => by_region(quota(300, 15), quota(250, 10)),
        "ListExecutions" => by_region(quota(200, 5), quota(100, 2)),
        "GetExecutionHistory" => quota(400, 20),
        "DescribeStateMachine" => quota(200, 20),
        "DescribeActivity" | "DescribeStateMachineForExecution" | "TagResource" | "UntagResource" => quota(200, 1),
        "ListActivities" => quota(100, 10),
        "ListStateMachines" => quota(100, 5),
        "CreateActivity"
        | "DeleteActivity"
        | "CreateStateMachine"
        | "DeleteStateMachine"
        | "UpdateStateMachine"
        | "ListTagsForResource" => quota(100, 1),
        _ => return None,
    })
}

/// What is left of each quota.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    buckets: HashMap<(String, String), Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Thousandths of a call, so that a millisecond's share is whole.
    level: u64,
    seen: Timestamp,
}

impl Quotas {
    /// Takes one call; false when there is none left.
    pub(crate) fn take(&mut self, operation: &str, region: &str, now: Timestamp) -> bool {
        const CALL: u64 = 1000;
        let Some(quota) = quota_of(operation, region) else { return true };
        let full = u64::from(quota.bucket) * CALL;
        let bucket =
            self.buckets.entry((operation.to_owned(), region.to_owned())).or_insert(Bucket { level: full, seen: now });
        let elapsed = now.as_millisecond().saturating_sub(bucket.seen.as_millisecond());
        let refilled = u64::try_from(elapsed).unwrap_or(0).saturating_mul(u64::from(quota.refill));
        bucket.level = bucket.level.saturating_add(refilled).min(full);
        bucket.seen = bucket.seen.max(now);
        let left = bucket.level.checked_sub(CALL);
        bucket.level = left.unwrap_or(bucket.level);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_refills() {
        let (mut quotas, mut now) = (Quotas::default(), Timestamp::UNIX_EPOCH);
        let mut taken = |now| (0..10_000).take_while(|_| quotas.take("GetActivityTask", "eu-central-1", now)).count();
        assert_eq!(taken(now), 1500);
        now += SignedDuration::from_millis(100);
        assert_eq!(taken(now), 30);
        now += SignedDuration::from_hours(1);
        assert_eq!(taken(now), 1500);
        // A clock that goes back gives nothing.
        assert_eq!(taken(Timestamp::UNIX_EPOCH), 0);
    }

    #[test]
    fn regions_and_operations_have_their_own() {
        let (mut quotas, now) = (Quotas::default(), Timestamp::UNIX_EPOCH);
        let mut taken = |operation, region| (0..10_000).take_while(|_| quotas.take(operation, region, now)).count();
        assert_eq!(taken("SendTaskHeartbeat", "us-east-1"), 3000);
        assert_eq!(taken("SendTaskSuccess", "us-east-1"), 3000);
        assert_eq!(taken("SendTaskHeartbeat", "us-east-2"), 1500);
        assert_eq!(taken("DescribeActivity", "us-east-1"), 200);
        assert_eq!(taken("ValidateStateMachineDefinition", "us-east-1"), 10_000);
    }
}
