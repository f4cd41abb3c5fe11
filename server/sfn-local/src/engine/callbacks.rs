//! SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    ApiError, Engine,
    run::MAX_PAYLOAD,
    tasks::{Outcome, is_token},
    world::Task,
};
use crate::json::Json;

const MAX_TOKEN: usize = 2048;
const MAX_ERROR: usize = 256;
const MAX_CAUSE: usize = 32_768;

impl Engine {
    /// SendTaskSuccess. A refused output leaves the task open.
    pub fn send_task_success(&mut self, token: &str, output: &str, now: Timestamp) -> Result<(), ApiError> {
        self.tick(now);
        check_length("output", output, MAX_PAYLOAD)?;
        self.open_token(token)?;
        if output.len() > MAX_PAYLOAD {
            return Err(invalid_output(&format!("the output is longer than {MAX_PAYLOAD} bytes")));
        }
        let output = Json::parse(output).map_err(|error| invalid_output(&error.to_string()))?;
        self.end_task(token, Outcome::Succeeded(output));
        Ok(())
    }

    /// SendTaskFailure.
    pub fn send_task_failure(
        &mut self,
        token: &str,
        error: Option<&str>,
        cause: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        self.tick(now);
        check_reported(error, cause)?;
        self.open_token(token)?;
        let outcome = Outcome::Failed { error: error.map(str::to_owned), cause: cause.map(str::to_owned) };
        self.end_task(token, outcome);
        Ok(())
    }

    /// SendTaskHeartbeat. Restarts HeartbeatSeconds; TimeoutSeconds runs on.
    pub fn send_task_heartbeat(&mut self, token: &str, now: Timestamp) -> Result<(), ApiError> {
        self.tick(now);
        let token = self.open_token(token)?;
        self.world.restart_heartbeat(&token);
        Ok(())
    }

    fn open_token(&self, token: &str) -> Result<Arc<str>, ApiError> {
        if token.is_empty() || token.chars().count() > MAX_TOKEN {
            return Err(ApiError::constraint("'***'", "taskToken", "Member must have length between 1 and 2048"));
        }
        match self.world.tasks.get_key_value(token) {
            // A token that nobody was given yet cannot be known to a caller: it counts as open.
            Some((token, Task::Open(_))) => Ok(token.clone()),
            Some((_, Task::Closed)) => {
                Err(ApiError::new("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'"))
            }
            None if is_token(token) => {
                Err(ApiError::new("TaskDoesNotExist", "Task Does Not Exist: 'Provided task does not exist'"))
            }
            None => Err(ApiError::new("InvalidToken", "Invalid Token: 'Invalid token'")),
        }
    }
}

fn invalid_output(why: &str) -> ApiError {
    ApiError::new("InvalidOutput", format!("Invalid Output: '{why}'"))
}

/// The limits on what a caller gives as error and cause.
pub(super) fn check_reported(error: Option<&str>, cause: Option<&str>) -> Result<(), ApiError> {
    check_length("error", error.unwrap_or_default(), MAX_ERROR)?;
    check_length("cause", cause.unwrap_or_default(), MAX_CAUSE)
}

fn check_length(field: &str, text: &str, max: usize) -> Result<(), ApiError> {
    if text.len() > max && text.chars().count() > max {
        let constraint = format!("Member must have length less than or equal to {max}");
        return Err(ApiError::constraint("'***'", field, &constraint));
    }
    Ok(())
}
