//! Whether clocks agree. Deadlines count from when a state was entered, by AWS's clock; and AWS refuses requests that were
//! signed five minutes off.

use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{SdkConfig, retry::RetryConfig};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};

use super::{Report, store::Reading};
use crate::stepfunctions::{CallError, call_timeouts, classify};

/// What is not worth a word: HTTP's dates have seconds.
const FINE: SignedDuration = SignedDuration::from_secs(2);
/// What AWS refuses, and a little before.
const REFUSED: SignedDuration = SignedDuration::from_secs(240);

/// What AWS's clock said, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    aws: Timestamp,
    here: Timestamp,
}

/// Notes the date of answers, also of those that refuse.
#[derive(Debug, Clone, Default)]
struct Dates(Arc<Mutex<Option<Seen>>>);

impl Intercept for Dates {
    fn name(&self) -> &'static str {
        "Dates"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(aws) = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { aws, here: Timestamp::now() });
        }
        Ok(())
    }
}

/// Asks AWS whose credentials these are: account and ARN. And what its clock says.
pub(super) async fn identify(aws: &SdkConfig) -> (Result<(String, String), CallError>, Option<Seen>) {
    let dates = Dates::default();
    let config = aws_sdk_sts::config::Builder::from(aws)
        .retry_config(RetryConfig::disabled())
        .timeout_config(call_timeouts())
        .interceptor(dates.clone())
        .build();
    let answer = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
    let seen = *dates.0.lock().unwrap_or_else(PoisonError::into_inner);
    let identity = answer
        .map(|identity| (identity.account.unwrap_or_default(), identity.arn.unwrap_or_default()))
        .map_err(|error| classify("GetCallerIdentity", &error, &[]));
    (identity, seen)
}

pub(super) fn check(aws: Option<Seen>, database: Option<Reading>, report: &mut Report) {
    match aws {
        Some(Seen { aws, here }) => judge("clock, AWS's", here.duration_since(aws), report),
        None => report.skipped("clock, AWS's", "not compared: there was no answer with a date"),
    }
    if let Some(Reading { there, here }) = database {
        judge("clock, the database's", here.duration_since(there), report);
    }
}

/// How far this computer is ahead.
fn judge(what: &str, ahead: SignedDuration, report: &mut Report) {
    let apart = ahead.abs();
    let found = match ahead.is_negative() {
        true => format!("this computer is {:.1} s behind", apart.as_secs_f64()),
        false => format!("this computer is {:.1} s ahead", apart.as_secs_f64()),
    };
    let advice = "synchronise this computer's clock (chrony, systemd-timesyncd)";
    if apart <= FINE {
        report.ok(what, "agrees within two seconds");
    } else if apart < REFUSED {
        report.warn(what, found, format!("deadlines come that much off: {advice}"));
    } else {
        report.fail(what, found, format!("AWS refuses requests that are five minutes off: {advice}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    #[test]
    fn clocks_that_differ_are_told_of() {
        for (millis, expected) in [
            (900, Verdict::Ok),
            (-2_000, Verdict::Ok),
            (2_100, Verdict::Warn),
            (-60_000, Verdict::Warn),
            (240_000, Verdict::Fail),
            (-3_600_000, Verdict::Fail),
        ] {
            let mut report = Report::default();
            judge("clock", SignedDuration::from_millis(millis), &mut report);
            assert_eq!(report.findings[0].verdict, expected, "{millis}");
        }
    }
}
