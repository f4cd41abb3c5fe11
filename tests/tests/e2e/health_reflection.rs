//! What load balancers and grpcurl ask.

use approve_tests::{Server, within};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

#[tokio::test]
async fn a_server_that_is_ready_says_so() {
    let server = Server::dev().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "approve.v1.ApprovalService", "approve.v1.WorkflowService"] {
        let request = HealthCheckRequest { service: service.into() };
        let response = health.check(request).await.unwrap_or_else(|status| panic!("{service:?}: {status}"));
        assert_eq!(response.get_ref().status(), ServingStatus::Serving, "{service:?}");
    }
    let request = HealthCheckRequest { service: "approve.v1.NoSuchService".into() };
    assert_eq!(health.check(request).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn reflection_knows_every_service() {
    let server = Server::dev().await;
    let ask = |message_request| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
        let channel = server.channel();
        async move {
            let mut reflection = ServerReflectionClient::new(channel.await);
            let mut answers =
                reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
            within("an answer", answers.message()).await.unwrap().unwrap().message_response.unwrap()
        }
    };
    match ask(MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => {
            let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
            for name in ["approve.v1.ApprovalService", "approve.v1.WorkflowService", "grpc.health.v1.Health"] {
                assert!(names.contains(&name), "{names:?} lacks {name}");
            }
        }
        other => panic!("{other:?}"),
    }
    let symbol = "approve.v1.ApprovalService.Decide".to_owned();
    match ask(MessageRequest::FileContainingSymbol(symbol)).await {
        MessageResponse::FileDescriptorResponse(files) => assert!(!files.file_descriptor_proto.is_empty()),
        other => panic!("{other:?}"),
    }
}
