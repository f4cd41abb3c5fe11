//! `approve-server check`: whether the server would work with these settings, without serving, and without changing
//! anything. One finding a line, each with what to do.

mod aws;
mod clock;
mod quotas;
mod store;

use std::{fmt, fs, path::Path};

use jiff::Timestamp;

use crate::{
    app::AppError,
    auth::Tls,
    config::{Config, Overrides},
    stepfunctions,
};

/// What is thought of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Can't be tried without changing something.
    Skipped,
    /// Works, and may not for long.
    Warn,
    /// Does not work.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Skipped => "skip",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is thought of it.
    pub verdict: Verdict,
    /// What was looked at: a setting, an IAM action, a clock.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {:<38} {}", self.verdict, self.what, self.found)?;
        match &self.advice {
            Some(advice) => write!(f, "\n      → {advice}"),
            None => Ok(()),
        }
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, verdict: Verdict, what: impl Into<String>, found: impl Into<String>, advice: Option<String>) {
        self.findings.push(Finding { verdict, what: what.into(), found: found.into(), advice });
    }

    fn ok(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.add(Verdict::Ok, what, found, None);
    }

    fn skipped(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.add(Verdict::Skipped, what, found, None);
    }

    fn warn(&mut self, what: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Verdict::Warn, what, found, Some(advice.into()));
    }

    fn fail(&mut self, what: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Verdict::Fail, what, found, Some(advice.into()));
    }

    /// How many there are of a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

/// Looks at everything.
///
/// # Errors
/// [`AppError::Config`] where the settings can't be used.
pub async fn check(file: Option<&Path>, flags: &Overrides) -> Result<Report, AppError> {
    let config = Config::load(file, flags)?;
    let mut report = Report::default();
    report.ok("config", file.map_or_else(|| "no file".to_owned(), |file| file.display().to_string()));
    files(&config, &mut report);
    let known = store::check(&config, &mut report).await;
    let aws = stepfunctions::load_config(config.aws.region.clone(), config.aws.endpoint.clone()).await;
    let Some(region) = aws.region().map(ToString::to_string) else {
        report.fail("aws.region", "there is none", "set aws.region, AWS_REGION, or the profile's region");
        return Ok(report);
    };
    let seen = aws::check(&aws, &region, &known, &mut report).await;
    clock::check(seen, known.clock, &mut report);
    quotas::check(&config, &region, &known, &mut report);
    Ok(report)
}

/// Certificates and other files that the server reads at its start.
fn files(config: &Config, report: &mut Report) {
    if let Some(settings) = &config.tls {
        match Tls::load(settings) {
            Ok(tls) => expiry(tls.expires(), Timestamp::now(), report),
            Err(error) => report.fail("tls", chain(&error), "the server does not start like this: mend the file"),
        }
    }
    match config.audit.signing_key() {
        Ok(Some(_)) => report.ok("audit.signing_key_file", "can be read"),
        Ok(None) => {}
        Err(error) => {
            report.fail("audit.signing_key_file", chain(&error), "make one: approve-server audit-key generate")
        }
    }
    if let Some(path) = &config.telemetry.headers_file
        && let Err(error) = fs::read(path)
    {
        report.fail("telemetry.headers_file", error.to_string(), "the server has to be able to read it");
    }
}

fn expiry(ends: Timestamp, now: Timestamp, report: &mut Report) {
    let days = ends.duration_since(now).as_hours() / 24;
    let advice = "renew it in place: it is read again by itself";
    match days {
        _ if ends <= now => report.fail("tls.cert_file", format!("the certificate ended at {ends}"), advice),
        0..14 => report.warn("tls.cert_file", format!("the certificate ends in {days} days"), advice),
        _ => report.ok("tls.cert_file", format!("good for {days} days")),
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_certificate_is_warned_of_before_it_ends() {
        let now: Timestamp = "2025-06-01T00:00:00Z".parse().unwrap();
        for (hours, expected) in
            [(-1, Verdict::Fail), (1, Verdict::Warn), (24 * 13, Verdict::Warn), (24 * 14, Verdict::Ok)]
        {
            let mut report = Report::default();
            expiry(now + SignedDuration::from_hours(hours), now, &mut report);
            assert_eq!(report.findings[0].verdict, expected, "{hours} h: {:?}", report.findings);
        }
    }

    #[test]
    fn a_finding_is_a_line_and_what_to_do_another() {
        let mut report = Report::default();
        report.fail("states:GetActivityTask", "denied", "allow it");
        let text = report.findings[0].to_string();
        assert!(text.starts_with("FAIL  states:GetActivityTask "), "{text}");
        assert!(text.ends_with("denied\n      → allow it"), "{text}");
    }
}
