use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Replay, VerifyError, line::hex_digest};

/// How the lines of approvals begin that were archived.
pub(super) const BEGINNING: &[u8] = b"{\"approval\":";

/// An approval as it was archived.
#[derive(Deserialize)]
struct Line {
    approval: String,
    revision: i64,
    request: Request,
    input: String,
    state: State,
}

#[derive(Deserialize)]
struct Request {
    title: String,
    #[serde(default)]
    description: String,
    requester: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct State {
    status: String,
    #[serde(default)]
    votes: Vec<Vote>,
}

#[derive(Deserialize)]
struct Vote {
    voter: String,
    decision: Box<RawValue>,
    outcome: Option<String>,
    #[serde(default)]
    comment: String,
    response: Option<String>,
}

/// What is read of an event of an approval.
#[derive(Deserialize)]
struct Event<'a> {
    revision: i64,
    approval: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Asked {
    title: String,
    description_sha256: String,
    input_sha256: String,
    requester: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Voted {
    vote: ToldVote,
}

#[derive(Deserialize)]
struct ToldVote {
    voter: String,
    decision: Box<RawValue>,
    outcome: Option<String>,
    #[serde(default)]
    comment: String,
    response_sha256: Option<String>,
}

fn digest_of_request(
    title: &str,
    description: &str,
    input: &str,
    requester: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> String {
    hex_digest([format!("{title:?} {description} {input} {requester:?} {labels:?}").as_str()])
}

fn digest_of_vote(
    voter: &str,
    decision: &RawValue,
    outcome: Option<&str>,
    comment: &str,
    response: Option<&str>,
) -> String {
    hex_digest([format!("{voter:?} {decision} {outcome:?} {comment:?} {response:?}").as_str()])
}

/// Approvals that were archived, and what the record says of them so far.
#[derive(Debug, Default)]
pub(super) struct Archive {
    approvals: BTreeMap<String, Archived>,
}

#[derive(Debug)]
struct Archived {
    line: u64,
    file: String,
    revision: i64,
    request: String,
    status: String,
    votes: Vec<String>,
    /// By the record.
    told: Told,
}

#[derive(Debug, Default)]
struct Told {
    request: Option<String>,
    replay: Replay,
    votes: BTreeSet<String>,
    last: i64,
}

impl Archive {
    /// Takes the approvals of a file.
    pub(super) fn read(&mut self, file: &str, reader: impl BufRead) -> Result<(), VerifyError> {
        for (line, text) in (1..).zip(reader.lines()) {
            let approval = String::new();
            let unreadable = |problem: String| VerifyError::Archived { approval, file: file.to_owned(), line, problem };
            let Line { approval, revision, request, input, state } =
                serde_json::from_str(&text?).map_err(|error| unreadable(error.to_string()))?;
            let Request { title, description, requester, labels } = request;
            let (description, input) = (hex_digest([description.as_str()]), hex_digest([input.as_str()]));
            let votes = state.votes.iter().map(|Vote { voter, decision, outcome, comment, response }| {
                let response = response.as_deref().map(|response| hex_digest([response]));
                digest_of_vote(voter, decision, outcome.as_deref(), comment, response.as_deref())
            });
            let archived = Archived {
                line,
                file: file.to_owned(),
                revision,
                request: digest_of_request(&title, &description, &input, requester.as_deref(), &labels),
                status: state.status,
                votes: votes.collect(),
                told: Told::default(),
            };
            if self.approvals.contains_key(&approval) {
                let problem = "it was archived before".to_owned();
                return Err(VerifyError::Archived { approval, file: file.to_owned(), line, problem });
            }
            self.approvals.insert(approval, archived);
        }
        Ok(())
    }

    /// Takes the next record.
    pub(super) fn hear(&mut self, record: &str) -> Result<(), serde_json::Error> {
        if self.approvals.is_empty() {
            return Ok(());
        }
        let event: Event<'_> = serde_json::from_str(record)?;
        let Some(archived) = event.approval.and_then(|approval| self.approvals.get_mut(&approval)) else {
            return Ok(());
        };
        let told = &mut archived.told;
        // An order that can't be is found by the status that it leads to.
        let _ = told.replay.apply(record);
        if event.kind != "refused" {
            told.last = event.revision;
        }
        match (event.kind.as_str(), event.detail) {
            ("requested" | "invalid", Some(detail)) => {
                let asked: Asked = serde_json::from_str(detail.get())?;
                let Asked { title, description_sha256, input_sha256, requester, labels } = asked;
                let requester = requester.as_deref();
                let digest = digest_of_request(&title, &description_sha256, &input_sha256, requester, &labels);
                told.request = Some(digest);
            }
            ("voted", Some(detail)) => {
                let Voted { vote } = serde_json::from_str(detail.get())?;
                let ToldVote { voter, decision, outcome, comment, response_sha256 } = vote;
                let response = response_sha256.as_deref();
                told.votes.insert(digest_of_vote(&voter, &decision, outcome.as_deref(), &comment, response));
            }
            _ => {}
        }
        Ok(())
    }

    /// How many approvals there are, all of which are what the record says.
    pub(super) fn compare(self) -> Result<u64, VerifyError> {
        let count = self.approvals.len() as u64;
        for (approval, archived) in self.approvals {
            if let Some(problem) = archived.problem() {
                let Archived { file, line, .. } = archived;
                return Err(VerifyError::Archived { approval, file, line, problem: problem.to_owned() });
            }
        }
        Ok(count)
    }
}

impl Archived {
    fn problem(&self) -> Option<&'static str> {
        let Told { request, replay, votes, last } = &self.told;
        let status = replay.status.map(|status| status.as_str_name().trim_start_matches("APPROVAL_STATUS_"));
        match request {
            None => Some("these files do not hold its record"),
            Some(request) if *request != self.request => Some("it was not asked like this"),
            Some(_) if status != Some(self.status.as_str()) => Some("it did not end like this"),
            Some(_) if *last != self.revision => Some("its last event is another one"),
            Some(_) if self.votes.iter().any(|vote| !votes.contains(vote)) => Some("nobody voted like this"),
            Some(_) => None,
        }
    }
}
