//! A task whose input has no `approve` block is an approval, too: its whole text is the payload.

use approve_client::{ApprovalStatus, Decide, proto::ExecutionStatus};
use approve_tests::{
    Server,
    approvals::{ask, ended},
    workflows::{PASS_INPUT, apply, spec},
};

#[tokio::test]
async fn the_whole_text_is_the_payload_and_keeps_its_numbers() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    let workflow = apply(&client, spec("bare", PASS_INPUT)).await;
    for input in [r#"{"amount":1200.50,"big":12345678901234567890123}"#, r#"[1,2.50,"three"]"#, r#""text""#] {
        let (arn, approval) = ask(&client, "bare", input).await;

        assert_eq!(approval.status(), ApprovalStatus::Pending);
        assert_eq!(approval.input_json, input);
        assert!(!approval.title.is_empty());
        let source = approval.source.clone().unwrap();
        assert_eq!(source.activity_arn, workflow.activity_arn);
        assert_eq!(source.state_name, "");

        client.decide(Decide::approve(&approval.id).comment("fine")).await.unwrap();
        let execution = ended(&client, &arn).await;
        assert_eq!(execution.status(), ExecutionStatus::Succeeded);
        assert!(
            execution.output_json.contains(&format!(r#""input":{input}"#)),
            "the payload is not in the output as it was: {}",
            execution.output_json
        );
    }
}
