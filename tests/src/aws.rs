//! AWS's own SDK, for what is asked of the AWS endpoint directly.

use aws_sdk_sfn::config::{BehaviorVersion, Credentials, Region};

/// Step Functions at an endpoint.
pub fn step_functions(endpoint: &str) -> aws_sdk_sfn::Client {
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .build();
    aws_sdk_sfn::Client::from_conf(config)
}

/// IAM at an endpoint.
pub fn iam(endpoint: &str) -> aws_sdk_iam::Client {
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials())
        .endpoint_url(endpoint)
        .build();
    aws_sdk_iam::Client::from_conf(config)
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "tests")
}
