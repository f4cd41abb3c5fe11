use approve_proto::v1::{Approval, DecideRequest, Decision};
use uuid::Uuid;

/// One person's decision, with a request id of its own: the same value may be sent as often as needed, and counts once.
///
/// ```
/// use approve_client::Decide;
///
/// let decide = Decide::reject("apr_01j9zq4m8k7v2c5x3n6b1w0tyd").comment("the amount is wrong");
/// assert_eq!(decide.request_id(), decide.clone().request_id());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Decide(DecideRequest);

impl Decide {
    /// A decision on the approval of this whole id.
    pub fn new(approval_id: impl Into<String>, decision: Decision) -> Self {
        Self(DecideRequest {
            approval_id: approval_id.into(),
            decision: decision.into(),
            request_id: Uuid::new_v4().to_string(),
            ..DecideRequest::default()
        })
    }

    /// For it.
    pub fn approve(approval_id: impl Into<String>) -> Self {
        Self::new(approval_id, Decision::Approve)
    }

    /// Against it.
    pub fn reject(approval_id: impl Into<String>) -> Self {
        Self::new(approval_id, Decision::Reject)
    }

    /// One of the rule's own outcomes, by its name; whether that is for or against, the rule says.
    pub fn outcome(approval_id: impl Into<String>, outcome: impl Into<String>) -> Self {
        let mut decide = Self::new(approval_id, Decision::Unspecified);
        decide.0.outcome = outcome.into();
        decide
    }

    /// Why. At most 4,096 bytes.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.0.comment = comment.into();
        self
    }

    /// Answers to what the approval asked, as JSON text, which goes to the workflow as it is. At most 65,536 bytes.
    pub fn response_json(mut self, json: impl Into<String>) -> Self {
        self.0.response_json = json.into();
        self
    }

    /// Decides only if the approval's etag is still this one.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.0.etag = etag.into();
        self
    }

    /// Whether the answer waits until the workflow has heard of the decision, or the call's deadline is near. The
    /// approval's `delivery` tells which. Default: no.
    pub fn wait_for_delivery(mut self, wait: bool) -> Self {
        self.0.wait_for_delivery = wait;
        self
    }

    /// Takes a request id from elsewhere, so that a decision may be repeated by another process. 1 to 128 bytes of
    /// printable ASCII.
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.request_id = request_id.into();
        self
    }

    /// The request id: made with the value, unless another was given.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }
}

impl From<Decide> for DecideRequest {
    fn from(decide: Decide) -> Self {
        decide.0
    }
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decided {
    /// The approval after it; for a repeated request as the first one left it.
    pub approval: Approval,
    /// The revision of the decision.
    pub revision: i64,
}

impl Decided {
    pub(crate) fn new(approval: Approval, revision: i64) -> Self {
        Self { approval, revision }
    }
}
