use approve_client::{
    Decision,
    proto::{ApproverSet, CommentPolicy, ExpiryAction, RejectAction, Stage, StageOrder},
};

use super::*;

const FULL: &str = r#"
    name = "invoices"
    activity_name = "InvoiceApproval"
    [state_machine]
    name = "Invoices"
    definition_file = "invoices.asl.json"
    timeout_seconds = 3600
    heartbeat_seconds = 60
    tracing = true
    [state_machine.logging]
    level = "error"
    log_group = "arn:aws:logs:eu-west-1:123456789012:log-group:g:*"
    [role]
    name = "invoices-role"
    path = "/team/"
    managed_policies = []
    inline_policies = { send = "send.json" }
    permissions_boundary = "arn:aws:iam::123456789012:policy/b"
    [activities]
    legal = "LegalApproval"
    [encryption]
    kms_key = "alias/approvals"
    data_key_reuse_seconds = 60
    [rule]
    approvers = ["group:finance"]
    required = 2
    rejections = 1
    allow_self_approval = false
    comment = "on_reject"
    expires_after = "1h 30m"
    on_expiry = "reject"
    on_reject = "output"
    [tags]
    team = "billing"
"#;

const STAGES: &str = r#"
    order = "parallel"
    allow_repeat_approvers = true
    response_schema = '{"type": "object", "maximum": 1200.50}'
    expires_after = "2d"
    on_expiry = "postpone"
    remind_after = ["1h", "4h"]
    trust_task_input = true

    [[stage]]
    name = "finance"
    approvers = [["group:finance", "user:ana"], ["group:berlin"]]
    required = 2
    [[stage]]
    name = "legal"

    [[outcome]]
    name = "postpone"
    label = "Ask again next month"
    decision = "reject"

    [[escalation]]
    after = "90m"
    approvers = ["user:boss"]
    stage = "legal"

    [[freeze]]
    from = 2026-12-24T00:00:00+01:00
    until = "2026-12-27T00:00:00Z"
    except = ["group:oncall"]
    reason = "holidays"
"#;

fn named(file: &Path) -> Result<String, Failure> {
    Ok(format!("<{}>", file.display()))
}

fn parse_text(text: &str) -> Result<WorkflowSpec, String> {
    parse(text, &named).map_err(|error| error.to_string())
}

fn rule_error(text: &str) -> String {
    parse_rule(text, &named).map_err(|error| error.to_string()).unwrap_err()
}

