//! Explanations, which change nothing.

use approve_proto::v1::{
    CheckRuleRequest, CheckRuleResponse, ExplainApprovalRequest, ExplainApprovalResponse, RuleProblem,
};
use jiff::Timestamp;

use super::Approvals;
use crate::{
    approval::{explain, explain_rule},
    auth::{AuthError, Caller, Permission},
    grpc::{convert, status::ApiError},
};

impl Approvals {
    pub(super) async fn explain(
        &self,
        caller: &Caller,
        request: ExplainApprovalRequest,
    ) -> Result<ExplainApprovalResponse, ApiError> {
        let approval = self.find(caller, &request.approval_id).await?;
        let person = match &request.person {
            None => caller.person.clone(),
            Some(person) => {
                let other = person.principal != caller.person.principal.as_str();
                let may = |permission| caller.may_on(permission, &approval);
                if other && !may(Permission::Audit) && !may(Permission::Operate) {
                    return Err(AuthError::Permission(Permission::Audit).into());
                }
                convert::read_person("person", person)?
            }
        };
        let explanation = explain(&approval, Some(&person), self.operations.clock.now());
        Ok(ExplainApprovalResponse { explanation: Some(convert::explanation(explanation)) })
    }
}

pub(super) fn check_rule(request: CheckRuleRequest, now: Timestamp) -> Result<CheckRuleResponse, ApiError> {
    let rule = request.rule.ok_or_else(|| ApiError::field("rule", "expected a rule"))?;
    let rule = convert::read_rule_unchecked("rule", rule)?;
    let requester = match request.requester.as_str() {
        "" => None,
        requester => Some(convert::read_actor("requester", requester)?),
    };
    let person = request.person.map(|person| convert::read_person("person", &person)).transpose()?;
    let problems = rule.problems(requester.as_ref());
    let rule_version = rule.version();
    let accepted = problems.is_empty();
    let explanation = accepted.then(|| explain_rule(rule, requester, person.as_ref(), now));
    Ok(CheckRuleResponse {
        problems: problems
            .into_iter()
            .map(|error| RuleProblem { field: error.field, problem: error.problem })
            .collect(),
        explanation: explanation.map(convert::explanation),
        rule_version,
    })
}
