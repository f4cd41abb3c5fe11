use approve_proto::v1::{CheckRuleRequest, CheckRuleResponse, ExplainApprovalRequest, Explanation, Person, Rule};

use crate::{Client, Error};

impl Client {
    /// Says what an approval, by its id or a prefix of it, still needs, who could give it, and what a person's decision
    /// would do. Without a person: the caller. Changes nothing.
    ///
    /// # Errors
    /// Reasons [`ApprovalNotFound`](crate::Reason::ApprovalNotFound), [`AmbiguousId`](crate::Reason::AmbiguousId),
    /// [`InvalidField`](crate::Reason::InvalidField), [`PermissionMissing`](crate::Reason::PermissionMissing) to ask for
    /// somebody else.
    pub async fn explain(&self, approval_id: impl Into<String>, person: Option<Person>) -> Result<Explanation, Error> {
        let message = ExplainApprovalRequest { approval_id: approval_id.into(), person };
        self.read(
            Self::approvals,
            message,
            |mut service, request| async move { service.explain_approval(request).await },
        )
        .await?
        .explanation
        .ok_or(Error::Protocol { missing: "explanation" })
    }

    /// Says the same of a new approval of a rule that is not applied, or why the rule would be refused. An empty
    /// requester is not known; without a person nobody is looked at.
    ///
    /// # Errors
    /// Reason [`InvalidField`](crate::Reason::InvalidField) where the rule can't be read.
    pub async fn check_rule(
        &self,
        rule: Rule,
        requester: impl Into<String>,
        person: Option<Person>,
    ) -> Result<CheckRuleResponse, Error> {
        let message = CheckRuleRequest { rule: Some(rule), requester: requester.into(), person };
        self.read(Self::approvals, message, |mut service, request| async move { service.check_rule(request).await })
            .await
    }
}
