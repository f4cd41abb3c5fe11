//! State machines, their executions and roles.

use std::time::Duration;

use serde_json::{Value, json};
use sfn_local::{
    asl,
    engine::{
        CreateStateMachine, EngineOptions, ExecutionFilter, ExecutionStatus, StartExecution, StateMachineStatus,
        UpdateStateMachine,
    },
    iam::CreateRole,
};

use crate::support::{Account, code};

fn definition(result: &Value) -> Value {
    json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": result, "End": true}}})
}

#[test]
fn creating_again_is_idempotent_but_for_the_definition() {
    let mut account = Account::new();
    let arn = account.create("M", &definition(&json!(1))).unwrap();
    assert_eq!(account.create("M", &definition(&json!(1))).unwrap(), arn);
    let request = CreateStateMachine {
        name: "M".to_owned(),
        definition: definition(&json!(1)).to_string(),
        role_arn: "arn:aws:iam::000000000000:role/Other".to_owned(),
        tags: [("k".to_owned(), "v".to_owned())].into_iter().collect(),
        ..CreateStateMachine::default()
    };
    let again = account.engine.create_state_machine("us-east-1", request, account.now).unwrap();
    assert_eq!(again.current.role_arn.as_ref(), "arn:aws:iam::000000000000:role/R");
    assert!(account.engine.list_tags(&arn, account.now).unwrap().is_empty());
    assert_eq!(code(account.create("M", &definition(&json!(2)))), "StateMachineAlreadyExists");
}

#[test]
fn running_executions_keep_their_definition() {
    let mut account = Account::new();
    let wait = |result: &Value| {
        json!({"StartAt": "W", "States": {
            "W": {"Type": "Wait", "Seconds": 5, "Next": "P"},
            "P": {"Type": "Pass", "Result": result, "End": true},
        }})
    };
    let machine = account.create("M", &wait(&json!("old"))).unwrap();
    let old = account.start(&machine, "{}");
    let update = UpdateStateMachine { definition: Some(wait(&json!("new")).to_string()), ..Default::default() };
    let updated = account.engine.update_state_machine(&machine, update, account.now).unwrap();
    assert!(updated.current.id.is_some());
    let new = account.start(&machine, "{}");
    account.advance(5.0);
    assert_eq!([account.output(&old), account.output(&new)], [r#""old""#, r#""new""#]);
    let nothing = UpdateStateMachine::default();
    assert_eq!(code(account.engine.update_state_machine(&machine, nothing, account.now)), "MissingRequiredParameter");
}

/// A Task, then a Pass; and a Wait that is the last state.
#[test]
fn executions_of_a_deleted_machine_end_at_their_next_transition() {
    let mut account = Account::new();
    let task = account.task(&json!({"Next": "P", "Retry": [{"ErrorEquals": ["Again"]}]}));
    let states = json!({"T": task, "P": {"Type": "Pass", "End": true}});
    let (taken, queued) = (account.run(&states, "{}"), account.run(&states, "{}"));
    let machine = account.describe(&taken).machine.arn.to_string();
    let other = account.describe(&queued).machine.arn.to_string();
    let last = account.run(&json!({"W": {"Type": "Wait", "Seconds": 5, "End": true}}), "{}");
    let token = account.take().unwrap().token;
    for arn in [&machine, &account.describe(&last).machine.arn.to_string()] {
        account.engine.delete_state_machine(arn, account.now).unwrap();
        let start = StartExecution { state_machine_arn: arn.clone(), ..Default::default() };
        assert_eq!(code(account.engine.start_execution(start, account.now)), "StateMachineDeleting");
        let described = account.engine.describe_state_machine(arn, account.now).unwrap();
        assert_eq!(described.status, StateMachineStatus::Deleting);
    }
    assert_eq!(account.engine.list_state_machines("us-east-1", account.now).len(), 1);
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    assert_eq!(code(account.create("M0", &definition)), "StateMachineDeleting");

    // A retry is no transition, nor is an end.
    account.fail(&token, "Again").unwrap();
    account.advance(5.0);
    assert_eq!(account.output(&last), "{}");
    assert_eq!(account.status(&taken), ExecutionStatus::Running);
    let (first, second) = (account.take().unwrap().token, account.take().unwrap().token);
    account.succeed(&first, "1").unwrap();
    account.succeed(&second, "1").unwrap();
    assert_eq!(account.status(&taken), ExecutionStatus::Aborted);
    assert_eq!(
        account.history(&taken)[6..],
        ["7<6 ActivityStarted", "8<7 ActivitySucceeded", "9<8 TaskStateExited", "10<0 ExecutionAborted"]
    );
    assert_eq!(account.output(&queued), "1");
    assert_eq!(code(account.engine.describe_state_machine(&machine, account.now)), "StateMachineDoesNotExist");
    assert!(account.engine.describe_state_machine(&other, account.now).is_ok());
    assert!(account.create("M0", &definition).is_ok());
}

#[test]
fn starting_again_is_idempotent_while_it_runs() {
    let mut account = Account::new();
    let states = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "End": true}}});
    let machine = account.create("M", &states).unwrap();
    let start = |account: &mut Account, input: &str| {
        let request = StartExecution {
            state_machine_arn: machine.clone(),
            name: Some("e".to_owned()),
            input: Some(input.to_owned()),
        };
        account.engine.start_execution(request, account.now)
    };
    let first = start(&mut account, "1").unwrap();
    account.advance(1.0);
    assert_eq!(start(&mut account, "1").unwrap(), first);
    assert_eq!(code(start(&mut account, "2")), "ExecutionAlreadyExists");
    account.advance(4.0);
    assert_eq!(account.status(&first.arn), ExecutionStatus::Succeeded);
    assert_eq!(code(start(&mut account, "1")), "ExecutionAlreadyExists");
}

