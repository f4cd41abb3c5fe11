//! Rules explained, and tried before they are applied.

use serde_json::Value;

use crate::common::Running;

const EXPLAINED: &str = "waits for 1 approval\\u{1b}[2J
  finance 1 of 2: 1 more from group:finance; approved by user:cy
  legal 0 of 1: 1 more from anyone, once it is open
  1 more rejection would reject it

If you decided
    approve    yes: it would count in finance; then PENDING
    later      no: a rejection needs a comment (COMMENT_REQUIRED)
";

#[test]
fn an_approval_is_explained_for_the_caller_or_for_somebody() {
    let server = Running::start();
    let ran = server.run(&["explain", "one"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), EXPLAINED, ""));
    let ran = server.run(&["explain", "one", "--as", "bob", "--group", "finance,group:legal"]);
    assert_eq!(ran.stdout, EXPLAINED.replace("you", "user:bob"));
    let ran = server.run(&["explain", "one", "-o", "json"]);
    let explained: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(explained["effects"][0]["status_after"], "pending");
    assert_eq!(explained["effects"][1]["status_after"], Value::Null);
    assert_eq!(explained["stages"][1]["progress"]["open"], false);
    assert_eq!(
        server.fake.acts(),
        ["explain apr_one", "explain apr_one for user:bob in [\"group:finance\", \"group:legal\"]", "explain apr_one"]
    );
}

#[test]
fn a_rule_is_tried_before_it_is_applied() {
    let server = Running::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rule.toml");
    let path = file.to_str().unwrap();
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        server.run(&[&["rule", "check", path], more].concat())
    };
    let ran = check("required = 2", &["--requester", "cy", "--as", "bob"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(ran.stdout, format!("acceptable\n\n{}", EXPLAINED.replace("you", "user:bob")));
    let ran = check("name = 'x'\n[rule]\nrequired = 3", &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(6), ""), "{ran:?}");
    assert_eq!(ran.stdout, "not acceptable\n  stages[0].required: only 2\\u{1b} people can approve\n");
    assert_eq!(
        server.fake.acts(),
        ["check 2 asked by \"user:cy\" for Some(\"user:bob\")", "check 3 asked by \"\" for None"]
    );
    let ran = check("required = 3", &["-o", "json"]);
    let checked: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &checked["acceptable"]), (Some(6), &Value::Bool(false)));
    assert_eq!(checked["problems"][0]["field"], "stages[0].required");
    let ran = check("on_expiry = 'later'", &[]);
    assert!(ran.code == Some(6) && ran.stderr.contains("rule.toml: line 1: on_expiry \"later\": "), "{ran:?}");
}
