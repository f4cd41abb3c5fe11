//! `audit verify`: no server is needed.

use std::{fs::File, path::Path};

use approve_client::audit::{Anchor, FileError, Options, PublicKey, Report, VerifyError, verify_files};
use serde::Serialize;

use crate::{
    args::VerifyArgs,
    context::Context,
    exit::Exit,
    failure::{self, Failure},
    output::{rule::count, text},
    spec,
};

#[derive(Serialize)]
struct VerdictJson<'a> {
    verified: bool,
    problem: Option<String>,
    /// The first event that is not as it was, where it is known.
    revision: Option<i64>,
    report: Option<ReportJson<'a>>,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    events: u64,
    first: i64,
    last: i64,
    hash: &'a str,
    payloads: u64,
    approvals: u64,
    anchors: u64,
    anchors_before: u64,
}

pub(crate) fn run(context: &Context, args: &VerifyArgs) -> Result<Exit, Failure> {
    let options = options(args)?;
    let verdict = match verify_files(&args.files, &options) {
        Err(FileError { path, source: VerifyError::Io(source) }) => return Err(unreadable(&path, source)),
        verdict => verdict,
    };
    let several = args.files.len() > 1;
    if context.json() {
        print_json(context, &verdict, several)?;
    } else {
        match &verdict {
            Ok(report) => context.out.print(&in_words(report))?,
            Err(error) => {
                let style = context.out.style;
                let verdict = style.red("not verified:");
                context.out.print(&format!("{verdict} {}\n", text::line(&problem(error, several))))?;
            }
        }
    }
    if verdict.is_ok() {
        for note in limits(&options) {
            context.out.note(note);
        }
    }
    Ok(match verdict {
        Ok(_) => Exit::Ok,
        Err(FileError { source: VerifyError::NotAnExport { .. }, .. }) => Exit::InvalidInput,
        Err(_) => Exit::NotVerified,
    })
}

/// What is wrong; of several files, with which.
fn problem(error: &FileError, several: bool) -> String {
    if several { failure::line(error) } else { failure::line(&error.source) }
}

fn options(args: &VerifyArgs) -> Result<Options, Failure> {
    let mut options = Options::default();
    for path in &args.anchors {
        let read = Anchor::read_all(open(path)?);
        options.anchors.extend(read.map_err(|error| wrong(path, &error))?);
    }
    if let Some(path) = &args.public_key {
        let key = PublicKey::from_pem(&spec::read_text(path)?).map_err(|error| wrong(path, &error))?;
        options.public_keys.push(key);
    }
    Ok(options)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> Failure {
    Failure::Read { what: format!("can't read {}", path.display()), source }
}

fn wrong(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::input(format!("{}: {}", path.display(), failure::line(error)))
}

fn in_words(report: &Report) -> String {
    let payloads = match report.payloads {
        0 => "no payloads".to_owned(),
        n => format!("{} as recorded", count(n, "payload")),
    };
    let events = match report.events {
        0 => "no events".to_owned(),
        n => format!("{}, {} to {}", count(n, "event"), report.first, report.last),
    };
    let mut words = format!("verified: {events}; {payloads}");
    if report.approvals > 0 {
        words += &format!("; {} as recorded", count(report.approvals, "archived approval"));
    }
    match report.anchors {
        0 => {}
        1 => words += "; 1 anchor agrees",
        n => words += &format!("; {n} anchors agree"),
    }
    if report.anchors_before > 0 {
        words += &format!("; {} of events before these", count(report.anchors_before, "anchor"));
    }
    words + &format!("\nhash {}\n", text::line(&report.hash))
}

/// What a verified file does not show.
fn limits(options: &Options) -> Vec<&'static str> {
    if options.anchors.is_empty() {
        vec!["without an --anchor, a record that was rewritten, or cut short before its export, looks whole"]
    } else if options.public_keys.is_empty() {
        vec!["without a --public-key, nobody has looked at who signed the anchors"]
    } else {
        Vec::new()
    }
}

fn print_json(context: &Context, verdict: &Result<Report, FileError>, several: bool) -> Result<(), Failure> {
    context.out.print_json(&VerdictJson {
        verified: verdict.is_ok(),
        problem: verdict.as_ref().err().map(|error| problem(error, several)),
        revision: verdict.as_ref().err().and_then(|error| error.source.revision()),
        report: verdict.as_ref().ok().map(|report| ReportJson {
            events: report.events,
            first: report.first,
            last: report.last,
            hash: &report.hash,
            payloads: report.payloads,
            approvals: report.approvals,
            anchors: report.anchors,
            anchors_before: report.anchors_before,
        }),
    })
}
