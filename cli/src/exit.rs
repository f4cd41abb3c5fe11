use std::fmt::Write as _;

use approve_client::{Code, Error};

/// How the program ends. The numbers are public: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Other,
    Usage,
    NotFound,
    Refused,
    Precondition,
    InvalidInput,
    Unavailable,
    Timeout,
    Undeliverable,
    NotVerified,
    Changes,
    Partly,
    Interrupted,
}

const TABLE: &[(Exit, u8, &str)] = &[
    (Exit::Ok, 0, "done"),
    (Exit::Other, 1, "another failure"),
    (Exit::Usage, 2, "wrong usage"),
    (Exit::NotFound, 3, "no such approval, workflow, execution or token"),
    (Exit::Refused, 4, "refused: you may not do this"),
    (Exit::Precondition, 5, "not as things stand: decided, held, claimed or changed meanwhile, or exists already"),
    (Exit::InvalidInput, 6, "the input is not valid"),
    (Exit::Unavailable, 7, "the server, or what it depends on, is not available"),
    (Exit::Timeout, 8, "no answer in time: it may or may not have been done"),
    (Exit::Undeliverable, 9, "the decision is recorded, but the workflow can't be told"),
    (Exit::NotVerified, 10, "the exported record does not verify: it is not as it was written"),
    (Exit::Changes, 11, "workflow plan or drift: there is something to change"),
    (Exit::Partly, 12, "bulk: not all were decided; each one's result says why"),
    (Exit::Interrupted, 130, "interrupted by Ctrl-C"),
];

impl Exit {
    pub(crate) fn code(self) -> u8 {
        TABLE.iter().find(|(exit, ..)| *exit == self).map_or(1, |(_, code, _)| *code)
    }

    /// The table for `--help`.
    pub(crate) fn help() -> String {
        let mut help = String::from("Exit codes:");
        for (_, code, meaning) in TABLE {
            let _ = write!(help, "\n  {code:>3}  {meaning}");
        }
        help
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.code() {
            Code::NotFound => Self::NotFound,
            Code::PermissionDenied | Code::Unauthenticated => Self::Refused,
            Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => Self::Precondition,
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidInput,
            Code::Unavailable | Code::ResourceExhausted => Self::Unavailable,
            Code::DeadlineExceeded | Code::Cancelled => Self::Timeout,
            Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_has_one_code_of_its_own() {
        let all = [
            Exit::Ok,
            Exit::Other,
            Exit::Usage,
            Exit::NotFound,
            Exit::Refused,
            Exit::Precondition,
            Exit::InvalidInput,
            Exit::Unavailable,
            Exit::Timeout,
            Exit::Undeliverable,
            Exit::NotVerified,
            Exit::Changes,
            Exit::Partly,
            Exit::Interrupted,
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert_eq!(TABLE.len(), all.len());
    }
}