#[test]
fn inputs_are_checked() {
    let mut account = Account::new();
    let machine = account.create("M", &definition(&json!(1))).unwrap();
    for (input, expected) in [
        ("not json".to_owned(), "InvalidExecutionInput"),
        (String::new(), "InvalidExecutionInput"),
        (format!("\"{}\"", "x".repeat(262_143)), "ValidationException"),
        (format!("\"{}\"", "ü".repeat(131_072)), "InvalidExecutionInput"),
    ] {
        let request = StartExecution { state_machine_arn: machine.clone(), name: None, input: Some(input) };
        assert_eq!(code(account.engine.start_execution(request, account.now)), expected);
    }
    account.start(&machine, &format!("\"{}\"", "x".repeat(262_142)));
    let request = StartExecution { state_machine_arn: "nonsense".to_owned(), ..Default::default() };
    assert_eq!(code(account.engine.start_execution(request, account.now)), "InvalidArn");
}

#[test]
fn executions_are_listed_latest_first_in_pages() {
    let mut account = Account::new();
    let machine = account.create("M", &definition(&json!(1))).unwrap();
    let mut started: Vec<String> = (0..5).map(|_| account.start(&machine, "{}")).collect();
    started.reverse();
    let filter = ExecutionFilter { state_machine_arn: machine, status: Some(ExecutionStatus::Succeeded) };
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = account.engine.list_executions(&filter, after, 2, account.now).unwrap();
        assert!(page.items.len() <= 2);
        listed.extend(page.items.iter().map(|execution| execution.arn.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
        // What starts between pages is not repeated in them.
        account.start(&filter.state_machine_arn, "{}");
    }
    assert_eq!(listed, started);
    let running = ExecutionFilter { status: Some(ExecutionStatus::Running), ..filter };
    assert!(account.engine.list_executions(&running, None, 10, account.now).unwrap().items.is_empty());
}

#[test]
fn closed_executions_are_forgotten_beyond_the_limit() {
    let options = EngineOptions { check_roles: false, max_closed_executions: 2, ..EngineOptions::default() };
    let mut account = Account::with(options);
    let task = account.task(&json!({}));
    let machine = account.create("M", &json!({"StartAt": "T", "States": {"T": task}})).unwrap();
    let mut runs = Vec::new();
    for _ in 0..3 {
        let execution = account.start(&machine, "{}");
        let token = account.take().unwrap().token;
        account.succeed(&token, "{}").unwrap();
        runs.push((execution, token));
    }
    let (execution, token) = &runs[0];
    assert_eq!(code(account.engine.describe_execution(execution, account.now)), "ExecutionDoesNotExist");
    assert_eq!(code(account.succeed(token, "{}")), "TaskDoesNotExist");
    assert_eq!(code(account.succeed(&runs[1].1, "{}")), "TaskTimedOut");
}

#[test]
fn a_role_has_to_exist_to_trust_and_to_have_spread() {
    let options = EngineOptions { role_propagation: Duration::from_secs(10), ..EngineOptions::default() };
    let mut account = Account::with(options);
    let trust = |service: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole",
        }]})
        .to_string()
    };
    let definition = definition(&json!(1));
    assert_eq!(code(account.create("M", &definition)), "AccessDeniedException");
    let role = CreateRole { name: "R".to_owned(), trust_policy: trust("lambda.amazonaws.com"), ..Default::default() };
    account.engine.iam().create_role(role, account.now).unwrap();
    account.advance(60.0);
    let error = account.create("M", &definition).unwrap_err();
    assert_eq!(
        error.message,
        "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the \
         provided role."
    );
    account.engine.iam().update_trust_policy("R", &trust("states.eu-west-1.amazonaws.com"), account.now).unwrap();
    account.advance(9.999);
    assert_eq!(code(account.create("M", &definition)), "AccessDeniedException");
    account.advance(0.001);
    account.create("M", &definition).unwrap();
    let mut request =
        CreateStateMachine { name: "N".to_owned(), definition: definition.to_string(), ..Default::default() };
    for role in ["", "R", "arn:aws:iam::000000000000:user/R", "arn:aws:iam::1:role/R"] {
        request.role_arn = role.to_owned();
        let result = account.engine.create_state_machine("us-east-1", request.clone(), account.now);
        assert_eq!(code(result), "InvalidArn", "{role}");
    }
}

