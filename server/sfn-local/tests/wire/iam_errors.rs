//! Every error of every IAM call that AWS documents, and the table of them in ERRORS.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    errors::column,
    support::{Local, TRUST},
};

const HEADING: &str = "Errors of IAM";
const FULL_ACCESS: &str = "arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess";
const MISSING: &str = "arn:aws:iam::aws:policy/service-role/AWSStepFunctionsFullAccess";
const SERVICE_LINKED: &str = "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy";
const NO_POLICY: &str = "arn:aws:iam::000000000000:role/R";
const OWN: &str = "arn:aws:iam::000000000000:policy/Own";

type Case<'c> = (&'static str, Vec<(&'c str, &'c str)>, &'static str);

/// A policy with so many characters that count.
fn sized(length: usize) -> String {
    let frame = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Sid":""}]}"#;
    let sid = "x".repeat(length - frame.len());
    frame.replace(r#""Sid":"""#, &format!(r#""Sid": "{sid}""#))
}

/// A role `R` with a policy of AWS and an inline one, and the managed policy `Own`, which bounds it.
async fn scene(local: &Local) {
    let documented = |name| vec![("RoleName", name), ("AssumeRolePolicyDocument", TRUST)];
    for (operation, parameters) in [
        ("CreateRole", documented("R")),
        ("CreateRole", documented("Full")),
        ("AttachRolePolicy", vec![("RoleName", "R"), ("PolicyArn", FULL_ACCESS)]),
        ("PutRolePolicy", vec![("RoleName", "R"), ("PolicyName", "p"), ("PolicyDocument", TRUST)]),
        ("CreatePolicy", vec![("PolicyName", "Own"), ("PolicyDocument", TRUST)]),
        ("PutRolePermissionsBoundary", vec![("RoleName", "R"), ("PermissionsBoundary", OWN)]),
    ] {
        assert_eq!(local.iam_code(operation, &parameters).await, "ok", "{operation}");
    }
    for number in 0..10 {
        let name = format!("P{number}");
        let arn = format!("arn:aws:iam::000000000000:policy/{name}");
        local.iam_code("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", TRUST)]).await;
        assert_eq!(local.iam_code("AttachRolePolicy", &[("RoleName", "Full"), ("PolicyArn", &arn)]).await, "ok");
    }
    for number in 0..50 {
        let key = format!("k{number}");
        let tag = [("RoleName", "Full"), ("Tags.member.1.Key", &key), ("Tags.member.1.Value", "v")];
        assert_eq!(local.iam_code("TagRole", &tag).await, "ok");
    }
}

/// Two tags whose keys differ in nothing but their letters' case.
const TWICE: [(&str, &str); 4] = [
    ("Tags.member.1.Key", "owner"),
    ("Tags.member.1.Value", "a"),
    ("Tags.member.2.Key", "Owner"),
    ("Tags.member.2.Value", "b"),
];

fn of_roles<'c>(large: &'c str) -> Vec<Case<'c>> {
    let create = |name, document| vec![("RoleName", name), ("AssumeRolePolicyDocument", document)];
    let trust = |name, document| vec![("RoleName", name), ("PolicyDocument", document)];
    let tag = |name| vec![("RoleName", name), ("Tags.member.1.Key", "one more"), ("Tags.member.1.Value", "v")];
    let mut cases = vec![
        ("CreateRole", create("R", TRUST), "EntityAlreadyExists"),
        ("CreateRole", create("New", "{"), "MalformedPolicyDocument"),
        ("CreateRole", create("New", large), "LimitExceeded"),
        ("CreateRole", [create("New", TRUST), TWICE.to_vec()].concat(), "InvalidInput"),
        ("DeleteRole", vec![("RoleName", "R")], "DeleteConflict"),
        ("UpdateAssumeRolePolicy", trust("none", TRUST), "NoSuchEntity"),
        ("UpdateAssumeRolePolicy", trust("R", "[]"), "MalformedPolicyDocument"),
        ("UpdateAssumeRolePolicy", trust("R", large), "LimitExceeded"),
        ("TagRole", tag("none"), "NoSuchEntity"),
        ("TagRole", tag("Full"), "LimitExceeded"),
        ("TagRole", [vec![("RoleName", "R")], TWICE.to_vec()].concat(), "InvalidInput"),
    ];
    for operation in [
        "GetRole",
        "DeleteRole",
        "UntagRole",
        "UpdateRole",
        "DeleteRolePermissionsBoundary",
        "ListRoleTags",
        "ListRolePolicies",
        "ListAttachedRolePolicies",
        "ListInstanceProfilesForRole",
    ] {
        cases.push((operation, vec![("RoleName", "none")], "NoSuchEntity"));
    }
    cases
}

