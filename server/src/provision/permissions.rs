//! What the server's own credentials have to be allowed: one table, and the policy that is made of it.

use serde_json::{Map, Value, json};

/// What a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Taking tasks and answering them, starting executions and looking at them.
    Work,
    /// Planning and telling drift: nothing is changed.
    Look,
    /// Applying and destroying.
    Provision,
}

/// What an action is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Activities,
    StateMachines,
    ActivitiesAndStateMachines,
    Executions,
    Roles,
    /// AWS takes no narrower resource for it.
    Everything,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Work => "Work",
            Self::Look => "Look",
            Self::Provision => "Provision",
        }
    }
}

use Purpose::{Look, Provision, Work};
use Scope::{Activities, ActivitiesAndStateMachines, Everything, Executions, Roles, StateMachines};

/// Every call that the server makes, as its IAM action. A test holds it against the calls that are made.
const CALLS: &[(&str, Purpose, Scope)] = &[
    ("states:GetActivityTask", Work, Activities),
    ("states:SendTaskHeartbeat", Work, Everything),
    ("states:SendTaskSuccess", Work, Everything),
    ("states:SendTaskFailure", Work, Everything),
    ("states:StartExecution", Work, StateMachines),
    ("states:DescribeExecution", Work, Executions),
    ("states:GetExecutionHistory", Work, Executions),
    ("states:ListActivities", Look, Everything),
    ("states:ListStateMachines", Look, Everything),
    ("states:DescribeActivity", Look, Activities),
    ("states:DescribeStateMachine", Look, StateMachines),
    ("states:ListTagsForResource", Look, ActivitiesAndStateMachines),
    ("iam:GetRole", Look, Roles),
    ("iam:ListAttachedRolePolicies", Look, Roles),
    ("iam:ListRolePolicies", Look, Roles),
    ("iam:GetRolePolicy", Look, Roles),
    ("states:CreateActivity", Provision, Activities),
    ("states:DeleteActivity", Provision, Activities),
    ("states:CreateStateMachine", Provision, StateMachines),
    ("states:UpdateStateMachine", Provision, StateMachines),
    ("states:DeleteStateMachine", Provision, StateMachines),
    ("states:TagResource", Provision, ActivitiesAndStateMachines),
    ("states:ValidateStateMachineDefinition", Provision, Everything),
    ("iam:CreateRole", Provision, Roles),
    ("iam:UpdateAssumeRolePolicy", Provision, Roles),
    ("iam:PutRolePermissionsBoundary", Provision, Roles),
    ("iam:DeleteRolePermissionsBoundary", Provision, Roles),
    ("iam:TagRole", Provision, Roles),
    ("iam:DeleteRole", Provision, Roles),
    ("iam:AttachRolePolicy", Provision, Roles),
    ("iam:DetachRolePolicy", Provision, Roles),
    ("iam:PutRolePolicy", Provision, Roles),
    ("iam:DeleteRolePolicy", Provision, Roles),
];

/// What of a customer's key each of those calls needs, where activity and state machine are encrypted with one: AWS asks
/// KMS in the caller's name. As AWS documents it; what is not here needs nothing.
const KEY_CALLS: &[(&str, &[&str])] = &[
    ("states:GetActivityTask", &["kms:Decrypt"]),
    ("states:DescribeExecution", &["kms:Decrypt"]),
    ("states:GetExecutionHistory", &["kms:Decrypt"]),
    ("states:DescribeStateMachine", &["kms:Decrypt"]),
    ("states:CreateActivity", &["kms:DescribeKey"]),
    ("states:CreateStateMachine", &["kms:DescribeKey", "kms:GenerateDataKey"]),
    ("states:UpdateStateMachine", &["kms:DescribeKey", "kms:GenerateDataKey"]),
];

/// Where the server works, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// The region; `*` for all.
    pub region: String,
    /// The account's twelve digits; `*` for all.
    pub account: String,
}

/// The names that resources have, as patterns in which `*` is any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns {
    /// Of activities.
    pub activities: Vec<String>,
    /// Of state machines.
    pub state_machines: Vec<String>,
    /// Of roles, with their paths but for the first slash.
    pub roles: Vec<String>,
}

impl Patterns {
    /// Any name.
    #[must_use]
    pub fn any() -> Self {
        let any = || vec!["*".to_owned()];
        Self { activities: any(), state_machines: any(), roles: any() }
    }

    /// The names that a workflow's resources get by themselves.
    #[must_use]
    pub fn of_workflows(names: &[String]) -> Self {
        let all = |suffixes: &[&str]| {
            names.iter().flat_map(|name| suffixes.iter().map(move |suffix| format!("{name}{suffix}"))).collect()
        };
        Self { activities: all(&["-*activity"]), state_machines: all(&["-state-machine"]), roles: all(&["-role"]) }
    }
}

