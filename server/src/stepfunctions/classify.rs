//! What a failed call means: one map, by AWS's error code, then by HTTP status. Never by message text.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{CallError, Failure, redact::redact};

/// The [`CallError`] of a call that failed. `secrets` are what the message must not show: tokens and payloads that were
/// sent.
pub(crate) fn classify<E>(operation: &'static str, error: &SdkError<E, HttpResponse>, secrets: &[&str]) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (failure, code, message) = match error {
        SdkError::ServiceError(answer) => {
            let meta = answer.err().meta();
            let failure = of_answer(meta.code(), answer.raw().status().as_u16());
            (failure, meta.code().map(bare_code), meta.message().unwrap_or("no message").to_owned())
        }
        SdkError::ConstructionFailure(_) => (Failure::Denied, None, chain(error)),
        SdkError::DispatchFailure(_) => (of_dispatch(error), None, chain(error)),
        SdkError::TimeoutError(_) => (Failure::Unknown, None, "no answer in time".to_owned()),
        // The chain may quote the answer, and with it a payload.
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            (Failure::Unknown, None, format!("an answer that is none (HTTP status {status})"))
        }
        _ => (Failure::Unknown, None, "an error of an unknown kind".to_owned()),
    };
    CallError { failure, operation, code, message: redact(&message, secrets) }
}

impl CallError {
    /// The error that an answer with this code is. `message` must hold no token and no payload.
    #[must_use]
    pub fn of_code(operation: &'static str, code: &str, message: &str) -> Self {
        let failure = of_answer(Some(code), 400);
        Self { failure, operation, code: Some(bare_code(code)), message: message.to_owned() }
    }
}

/// The code without a namespace before it or a URL after it.
fn bare_code(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.split(':').next().unwrap_or(code).to_owned()
}

fn of_answer(code: Option<&str>, status: u16) -> Failure {
    code.and_then(|code| of_code(&bare_code(code))).unwrap_or_else(|| of_status(status))
}

/// What a code means; `None` if nobody knows it.
fn of_code(code: &str) -> Option<Failure> {
    let failure = match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "ActivityWorkerLimitExceeded"
        | "ExecutionLimitExceeded"
        | "KmsThrottlingException"
        // Two changes at once: the same call may be made again.
        | "ConcurrentModification"
        | "ConflictException" => Failure::Throttled,

        "TaskDoesNotExist"
        | "InvalidToken"
        | "ExecutionDoesNotExist"
        | "ActivityDoesNotExist"
        | "StateMachineDoesNotExist"
        | "ResourceNotFound"
        | "ResourceNotFoundException"
        | "NoSuchEntity"
        | "NoSuchEntityException" => Failure::Gone,

        "TaskTimedOut" => Failure::TimedOut,

        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignature"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClient"
        | "UnrecognizedClientException"
        // An operator can enable the key again, or grant its use: nothing is lost until then.
        | "KmsAccessDeniedException"
        | "KmsInvalidStateException" => Failure::Denied,

        "ActivityAlreadyExists"
        | "ActivityLimitExceeded"
        | "DeleteConflict"
        | "DeleteConflictException"
        | "EntityAlreadyExists"
        | "EntityAlreadyExistsException"
        | "ExecutionAlreadyExists"
        | "ExecutionNotRedrivable"
        | "InvalidArn"
        | "InvalidDefinition"
        | "InvalidEncryptionConfiguration"
        | "InvalidExecutionInput"
        | "InvalidInput"
        | "InvalidInputException"
        | "InvalidLoggingConfiguration"
        | "InvalidName"
        | "InvalidOutput"
        | "InvalidParameterValue"
        | "InvalidTracingConfiguration"
        | "LimitExceeded"
        | "MalformedPolicyDocument"
        | "MalformedPolicyDocumentException"
        | "MissingParameter"
        | "MissingRequiredParameter"
        | "PolicyNotAttachable"
        | "PolicyNotAttachableException"
        | "ServiceQuotaExceededException"
        | "StateMachineAlreadyExists"
        | "StateMachineDeleting"
        | "StateMachineLimitExceeded"
        | "StateMachineTypeNotSupported"
        | "TooManyTags"
        | "UnmodifiableEntity"
        | "UnmodifiableEntityException"
        | "ValidationError"
        | "ValidationException" => Failure::Refused,

        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServerException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceFailure"
        | "ServiceFailureException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Failure::Unknown,

        // Families, for members that are younger than this list.
        _ if code.contains("Throttl") => Failure::Throttled,
        _ if code.contains("AccessDenied") || code.starts_with("ExpiredToken") => Failure::Denied,
        _ if code.ends_with("DoesNotExist") || code.starts_with("NoSuch") => Failure::Gone,
        _ if code.contains("AlreadyExists") || code.starts_with("Invalid") || code.starts_with("Malformed") => {
            Failure::Refused
        }
        _ => return None,
    };
    Some(failure)
}

/// What an HTTP status means where the code says nothing. A status of 400 alone refuses nothing for good: a decision
/// must not be given up on the word of a proxy.
fn of_status(status: u16) -> Failure {
    match status {
        429 => Failure::Throttled,
        401 | 403 => Failure::Denied,
        _ => Failure::Unknown,
    }
}

