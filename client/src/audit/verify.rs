use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use super::{
    Anchor, FileError, PublicKey, VerifyError,
    archive::{self, Archive},
    line::{FOOTER, Footer, Header, Line, Place, VERSION, ZERO, chained, hex_digest},
};

/// The longest line that is read: no event with its payloads is.
const MAX_LINE: u64 = 64 << 20;

/// What an exported record is compared with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Anchors that were taken before.
    pub anchors: Vec<Anchor>,
    /// The keys that may have signed them. None: their signatures are not looked at.
    pub public_keys: Vec<PublicKey>,
}

/// What was found of a record in which nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many events there are.
    pub events: u64,
    /// The first one's revision.
    pub first: i64,
    /// The last one's revision.
    pub last: i64,
    /// Its hash.
    pub hash: String,
    /// How many payloads are there, and are what was recorded.
    pub payloads: u64,
    /// How many approvals that were archived are what was recorded of them.
    pub approvals: u64,
    /// How many anchors agree.
    pub anchors: u64,
    /// How many anchors are of events before the first one, and tell nothing of this file.
    pub anchors_before: u64,
}

/// Checks an exported record: that each event is what was recorded, that none is missing, none was added, and none
/// moved; and that it is the record that was anchored. Reads line by line, and holds one or two of them in memory.
///
/// A record from which the end was cut before it was exported looks whole, unless an anchor is of what was cut.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(reader: impl BufRead, options: &Options) -> Result<Report, VerifyError> {
    let mut check = Check::new(options)?;
    check.file(Lines { reader, number: 0 })?;
    check.end()
}

/// Checks files as one record, each of which follows on the one before it: what a server archived, and an export of the
/// rest. Files of approvals that were archived may be among them, in any place: each approval is compared with its
/// record, and some hundred bytes of each are held in memory.
///
/// # Errors
/// The first thing that is wrong, and the file that it was found in.
pub fn verify_files(paths: &[PathBuf], options: &Options) -> Result<Report, FileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source: VerifyError| FileError { path, source }
    };
    let open = |path: &Path| -> Result<(bool, BufReader<File>), VerifyError> {
        let mut reader = BufReader::new(File::open(path)?);
        let is_archive = reader.fill_buf()?.starts_with(archive::BEGINNING);
        Ok((is_archive, reader))
    };
    let last = paths.last().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let mut check = Check::new(options).map_err(failed(last))?;
    let mut records = Vec::new();
    for path in paths {
        let (is_archive, reader) = open(path).map_err(failed(path))?;
        if is_archive {
            check.archive.read(&path.display().to_string(), reader).map_err(failed(path))?;
        } else {
            records.push(path);
        }
    }
    for path in records {
        let (_, reader) = open(path).map_err(failed(path))?;
        check.file(Lines { reader, number: 0 }).map_err(failed(path))?;
    }
    check.end().map_err(failed(last))
}

fn header<R: BufRead>(lines: &mut Lines<R>) -> Result<Header, VerifyError> {
    let first_line = lines.next()?.ok_or_else(|| not_an_export("the file is empty"))?;
    let header: Header = serde_json::from_str(&first_line).map_err(|error| not_an_export(&error.to_string()))?;
    if header.approve_audit != VERSION {
        return Err(not_an_export(&format!("version {} is not known", header.approve_audit)));
    }
    if header.from < 1 || (header.from == 1 && header.previous_hash != ZERO) {
        return Err(not_an_export("it does not begin where a record does"));
    }
    Ok(header)
}

fn not_an_export(problem: &str) -> VerifyError {
    VerifyError::NotAnExport { problem: problem.to_owned() }
}

struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, VerifyError> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        // What is no text is no JSON either.
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// A line that is an event, or the last.
enum Read {
    Event { revision: i64, record: String, hash: String, payloads: BTreeMap<String, String> },
    End(Footer),
}

fn read(text: &str) -> Result<Read, serde_json::Error> {
    if text.starts_with(FOOTER) {
        return serde_json::from_str(text).map(Read::End);
    }
    let Line { hash, record, payloads } = serde_json::from_str(text)?;
    let Place { revision } = serde_json::from_str(record.get())?;
    Ok(Read::Event { revision, record: record.get().to_owned(), hash, payloads })
}

struct Check<'a> {
    anchors: BTreeMap<i64, Vec<&'a Anchor>>,
    archive: Archive,
    /// `None` before the first file.
    report: Option<Report>,
    /// The newest revision at which an anchor agrees.
    agrees: Option<i64>,
}

impl<'a> Check<'a> {
    fn new(options: &'a Options) -> Result<Self, VerifyError> {
        let mut anchors: BTreeMap<i64, Vec<&Anchor>> = BTreeMap::new();
        for anchor in &options.anchors {
            if !options.public_keys.is_empty() && !anchor.is_signed_by(&options.public_keys) {
                return Err(VerifyError::BadAnchor { revision: anchor.revision });
            }
            anchors.entry(anchor.revision).or_default().push(anchor);
        }
        Ok(Self { anchors, archive: Archive::default(), report: None, agrees: None })
    }

