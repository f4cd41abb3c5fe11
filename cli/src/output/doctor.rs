use std::fmt::Write as _;

use serde::Serialize;

use super::{style::Style, text};
use crate::exit::Exit;

/// What was found about one thing.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub name: &'static str,
    pub verdict: Verdict,
    pub what: String,
    /// What to do.
    pub advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Warn,
    /// And how the program ends for it.
    Fail(Exit),
    Skip,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail(_) => "fail",
            Self::Skip => "skip",
        }
    }
}

impl Finding {
    fn new(name: &'static str, verdict: Verdict, what: impl Into<String>) -> Self {
        Self { name, verdict, what: what.into(), advice: None }
    }

    pub(crate) fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, what)
    }

    pub(crate) fn warn(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, what)
    }

    pub(crate) fn fail(name: &'static str, what: impl Into<String>, exit: Exit) -> Self {
        Self::new(name, Verdict::Fail(exit), what)
    }

    pub(crate) fn skip(name: &'static str, what: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skip, what)
    }

    /// Says what to do; nothing if that is empty.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into()).filter(|advice| !advice.is_empty());
        self
    }
}

/// Everything that was found, in order.
#[derive(Default)]
pub(crate) struct Report(Vec<Finding>);

#[derive(Serialize)]
pub(crate) struct FindingJson<'a> {
    check: &'static str,
    status: &'static str,
    message: &'a str,
    advice: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct ReportJson<'a> {
    status: &'static str,
    checks: Vec<FindingJson<'a>>,
}

impl Report {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// That of the first failure.
    pub(crate) fn exit(&self) -> Exit {
        let exit = |finding: &Finding| match finding.verdict {
            Verdict::Fail(exit) => Some(exit),
            _ => None,
        };
        self.0.iter().find_map(exit).unwrap_or(Exit::Ok)
    }

    fn worst(&self) -> &'static str {
        if self.exit() != Exit::Ok {
            return "fail";
        }
        if self.0.iter().any(|finding| finding.verdict == Verdict::Warn) { "warn" } else { "ok" }
    }

    pub(crate) fn json(&self) -> ReportJson<'_> {
        let checks = self.0.iter().map(|finding| FindingJson {
            check: finding.name,
            status: finding.verdict.name(),
            message: &finding.what,
            advice: finding.advice.as_deref(),
        });
        ReportJson { status: self.worst(), checks: checks.collect() }
    }

    pub(crate) fn page(&self, style: Style) -> String {
        let mut page = String::new();
        for Finding { name, verdict, what, advice } in &self.0 {
            let label = format!("{:<4}", verdict.name());
            let label = match verdict {
                Verdict::Ok => style.green(&label),
                Verdict::Warn => style.yellow(&label),
                Verdict::Fail(_) => style.red(&label),
                Verdict::Skip => style.dim(&label),
            };
            let _ = writeln!(page, "{label}  {name:<10}  {}", text::line(what));
            if let Some(advice) = advice {
                let _ = writeln!(page, "{:18}{}", "", style.dim(&text::line(advice)));
            }
        }
        page
    }
}
