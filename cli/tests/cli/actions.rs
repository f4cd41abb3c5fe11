//! What may be done with an approval beside deciding it.

use crate::common::Running;

#[test]
fn each_reaches_the_approval_that_the_prefix_names_and_tells_what_came_of_it() {
    let server = Running::start();
    for (args, act, told) in [
        (
            vec!["withdraw", "one", "-m", "a mistake"],
            "withdraw apr_one00000000000000000000000 \"a mistake\"",
            "your vote is withdrawn; 0 of 2 approvals, 0 of 1 rejection\n",
        ),
        (vec!["claim", "one"], "claim None", "claimed by user:ana, until "),
        (vec!["claim", "one", "--for", "2h"], "claim Some(7200)", " (in 2h)\n"),
        (vec!["release", "one"], "release", "claimed by nobody\n"),
        (
            vec!["reassign", "one", "--to", "bob", "--comment", "you know it", "--for", "3d"],
            "reassign to user:bob \"you know it\" Some(259200)",
            ", given by user:bo\\n, then user:cy\n",
        ),
        (vec!["reassign", "one", "--to", "service:bot"], "reassign to service:bot \"\" None", "claimed by user:ana"),
        (vec!["cancel", "one", "--reason", "no", "--request-id", "r1"], "cancel \"no\" r1", "nothing to deliver\n"),
        (
            vec!["hold", "one", "-m", "an audit"],
            "hold \"an audit\" None",
            "on hold until it is resumed, by user:op (an audit)\n",
        ),
        (
            vec!["hold", "one", "-m", "x", "--until", "2100-01-01T00:00:00Z"],
            "hold \"x\" Some(4102444800)",
            "on hold until 2100-01-01 00:00:00 UTC (in ",
        ),
        (vec!["resume", "one"], "resume", "not on hold\n"),
    ] {
        let ran = server.run(&args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}: {ran:?}");
        assert!(
            ran.stdout.contains("  apr_one00000000000000000000000  Pay invoice 4711\n"),
            "{args:?}: {}",
            ran.stdout
        );
        assert!(ran.stdout.contains(told), "{args:?}: {}", ran.stdout);
        assert_eq!(server.fake.acts(), [act], "{args:?}");
    }
    let ran = server.run(&["cancel", "one", "--reason", "no", "-o", "json"]);
    let done: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(done["approval"]["status"], "canceled");
    assert_eq!(done["request_id"].as_str().unwrap().len(), 36);
}

#[test]
fn what_goes_wrong_says_what_to_do() {
    let server = Running::start();
    server.fake.approvals.lock().unwrap()[0].assignment = Some(approve_proto::v1::Assignment::default());
    for (args, code, said) in [
        (vec!["claim", "one"], 5, "whoever has it, or an operator, may release it"),
        (vec!["claim", "one", "--for", "soon"], 2, "not a time such as"),
        (vec!["claim", "none"], 3, "list --status all"),
        (vec!["cancel", "one"], 2, "--reason"),
        (vec!["reassign", "one"], 2, "--to"),
        (vec!["hold", "one", "-m", "x", "--until", "never"], 2, "not a time such as 2h"),
        (vec!["decide", "one", "--outcome", "later", "--approve"], 2, "cannot be used with"),
    ] {
        let ran = server.run(&args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn an_outcome_and_a_response_from_a_file_go_with_the_decision() {
    let server = Running::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("response.json");
    std::fs::write(&file, "{\"limit\": 1200.50}").unwrap();
    let response = format!("@{}", file.display());
    let ran = server.run(&["decide", "one", "--outcome", "postpone", "--response", &response]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let decision = server.fake.decisions.lock().unwrap()[0].clone();
    assert_eq!((decision.outcome.as_str(), decision.decision), ("postpone", 0));
    assert_eq!(decision.response_json, "{\"limit\": 1200.50}");
    std::fs::write(&file, "{no").unwrap();
    let ran = server.run(&["decide", "one", "-a", "--response", &response]);
    assert!(ran.code == Some(6) && ran.stderr.contains("response.json is not JSON"), "{ran:?}");
    let ran = server.run(&["decide", "one", "-a", "--response", "@/nonexistent"]);
    assert!(ran.code == Some(6) && ran.stderr.contains("can't read /nonexistent"), "{ran:?}");
}
