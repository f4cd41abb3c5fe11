use approve_client::proto::{Execution, ExecutionStatus};
use serde::Serialize;

use super::{Raw, moment, present};
use crate::output::names::Name;

#[derive(Serialize)]
pub(crate) struct ExecutionJson<'a> {
    arn: &'a str,
    name: &'a str,
    state_machine_arn: &'a str,
    status: String,
    input: Raw<'a>,
    output: Raw<'a>,
    error: Option<&'a str>,
    cause: Raw<'a>,
    start_time: Option<String>,
    stop_time: Option<String>,
    states: Vec<StateJson<'a>>,
}

#[derive(Serialize)]
struct StateJson<'a> {
    name: &'a str,
    enter_time: Option<String>,
    exit_time: Option<String>,
}

impl<'a> From<&'a Execution> for ExecutionJson<'a> {
    fn from(execution: &'a Execution) -> Self {
        Self {
            arn: &execution.arn,
            name: &execution.name,
            state_machine_arn: &execution.state_machine_arn,
            status: ExecutionStatus::lower(execution.status),
            input: Raw(&execution.input_json),
            output: Raw(&execution.output_json),
            error: present(&execution.error),
            cause: Raw(&execution.cause),
            start_time: moment(execution.start_time.as_ref()),
            stop_time: moment(execution.stop_time.as_ref()),
            states: execution
                .states
                .iter()
                .map(|state| StateJson {
                    name: &state.name,
                    enter_time: moment(state.enter_time.as_ref()),
                    exit_time: moment(state.exit_time.as_ref()),
                })
                .collect(),
        }
    }
}
