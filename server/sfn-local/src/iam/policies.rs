//! Which AWS managed policies exist. Enough of them to tell a real ARN from one that guides got wrong.

/// Name and path of each, as in `arn:aws:iam::aws:policy<path><name>`.
const MANAGED: &[(&str, &str)] = &[
    ("AWSDenyAll", "/"),
    ("AWSLambdaBasicExecutionRole", "/service-role/"),
    ("AWSLambdaDynamoDBExecutionRole", "/service-role/"),
    ("AWSLambdaENIManagementAccess", "/service-role/"),
    ("AWSLambdaRole", "/service-role/"),
    ("AWSLambdaSQSQueueExecutionRole", "/service-role/"),
    ("AWSLambdaVPCAccessExecutionRole", "/service-role/"),
    ("AWSLambda_FullAccess", "/"),
    ("AWSLambda_ReadOnlyAccess", "/"),
    ("AWSStepFunctionsConsoleFullAccess", "/"),
    ("AWSStepFunctionsFullAccess", "/"),
    ("AWSStepFunctionsReadOnlyAccess", "/"),
    ("AWSXRayDaemonWriteAccess", "/"),
    ("AWSXrayFullAccess", "/"),
    ("AWSXrayReadOnlyAccess", "/"),
    ("AWSXrayWriteOnlyAccess", "/"),
    ("AdministratorAccess", "/"),
    ("AmazonDynamoDBFullAccess", "/"),
    ("AmazonDynamoDBReadOnlyAccess", "/"),
    ("AmazonEventBridgeFullAccess", "/"),
    ("AmazonEventBridgeReadOnlyAccess", "/"),
    ("AmazonS3FullAccess", "/"),
    ("AmazonS3ReadOnlyAccess", "/"),
    ("AmazonSNSFullAccess", "/"),
    ("AmazonSNSReadOnlyAccess", "/"),
    ("AmazonSNSRole", "/service-role/"),
    ("AmazonSQSFullAccess", "/"),
    ("AmazonSQSReadOnlyAccess", "/"),
    ("CloudWatchEventsFullAccess", "/"),
    ("CloudWatchFullAccess", "/"),
    ("CloudWatchFullAccessV2", "/"),
    ("CloudWatchLogsFullAccess", "/"),
    ("CloudWatchLogsReadOnlyAccess", "/"),
    ("CloudWatchReadOnlyAccess", "/"),
    ("IAMFullAccess", "/"),
    ("IAMReadOnlyAccess", "/"),
    ("PowerUserAccess", "/"),
    ("ReadOnlyAccess", "/"),
    ("SecretsManagerReadWrite", "/"),
    ("SecurityAudit", "/"),
    ("ViewOnlyAccess", "/job-function/"),
];

/// Name and path of the managed policy with this ARN.
pub(super) fn find(arn: &str) -> Option<(&'static str, &'static str)> {
    let rest = arn.strip_prefix("arn:aws:iam::aws:policy")?;
    let found = MANAGED.iter().find(|(name, path)| rest.strip_prefix(path) == Some(name));
    found.copied()
}
