//! What a person sees of an apply on a terminal, and what a script gets.

use std::fs;

use approve_tests::{Server, http};
use serde_json::json;

#[tokio::test]
async fn a_terminal_shows_a_bar_that_goes_and_everybody_else_gets_lines() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let spec = server.folder().join("pay.toml");
    fs::write(&spec, "name = \"pay\"\n[role]\nmanaged_policies = []\n").unwrap();
    let apply = ["workflow", "apply", spec.to_str().unwrap()];
    // Long enough to be drawn.
    let slow = |operation: &str| json!({"operation": operation, "kind": "delay", "millis": 400});
    let rules = json!({"rules": [slow("CreateRole"), slow("CreateStateMachine")]});
    http::json("POST", server.aws(), "/_sfn-local/faults", &rules).await.unwrap();

    let seen = cli.on_terminal(&apply).await.ok().stdout;
    for drawn in ["] 1/3", "] 2/3", "[========"] {
        assert!(seen.contains(drawn), "{drawn} was not drawn: {seen:?}");
    }
    let after_bar = seen.rsplit("/3").next().unwrap();
    assert!(after_bar.contains("\u{1b}[2K"), "the bar stayed: {seen:?}");
    assert!(after_bar.contains(":stateMachine:pay-state-machine"), "the outputs do not come last: {seen:?}");
    let words: Vec<&str> = seen.split_whitespace().collect();
    for kind in ["activity", "role", "state_machine"] {
        let told = words.windows(2).any(|pair| pair[0].ends_with("created") && pair[1] == kind);
        assert!(told, "{kind} is not told: {seen:?}");
    }

    cli.run(&["workflow", "destroy", "pay"]).await.ok();
    let piped = cli.run(&apply).await.ok();
    for part in ['\u{1b}', '\r'] {
        assert!(!piped.stdout.contains(part) && !piped.stderr.contains(part), "{piped}");
    }
    assert!(piped.stdout.lines().filter(|line| line.starts_with("created")).count() == 3, "{piped}");

    let json = cli.on_terminal(&[&apply[..], &["--output", "json"]].concat()).await.ok().stdout;
    let events: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line.trim()).unwrap()).collect();
    let told: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["planned", "step", "step", "step", "applied"]);
}