    /// What is found so far, of files of which the next one begins like this.
    fn begin(&mut self, header: &Header) -> Result<Report, VerifyError> {
        if let Some(report) = self.report.take() {
            if header.from != report.last + 1 || header.previous_hash != report.hash {
                return Err(VerifyError::NotContinued { last: report.last, first: header.from });
            }
            return Ok(report);
        }
        let since = self.anchors.split_off(&(header.from - 1));
        let before = std::mem::replace(&mut self.anchors, since);
        let mut report = Report {
            events: 0,
            first: header.from,
            last: header.from - 1,
            hash: header.previous_hash.clone(),
            payloads: 0,
            approvals: 0,
            anchors: 0,
            anchors_before: before.values().map(|same| same.len() as u64).sum(),
        };
        self.compare(&mut report)?;
        Ok(report)
    }

    fn file<R: BufRead>(&mut self, mut lines: Lines<R>) -> Result<(), VerifyError> {
        let header = header(&mut lines)?;
        let mut report = self.begin(&header)?;
        loop {
            let due = report.last + 1;
            let Some(text) = lines.next()? else { return Err(VerifyError::CutShort { last: report.last }) };
            let line = lines.number;
            let unreadable =
                |error: serde_json::Error| VerifyError::Unreadable { line, revision: due, problem: error.to_string() };
            match read(&text).map_err(unreadable)? {
                Read::End(footer) => {
                    end_of_file(&report, &footer, lines)?;
                    self.report = Some(report);
                    return Ok(());
                }
                Read::Event { revision, record, hash, payloads } => {
                    let follows = chained(&report.hash, &record) == hash;
                    if revision != due {
                        return Err(misplaced(due, revision, &hash, follows, lines));
                    }
                    if !follows {
                        return Err(VerifyError::Changed { revision, line });
                    }
                    report.payloads += check_payloads(revision, line, &record, &payloads)?;
                    self.archive.hear(&record).map_err(unreadable)?;
                    report.last = revision;
                    report.hash = hash;
                    report.events += 1;
                    self.compare(&mut report)?;
                }
            }
        }
    }

    /// Compares the newest event with its anchors.
    fn compare(&mut self, report: &mut Report) -> Result<(), VerifyError> {
        let revision = report.last;
        for anchor in self.anchors.remove(&revision).unwrap_or_default() {
            if anchor.hash != report.hash {
                return Err(VerifyError::Forked { anchor: revision, agrees: self.agrees });
            }
            report.anchors += 1;
            self.agrees = Some(revision);
        }
        Ok(())
    }

    fn end(self) -> Result<Report, VerifyError> {
        let mut report = self.report.ok_or_else(|| not_an_export("there is no record"))?;
        if let Some(anchor) = self.anchors.keys().next_back() {
            return Err(VerifyError::Truncated { last: report.last, anchor: *anchor });
        }
        report.approvals = self.archive.compare()?;
        Ok(report)
    }
}

/// How many payloads a line has, all of which are of its event.
fn check_payloads(
    revision: i64,
    line: u64,
    record: &str,
    payloads: &BTreeMap<String, String>,
) -> Result<u64, VerifyError> {
    for (digest, text) in payloads {
        let is_named = record.contains(&format!("_sha256\":\"{digest}\""));
        if !is_named || hex_digest([text.as_str()]) != *digest {
            return Err(VerifyError::Payload { revision, line, digest: digest.clone() });
        }
    }
    Ok(payloads.len() as u64)
}

/// Whether a file ends as it says.
fn end_of_file<R: BufRead>(report: &Report, footer: &Footer, mut lines: Lines<R>) -> Result<(), VerifyError> {
    let last = report.last;
    if footer.to > last {
        return Err(VerifyError::Removed { first: last + 1, last: footer.to, line: lines.number });
    }
    let fits = footer.approve_audit_end == VERSION && footer.to == last && footer.hash == report.hash;
    if !fits || lines.next()?.is_some() {
        return Err(VerifyError::CutShort { last });
    }
    Ok(())
}

/// What became of the event that is due where there is another one. What comes after it tells.
fn misplaced<R: BufRead>(due: i64, found: i64, hash: &str, follows: bool, mut lines: Lines<R>) -> VerifyError {
    let at = lines.number;
    let mut is_next = true;
    loop {
        let text = match lines.next() {
            Ok(Some(text)) => text,
            Ok(None) => break,
            Err(error) => return error,
        };
        match read(&text) {
            Ok(Read::Event { revision, record, hash: next, .. }) => {
                let goes_on = revision == due + 1 && (follows || chained(hash, &record) == next);
                if is_next && goes_on {
                    return VerifyError::Changed { revision: due, line: at };
                }
                if found > due && revision == due {
                    return VerifyError::Moved { revision: due, line: lines.number };
                }
            }
            Ok(Read::End(footer)) if is_next && footer.to == due => {
                return VerifyError::Changed { revision: due, line: at };
            }
            Ok(Read::End(_)) | Err(_) => {}
        }
        if found < due {
            break;
        }
        is_next = false;
    }
    if found > due {
        VerifyError::Removed { first: due, last: found - 1, line: at }
    } else {
        VerifyError::Inserted { revision: found, line: at }
    }
}