#[test]
fn tags_are_merged_and_limited() {
    let mut account = Account::new();
    let activity = account.activity.clone();
    let tag = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into_iter().collect();
    account.engine.tag_resource(&activity, tag("a", "1"), account.now).unwrap();
    account.engine.tag_resource(&activity, tag("a", "2"), account.now).unwrap();
    account.engine.tag_resource(&activity, tag("b", "3"), account.now).unwrap();
    account.engine.untag_resource(&activity, &["b".to_owned(), "c".to_owned()], account.now).unwrap();
    assert_eq!(account.engine.list_tags(&activity, account.now).unwrap(), tag("a", "2"));
    assert_eq!(code(account.engine.tag_resource(&activity, tag("aws:x", "1"), account.now)), "ValidationException");
    let many = (0..50).map(|number| (format!("k{number}"), String::new())).collect();
    assert_eq!(code(account.engine.tag_resource(&activity, many, account.now)), "TooManyTags");
    assert_eq!(
        code(account.engine.list_tags("arn:aws:states:us-east-1:000000000000:activity:x", account.now)),
        "ResourceNotFound"
    );
}

/// The findings on a machine of one state `A`, or of the whole document where it has `StartAt`.
fn findings(document: &Value) -> Vec<String> {
    let whole = if document.get("StartAt").is_some() || document.get("States").is_some() {
        document.clone()
    } else {
        json!({"StartAt": "A", "States": {"A": document}})
    };
    asl::validate(&whole.to_string()).iter().map(ToString::to_string).collect()
}