fn of_policies<'c>(large: &'c str) -> Vec<Case<'c>> {
    let attach = |arn| vec![("RoleName", "R"), ("PolicyArn", arn)];
    let bound = |arn| vec![("RoleName", "R"), ("PermissionsBoundary", arn)];
    let inline = |role, name, document| vec![("RoleName", role), ("PolicyName", name), ("PolicyDocument", document)];
    let own = |name, document| vec![("PolicyName", name), ("PolicyDocument", document)];
    let mut cases = vec![
        ("AttachRolePolicy", vec![("RoleName", "Full"), ("PolicyArn", FULL_ACCESS)], "LimitExceeded"),
        ("PutRolePolicy", inline("none", "p", TRUST), "NoSuchEntity"),
        ("PutRolePolicy", inline("R", "p", "{}"), "MalformedPolicyDocument"),
        ("PutRolePolicy", inline("R", "q", large), "LimitExceeded"),
        ("GetRolePolicy", vec![("RoleName", "R"), ("PolicyName", "none")], "NoSuchEntity"),
        ("DeleteRolePolicy", vec![("RoleName", "R"), ("PolicyName", "none")], "NoSuchEntity"),
        ("CreatePolicy", own("Own", TRUST), "EntityAlreadyExists"),
        ("CreatePolicy", own("New", "not json"), "MalformedPolicyDocument"),
        ("CreatePolicy", own("New", large), "LimitExceeded"),
        ("DeletePolicy", vec![("PolicyArn", OWN)], "DeleteConflict"),
    ];
    for (arn, code) in [(MISSING, "NoSuchEntity"), (NO_POLICY, "InvalidInput")] {
        cases.extend([
            ("AttachRolePolicy", attach(arn), code),
            ("DetachRolePolicy", attach(arn), code),
            ("PutRolePermissionsBoundary", bound(arn), code),
            ("GetPolicy", vec![("PolicyArn", arn)], code),
            ("DeletePolicy", vec![("PolicyArn", arn)], code),
        ]);
    }
    cases.push(("AttachRolePolicy", attach(SERVICE_LINKED), "PolicyNotAttachable"));
    cases.push(("PutRolePermissionsBoundary", bound(SERVICE_LINKED), "PolicyNotAttachable"));
    cases
}

#[tokio::test]
async fn each_documented_error_of_iam_is_given_or_is_on_the_list_of_those_that_are_not() {
    let local = Local::start().await;
    scene(&local).await;
    let (trust, document) = (sized(2049), sized(10_241));
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([("ListRoles", BTreeSet::new())]);
    for (operation, parameters, code) in [of_roles(&trust), of_policies(&document)].concat() {
        assert_eq!(local.iam_code(operation, &parameters).await, code, "{operation} {parameters:.200?}");
        seen.entry(operation).or_default().insert(code);
    }
    assert_eq!(column(HEADING, 2), seen);
    for (operation, codes) in column(HEADING, 3) {
        assert!(codes.is_disjoint(&seen[operation]), "{operation}");
    }
    local.stop().await;
}

#[tokio::test]
async fn sizes_hold_to_the_character_and_white_space_is_free() {
    let local = Local::start().await;
    let spaced = |length| sized(length).replacen('{', "{\n \t  ", 1);
    let create = |name, document| vec![("RoleName", name), ("AssumeRolePolicyDocument", document)];
    let (fits, exceeds) = (spaced(2048), spaced(2049));
    assert_eq!(local.iam_code("CreateRole", &create("R", &exceeds)).await, "LimitExceeded");
    assert_eq!(local.iam_code("CreateRole", &create("R", &fits)).await, "ok");
    let (fits, exceeds) = (spaced(6144), spaced(6145));
    let create = |document| vec![("PolicyName", "P"), ("PolicyDocument", document)];
    assert_eq!(local.iam_code("CreatePolicy", &create(&exceeds)).await, "LimitExceeded");
    assert_eq!(local.iam_code("CreatePolicy", &create(&fits)).await, "ok");
    // All inline policies count, but not the one that is replaced.
    let put = |name, document| vec![("RoleName", "R"), ("PolicyName", name), ("PolicyDocument", document)];
    let (large, rest, more) = (spaced(10_000), spaced(240), spaced(241));
    assert_eq!(local.iam_code("PutRolePolicy", &put("a", &large)).await, "ok");
    assert_eq!(local.iam_code("PutRolePolicy", &put("b", &more)).await, "LimitExceeded");
    assert_eq!(local.iam_code("PutRolePolicy", &put("b", &rest)).await, "ok");
    assert_eq!(local.iam_code("PutRolePolicy", &put("a", &large)).await, "ok");
    local.stop().await;
}

#[tokio::test]
async fn names_and_arns_are_checked_before_anything_is_looked_up() {
    let local = Local::start().await;
    let long = "r".repeat(65);
    for (operation, parameters) in [
        ("GetRole", vec![("RoleName", "a b")]),
        ("GetRole", vec![("RoleName", long.as_str())]),
        ("GetRole", vec![]),
        ("GetPolicy", vec![("PolicyArn", "nonsense")]),
        ("CreatePolicy", vec![("PolicyName", "a/b"), ("PolicyDocument", TRUST)]),
        ("CreateRole", vec![("RoleName", "R"), ("AssumeRolePolicyDocument", TRUST), ("Path", "x")]),
        ("CreateRole", vec![("RoleName", "R"), ("AssumeRolePolicyDocument", TRUST), ("MaxSessionDuration", "1")]),
    ] {
        assert_eq!(local.iam_code(operation, &parameters).await, "ValidationError", "{operation} {parameters:?}");
    }
    local.stop().await;
}

#[tokio::test]
async fn an_account_has_a_thousand_roles_at_most() {
    let local = Local::start().await;
    for number in 0..1000 {
        local.role(&format!("R{number}")).await;
    }
    let create = |name| [("RoleName", name), ("AssumeRolePolicyDocument", TRUST)];
    assert_eq!(local.iam_code("CreateRole", &create("R1000")).await, "LimitExceeded");
    assert_eq!(local.iam_code("DeleteRole", &[("RoleName", "R0")]).await, "ok");
    assert_eq!(local.iam_code("CreateRole", &create("R1000")).await, "ok");
    local.stop().await;
}