fn set(names: &[&str]) -> ApproverSet {
    ApproverSet { any_of: names.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn every_key_reaches_the_spec() {
    let spec = parse_text(FULL).unwrap();
    assert_eq!(spec.name, "invoices");
    assert_eq!(spec.activity_name, "InvoiceApproval");
    assert_eq!(spec.tags["team"], "billing");
    let machine = spec.state_machine.unwrap();
    assert_eq!(machine.name, "Invoices");
    assert_eq!(machine.definition, "<invoices.asl.json>");
    assert_eq!(machine.timeout.unwrap().seconds, 3600);
    assert_eq!(machine.heartbeat.unwrap().seconds, 60);
    let role = spec.role.unwrap();
    assert_eq!((role.name.as_str(), role.managed_policy_arns.len()), ("invoices-role", 0));
    assert_eq!(role.path, "/team/");
    assert_eq!(role.inline_policies["send"], "<send.json>");
    assert_eq!(role.permissions_boundary_arn, "arn:aws:iam::123456789012:policy/b");
    assert_eq!((machine.logging.unwrap().level.as_str(), machine.tracing), ("ERROR", true));
    assert_eq!(spec.more_activities["legal"], "LegalApproval");
    assert_eq!(spec.encryption.unwrap().data_key_reuse.unwrap().seconds, 60);
    let rule = spec.rule.unwrap();
    assert_eq!(rule.stages[0].approver_sets[0].any_of, ["group:finance"]);
    assert_eq!((rule.stages[0].required_approvals, rule.required_rejections), (2, 1));
    assert_eq!(rule.comment_policy(), CommentPolicy::OnReject);
    assert_eq!(rule.expire_after.unwrap().seconds, 5400);
    assert_eq!(rule.expiry_action(), ExpiryAction::Reject);
    assert_eq!(rule.reject_action(), RejectAction::Output);
}

#[test]
fn every_key_of_a_rule_reaches_it() {
    let rule = parse_rule(STAGES, &named).unwrap();
    assert_eq!(
        rule.stages,
        [
            Stage {
                name: "finance".into(),
                approver_sets: vec![set(&["group:finance", "user:ana"]), set(&["group:berlin"])],
                required_approvals: 2,
            },
            Stage { name: "legal".into(), approver_sets: vec![], required_approvals: 0 },
        ]
    );
    assert_eq!(rule.stage_order(), StageOrder::Parallel);
    assert!(rule.allow_repeat_approvers && rule.trust_task_input);
    assert_eq!(rule.response_schema_json, r#"{"type": "object", "maximum": 1200.50}"#);
    assert_eq!((rule.expiry_action(), rule.expiry_outcome.as_str()), (ExpiryAction::Outcome, "postpone"));
    assert_eq!(rule.remind_after.iter().map(|after| after.seconds).collect::<Vec<_>>(), [3600, 14_400]);
    let outcome = &rule.outcomes[0];
    assert_eq!((outcome.name.as_str(), outcome.label.as_str()), ("postpone", "Ask again next month"));
    assert_eq!(outcome.decision(), Decision::Reject);
    let escalation = &rule.escalations[0];
    assert_eq!((escalation.after.unwrap().seconds, escalation.stage.as_str()), (5400, "legal"));
    assert_eq!(escalation.approvers, Some(set(&["user:boss"])));
    let freeze = &rule.freezes[0];
    assert_eq!((freeze.start_time.unwrap().seconds, freeze.end_time.unwrap().seconds), (1_798_066_800, 1_798_329_600));
    assert_eq!((freeze.except.clone(), freeze.reason.as_str()), (Some(set(&["group:oncall"])), "holidays"));
}

#[test]
fn a_rule_is_found_in_a_spec_and_in_a_file_of_its_own() {
    let alone = parse_rule("approvers = ['group:a']\nrequired = 2", &named).unwrap();
    let within = parse_rule("name = 'x'\n[rule]\napprovers = ['group:a']\nrequired = 2", &named).unwrap();
    assert_eq!(alone, within);
    assert_eq!(parse_rule("name = 'x'", &named).unwrap(), Rule::default());
}

#[test]
fn what_is_left_out_is_left_to_the_server() {
    let spec = parse_text("name = 'a'").unwrap();
    assert_eq!((spec.role, spec.rule, spec.state_machine), (None, None, None));
}

#[test]
fn a_wrong_key_is_named_with_its_line() {
    let error = parse_text("name = 'a'\n[rule]\napprover = ['x']\n").unwrap_err();
    assert!(error.starts_with("line 3: unknown field `approver`"), "{error}");
    let error = parse_text("name = 'a'\n[rule]\ncomment = 'maybe'\n").unwrap_err();
    assert!(error.contains("maybe") && error.contains("on_reject"), "{error}");
    let error = parse_text("name = 'a'\n[rule]\nexpires_after = 'soon'\n").unwrap_err();
    assert!(error.starts_with("line 3: rule.expires_after \"soon\": "), "{error}");
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    for (text, said) in [
        ("on_expiry = 'later'", "line 1: on_expiry \"later\": it is expire, reject, approve, or the name"),
        ("\nremind_after = ['1h', 'x']", "line 2: remind_after \"x\": not a time such as"),
        ("approvers = [['a'], 'b']", "line 1: approvers is a list of names"),
        ("required = 2\n[[stage]]\nname = 'a'", "line 1: required: where there are stages"),
        ("approvers = ['a']\n[[stage]]\nname = 'a'", "line 1: approvers: where there are stages"),
        ("response_schema = '{'", "line 1: response_schema: not JSON: EOF"),
        ("\nresponse_schema_file = 'a.json'", "line 2: response_schema_file \"a.json\": not JSON"),
        (
            "response_schema = '{}'\nresponse_schema_file = 'a'",
            "line 2: response_schema_file: the schema is given twice",
        ),
        ("[[freeze]]\nfrom = 2026-12-24\nuntil = 1", "line 2: freeze.from \"2026-12-24\": not a time with an offset"),
        ("[[freeze]]\nfrom = 2026-12-24T00:00:00Z\nuntil = 1", "line 3: freeze.until \"1\": "),
        ("[[escalation]]\napprovers = []\nafter = '-1h'", "line 3: escalation.after \"-1h\": it must not be negative"),
        ("[[outcome]]\nname = 'a'\ndecision = 'maybe'", "line 3: unknown variant `maybe`"),
    ] {
        let error = rule_error(text);
        assert!(error.starts_with(said), "{text}\n{error}");
    }
}