#[test]
fn definitions_are_refused_by_state_and_field() {
    let activity = "arn:aws:states:us-east-1:000000000000:activity:A";
    let task = |fields: Value| {
        let mut state = json!({"Type": "Task", "Resource": activity, "End": true});
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        state
    };
    for (document, finding) in [
        (
            json!({"States": {"A": {"Type": "Succeed"}}}),
            "SCHEMA_VALIDATION_FAILED: These fields are required: [StartAt] at /",
        ),
        (
            json!({"StartAt": "X", "States": {"A": {"Type": "Succeed"}}}),
            "MISSING_TRANSITION_TARGET: Missing 'StartAt' target: X at /StartAt",
        ),
        (
            json!({"StartAt": "A", "Foo": 1, "States": {"A": {"Type": "Succeed"}}}),
            "SCHEMA_VALIDATION_FAILED: Field 'Foo' is not supported in a state machine at /Foo",
        ),
        (
            json!({"StartAt": "A", "QueryLanguage": "SQL", "States": {"A": {"Type": "Succeed"}}}),
            "SCHEMA_VALIDATION_FAILED: Expected one of [JSONPath, JSONata] at /QueryLanguage",
        ),
        (json!({"Type": "Pass", "Next": "B"}), "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Next"),
        (
            json!({"Type": "Pass"}),
            "SCHEMA_VALIDATION_FAILED: One of these fields is required: [Next, End] at /States/A",
        ),
        (
            json!({"Type": "Pass", "Next": "A", "End": true}),
            "SCHEMA_VALIDATION_FAILED: Only one of these fields may be given: [Next, End] at /States/A",
        ),
        (
            json!({"Type": "Pass", "Next": "A"}),
            "MISSING_END_STATE: No terminal state (End, Succeed or Fail) can be reached from StartAt. at /States",
        ),
        (
            json!({"Type": "Succeed", "Assign": {}}),
            "SCHEMA_VALIDATION_FAILED: Field 'Assign' is not supported in a Succeed state at /States/A/Assign",
        ),
        (
            json!({"Type": "Pass", "End": true, "Retry": []}),
            "SCHEMA_VALIDATION_FAILED: Field 'Retry' is not supported in a Pass state at /States/A/Retry",
        ),
        (
            json!({"Type": "Pass", "End": true, "InputPath": "a"}),
            "SCHEMA_VALIDATION_FAILED: Value is not a valid JSONPath: \"a\" at /States/A/InputPath",
        ),
        (
            json!({"Type": "Pass", "End": true, "ResultPath": "$.a[*]"}),
            "SCHEMA_VALIDATION_FAILED: Value is not a Reference Path: \"$.a[*]\" at /States/A/ResultPath",
        ),
        (
            json!({"Type": "Pass", "End": true, "Parameters": {"a": {"b.$": "c"}}}),
            "SCHEMA_VALIDATION_FAILED: The value for the field 'b.$' must be a valid JSONPath or a valid intrinsic function call at /States/A/Parameters/a/b.$",
        ),
        (
            json!({"Type": "Succeed", "Next": "A"}),
            "SCHEMA_VALIDATION_FAILED: Field 'Next' is not supported in a Succeed state at /States/A/Next",
        ),
        (json!({"Type": "Nap"}), "SCHEMA_VALIDATION_FAILED: State type 'Nap' is not supported at /States/A/Type"),
        (
            json!({"Type": "Wait", "End": true}),
            "SCHEMA_VALIDATION_FAILED: Exactly one of these fields is required: [Seconds, SecondsPath, Timestamp, TimestampPath] at /States/A",
        ),
        (
            json!({"Type": "Fail", "Cause": "x", "CausePath": "$.x"}),
            "SCHEMA_VALIDATION_FAILED: Only one of these fields may be given: [Cause, CausePath] at /States/A",
        ),
        (
            json!({"Type": "Choice", "Choices": []}),
            "SCHEMA_VALIDATION_FAILED: Expected a non-empty array of choice rules at /States/A/Choices",
        ),
        (
            json!({"Type": "Choice", "Choices": [{"Variable": "$.x", "Next": "A"}]}),
            "SCHEMA_VALIDATION_FAILED: A choice rule with a Variable needs exactly one comparison operator at /States/A/Choices[0]",
        ),
        (
            json!({"Type": "Choice", "Choices": [{"Variable": "$.x", "NumericEquals": "1", "Next": "A"}]}),
            "SCHEMA_VALIDATION_FAILED: Expected value of type Numeric at /States/A/Choices[0]/NumericEquals",
        ),
        (
            json!({"Type": "Choice", "Choices": [{"Variable": "$.x", "NumericEquals": 1, "Next": "B"}]}),
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Choices[0]/Next",
        ),
        (
            task(json!({"TimeoutSeconds": 0})),
            "SCHEMA_VALIDATION_FAILED: Expected an integer from 1 to 99999999 at /States/A/TimeoutSeconds",
        ),
        (
            task(json!({"TimeoutSeconds": 60, "HeartbeatSeconds": 60})),
            "SCHEMA_VALIDATION_FAILED: HeartbeatSeconds must be smaller than TimeoutSeconds at /States/A/HeartbeatSeconds",
        ),
        (
            task(json!({"Retry": [{"ErrorEquals": []}]})),
            "SCHEMA_VALIDATION_FAILED: Expected a non-empty array of strings at /States/A/Retry[0]/ErrorEquals",
        ),
        (
            task(json!({"Retry": [{"ErrorEquals": ["States.ALL", "X"]}]})),
            "SCHEMA_VALIDATION_FAILED: States.ALL must stand alone, and in the last entry at /States/A/Retry[0]/ErrorEquals",
        ),
        (
            task(json!({"Retry": [{"ErrorEquals": ["X"], "BackoffRate": 0.5}]})),
            "SCHEMA_VALIDATION_FAILED: Expected a number of at least 1.0 at /States/A/Retry[0]/BackoffRate",
        ),
        (
            task(json!({"Catch": [{"ErrorEquals": ["X"], "Next": "N"}]})),
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: N at /States/A/Catch[0]/Next",
        ),
        (
            task(json!({"Credentials": {}})),
            "SCHEMA_VALIDATION_FAILED: Field 'Credentials' is not supported by this engine at /States/A/Credentials",
        ),
        (
            json!({"Type": "Map", "End": true, "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "I", "States": {"I": {"Type": "Succeed"}}}}),
            "SCHEMA_VALIDATION_FAILED: Only Mode INLINE is supported by this engine at /States/A/ItemProcessor/ProcessorConfig/Mode",
        ),
        (
            json!({"Type": "Parallel", "End": true, "Branches": [{"StartAt": "I", "States": {"I": {"Type": "Pass", "Next": "A"}}}]}),
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: A at /States/A/Branches[0]/States/I/Next",
        ),
        (
            json!({"Type": "Parallel", "End": true, "Branches": [{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}]}),
            "DUPLICATE_STATE_NAME: State name 'A' is used more than once in the state machine at /States/A/Branches[0]/States/A",
        ),
    ] {
        assert_eq!(findings(&document), [finding], "{document}");
    }
    let lambda = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invokeActivity:x", "End": true});
    let found = findings(&lambda);
    assert!(found.len() == 1 && found[0].contains("is not recognized") && found[0].ends_with("at /States/A/Resource"));
    assert!(findings(&task(json!({"HeartbeatSeconds": 5}))).is_empty());
    let unreachable = json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"}, "B": {"Type": "Succeed"}}});
    assert_eq!(findings(&unreachable), [r#"MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B"#]);
    assert_eq!(asl::validate("not json")[0].code, "INVALID_JSON_DESCRIPTION");
    assert_eq!(asl::validate("  ")[0].message, "Definition must be a valid JSON object");
}

#[test]
fn a_refused_definition_names_everything_that_is_wrong() {
    let mut account = Account::new();
    let states = json!({"StartAt": "A", "States": {
        "A": {"Type": "Task", "Resource": "x", "Next": "B", "Foo": 1},
        "B": {"Type": "Pass", "Next": "C"},
    }});
    let error = account.create("M", &states).unwrap_err();
    assert_eq!(error.code, "InvalidDefinition");
    for part in ["/States/A/Resource", "/States/A/Foo", "/States/B/Next"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[test]
fn literals_that_look_like_paths_are_warned_about() {
    let rule = json!({"And": [{"Variable": "$.a", "StringEquals": "$.b"}], "Next": "F"});
    let machine = json!({"StartAt": "P", "States": {
        "P": {
            "Type": "Pass", "Comment": "$.fine", "Next": "C",
            "Parameters": {"a": "$.b", "ok.$": "$.b", "deep": [{"c": "States.UUID()"}], "text": "$5"},
        },
        "C": {"Type": "Choice", "Choices": [rule], "Default": "R"},
        "R": {"Type": "Pass", "Result": {"x.$": "$.y"}, "Next": "J"},
        "J": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "$.fine", "Next": "F"},
        "F": {"Type": "Fail", "Error": "$.e", "CausePath": "$.c"},
    }});
    let found = asl::warnings(&machine.to_string());
    let found: Vec<String> = found.iter().map(|found| format!("{} {}", found.code, found.location)).collect();
    let wanted = [
        "NO_DOLLAR /States/P/Parameters/a",
        "NO_DOLLAR /States/P/Parameters/deep[0]/c",
        "NO_PATH /States/C/Choices[0]/And[0]/StringEquals",
        "PASS_RESULT_IS_STATIC /States/R/Result",
        "NO_PATH /States/F/Error",
    ];
    assert_eq!(found, wanted);
    assert!(asl::validate(&machine.to_string()).is_empty());
    assert!(asl::warnings("not json").is_empty());
}

#[test]
fn the_variables_that_states_read_are_listed() {
    let inner = json!({"I": {"Type": "Pass", "Parameters": {"v.$": "States.Format('{}', $deep.x)"}, "End": true}});
    let machine = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"x": 1, "deep": {"x": 2}, "l": [1], "count": 3}, "Next": "C"},
        "C": {"Type": "Choice", "Choices": [{"Variable": "$x", "NumericEqualsPath": "$deep.x", "Next": "M"}], "Default": "M"},
        "M": {"Type": "Map", "ItemsPath": "$l", "ItemProcessor": {"StartAt": "I", "States": inner}, "Next": "J"},
        "J": {
            "Type": "Pass", "QueryLanguage": "JSONata", "Next": "K",
            "Output": "{% ($own := 2; $map($l, function($i) { $i + $own }) & $states.input.x) %}",
        },
        "K": {
            "Type": "Pass", "QueryLanguage": "JSONata", "End": true,
            "Output": "{% $map($l ~> $distinct, $string) ~> $range($count, 9, ?) ~> $sum ~> $hash %}",
        },
    }});
    let references = asl::Definition::parse(&machine.to_string()).unwrap().variable_references();
    let wanted = json!({"C": ["deep", "x"], "I": ["deep"], "J": ["l"], "K": ["count", "l"], "M": ["l"]});
    assert_eq!(json!(references), wanted);
}