/// A call that never got an answer: without credentials it was never made, else nobody knows.
fn of_dispatch(error: &(dyn Error + 'static)) -> Failure {
    let credentials = sources(error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
    match credentials {
        Some(CredentialsError::ProviderTimedOut(_)) | None => Failure::Unknown,
        Some(_) => Failure::Denied,
    }
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The error and its causes on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = sources(error).map(ToString::to_string).collect();
    parts.dedup();
    parts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::error::CredentialsError;
    use aws_smithy_runtime_api::client::{
        orchestrator::HttpResponse,
        result::{ConnectorError, SdkError},
    };
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::{Failure, classify};

    fn answer(code: Option<&str>, message: &str, status: u16) -> SdkError<ErrorMetadata, HttpResponse> {
        let mut meta = ErrorMetadata::builder().message(message);
        if let Some(code) = code {
            meta = meta.code(code);
        }
        SdkError::service_error(meta.build(), response(status))
    }

    fn response(status: u16) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), SdkBody::empty())
    }

    #[test]
    fn codes_mean_what_the_table_says() {
        let table = [
            ("ThrottlingException", 400, Failure::Throttled),
            ("TooManyRequestsException", 400, Failure::Throttled),
            ("RequestLimitExceeded", 503, Failure::Throttled),
            ("ActivityWorkerLimitExceeded", 400, Failure::Throttled),
            ("SomeYoungThrottlingException", 400, Failure::Throttled),
            ("TaskDoesNotExist", 400, Failure::Gone),
            ("InvalidToken", 400, Failure::Gone),
            ("ExecutionDoesNotExist", 400, Failure::Gone),
            ("ActivityDoesNotExist", 400, Failure::Gone),
            ("StateMachineDoesNotExist", 400, Failure::Gone),
            ("NoSuchEntity", 404, Failure::Gone),
            ("com.amazonaws.sfn#TaskDoesNotExist", 400, Failure::Gone),
            ("TaskTimedOut", 400, Failure::TimedOut),
            ("TaskTimedOut:http://internal.amazon.com/coral/", 400, Failure::TimedOut),
            ("AccessDeniedException", 400, Failure::Denied),
            ("AccessDenied", 403, Failure::Denied),
            ("UnrecognizedClientException", 400, Failure::Denied),
            ("ExpiredTokenException", 400, Failure::Denied),
            ("InvalidSignatureException", 400, Failure::Denied),
            ("InvalidClientTokenId", 403, Failure::Denied),
            ("KmsAccessDeniedException", 400, Failure::Denied),
            ("InvalidOutput", 400, Failure::Refused),
            ("ValidationException", 400, Failure::Refused),
            ("InvalidArn", 400, Failure::Refused),
            ("InvalidSomethingYoung", 400, Failure::Refused),
            ("ExecutionAlreadyExists", 400, Failure::Refused),
            ("EntityAlreadyExists", 409, Failure::Refused),
            ("InternalFailure", 500, Failure::Unknown),
            ("ServiceUnavailable", 503, Failure::Unknown),
            // A code nobody knows says nothing: the status does, and a plain 400 gives nothing up.
            ("SomethingYoung", 400, Failure::Unknown),
            ("SomethingYoung", 403, Failure::Denied),
            ("SomethingYoung", 429, Failure::Throttled),
        ];
        for (code, status, failure) in table {
            let error = classify("Any", &answer(Some(code), "", status), &[]);
            assert_eq!(error.failure, failure, "{code} with status {status}");
        }
    }

    #[test]
    fn an_answer_without_a_code_is_judged_by_its_status() {
        for (status, failure) in [
            (429, Failure::Throttled),
            (401, Failure::Denied),
            (403, Failure::Denied),
            (400, Failure::Unknown),
            (502, Failure::Unknown),
        ] {
            assert_eq!(classify("Any", &answer(None, "", status), &[]).failure, failure, "status {status}");
        }
    }

    #[test]
    fn the_text_of_a_message_means_nothing() {
        let error =
            classify("Any", &answer(Some("ValidationException"), "ThrottlingException: TaskTimedOut", 400), &[]);
        assert_eq!(error.failure, Failure::Refused);
    }

    #[test]
    fn no_answer_is_unknown_and_no_credentials_are_denied() {
        type Lost = SdkError<ErrorMetadata, HttpResponse>;
        let lost: [Lost; 4] = [
            SdkError::timeout_error("late"),
            SdkError::dispatch_failure(ConnectorError::io("reset".into())),
            SdkError::dispatch_failure(ConnectorError::timeout("connect".into())),
            SdkError::response_error("cut off", response(200)),
        ];
        for error in lost {
            assert_eq!(classify("Any", &error, &[]).failure, Failure::Unknown, "{error:?}");
        }
        let none: Lost = SdkError::dispatch_failure(ConnectorError::other(
            CredentialsError::not_loaded("no providers in chain provided credentials").into(),
            None,
        ));
        let error = classify("Any", &none, &[]);
        assert_eq!(error.failure, Failure::Denied);
        assert!(error.message.contains("no providers"), "{}", error.message);
    }

    #[test]
    fn a_token_that_aws_echoes_is_not_in_the_message() {
        let token = "AQCEAAAAKgAAAAMAAAAAAAAAAbHOyW";
        let error = classify(
            "SendTaskSuccess",
            &answer(Some("InvalidToken"), &format!("Invalid Token: '{token}'"), 400),
            &[token],
        );
        assert_eq!(error.to_string(), "SendTaskSuccess: InvalidToken: Invalid Token: '…'");
    }
}