/// The policy that allows exactly the calls for these purposes, on these resources. `keys` are the ARNs of the KMS keys that
/// some of them are encrypted with.
#[must_use]
pub fn policy_for(purposes: &[Purpose], place: &Place, names: &Patterns, keys: &[String]) -> Value {
    let mut groups: Vec<(Purpose, Scope, Vec<&str>)> = Vec::new();
    for &(action, purpose, scope) in CALLS.iter().filter(|(_, purpose, _)| purposes.contains(purpose)) {
        match groups.iter_mut().find(|group| group.0 == purpose && group.1 == scope) {
            Some(group) => group.2.push(action),
            None => groups.push((purpose, scope, vec![action])),
        }
    }
    let mut statements: Vec<Value> = groups
        .into_iter()
        .map(|(purpose, scope, actions)| {
            statement(&format!("{}{scope:?}", purpose.name()), &actions, &resources(scope, place, names))
        })
        .collect();
    if purposes.contains(&Provision) {
        // Not a call of its own: making a state machine hands it its role.
        let mut pass = statement("ProvisionPassRole", &["iam:PassRole"], &resources(Roles, place, names));
        pass["Condition"] = json!({"StringEquals": {"iam:PassedToService": "states.amazonaws.com"}});
        statements.push(pass);
    }
    if !keys.is_empty() {
        let mut uses = statement("Keys", &key_actions(purposes), keys);
        uses["Condition"] =
            json!({"StringLike": {"kms:ViaService": format!("states.{}.amazonaws.com*", place.region)}});
        statements.push(uses);
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn key_actions(purposes: &[Purpose]) -> Vec<&'static str> {
    let of_purpose =
        |call: &str| CALLS.iter().any(|(action, purpose, _)| *action == call && purposes.contains(purpose));
    let used = KEY_CALLS.iter().filter(|(call, _)| of_purpose(call));
    let mut actions: Vec<&str> = used.flat_map(|(_, actions)| actions.iter().copied()).collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

fn statement(sid: &str, actions: &[&str], resources: &[String]) -> Value {
    let mut statement = Map::new();
    statement.insert("Sid".to_owned(), json!(sid));
    statement.insert("Effect".to_owned(), json!("Allow"));
    statement.insert("Action".to_owned(), json!(actions));
    statement.insert("Resource".to_owned(), json!(resources));
    Value::Object(statement)
}

fn resources(scope: Scope, place: &Place, names: &Patterns) -> Vec<String> {
    let Place { partition, region, account } = place;
    let states = |kind: &str, names: &[String], rest: &str| -> Vec<String> {
        names.iter().map(|name| format!("arn:{partition}:states:{region}:{account}:{kind}:{name}{rest}")).collect()
    };
    match scope {
        Activities => states("activity", &names.activities, ""),
        StateMachines => states("stateMachine", &names.state_machines, ""),
        ActivitiesAndStateMachines => {
            [states("activity", &names.activities, ""), states("stateMachine", &names.state_machines, "")].concat()
        }
        Executions => states("execution", &names.state_machines, ":*"),
        Roles => names.roles.iter().map(|name| format!("arn:{partition}:iam::{account}:role/{name}")).collect(),
        Everything => vec!["*".to_owned()],
    }
}

/// Those of the worker and of executions, which are not made here.
#[cfg(test)]
pub(super) const WORKERS: [&str; 7] = [
    "GetActivityTask",
    "SendTaskHeartbeat",
    "SendTaskSuccess",
    "SendTaskFailure",
    "StartExecution",
    "DescribeExecution",
    "GetExecutionHistory",
];

/// The operations of the table, without their services' prefixes.
#[cfg(test)]
pub(super) fn operations() -> Vec<&'static str> {
    CALLS.iter().filter_map(|(action, ..)| action.split(':').nth(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { partition: "aws".to_owned(), region: "eu-west-1".to_owned(), account: "123456789012".to_owned() }
    }

    fn key() -> String {
        "arn:aws:kms:eu-west-1:123456789012:key/1".to_owned()
    }

    #[test]
    fn a_key_may_be_used_through_step_functions_for_what_the_calls_need() {
        let keys = |purposes: &[Purpose]| {
            let policy = policy_for(purposes, &place(), &Patterns::any(), &[key()]);
            policy["Statement"].as_array().unwrap().last().unwrap().clone()
        };
        let work = keys(&[Work]);
        assert_eq!((&work["Action"], &work["Resource"]), (&json!(["kms:Decrypt"]), &json!([key()])));
        assert_eq!(work["Condition"]["StringLike"]["kms:ViaService"], "states.eu-west-1.amazonaws.com*");
        let all = keys(&[Work, Look, Provision]);
        assert_eq!(all["Action"], json!(["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]));
        for (call, _) in KEY_CALLS {
            assert!(CALLS.iter().any(|(action, ..)| action == call), "{call} is not made");
        }
    }

    #[test]
    fn nothing_is_allowed_that_is_not_asked_for() {
        let names = Patterns::of_workflows(&["pay".to_owned()]);
        let work = policy_for(&[Work], &place(), &names, &[]).to_string();
        assert!(
            work.contains("states:GetActivityTask") && !work.contains("iam:") && !work.contains("Create"),
            "{work}"
        );
        assert!(work.contains("arn:aws:states:eu-west-1:123456789012:activity:pay-*activity"), "{work}");
        assert!(work.contains("arn:aws:states:eu-west-1:123456789012:execution:pay-state-machine:*"), "{work}");
        let all = policy_for(&[Work, Look, Provision], &place(), &names, &[]);
        let statements = all["Statement"].as_array().unwrap();
        let pass = statements.iter().find(|one| one["Action"][0] == "iam:PassRole").unwrap();
        assert_eq!(pass["Resource"], json!(["arn:aws:iam::123456789012:role/pay-role"]));
        assert_eq!(pass["Condition"]["StringEquals"]["iam:PassedToService"], "states.amazonaws.com");
        for one in statements {
            let wide = one["Resource"] == json!(["*"]);
            assert_eq!(wide, one["Sid"].as_str().unwrap().ends_with("Everything"), "{one}");
            assert!(!one["Action"].to_string().contains('*'), "{one}");
        }
    }

    #[test]
    fn the_table_names_each_call_once() {
        let mut all = operations();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_policy_fits_iams_limit() {
        let policy = policy_for(&[Work, Look, Provision], &place(), &Patterns::any(), &[key()]).to_string();
        assert!(policy.len() <= 6_144, "{}", policy.len());
    }
}
