//! What only tests use, under `/_sfn-local/`.
//!
//! | request | does |
//! |---|---|
//! | `GET /_sfn-local/health` | 200 when serving, with the number of open polls |
//! | `GET`, `POST`, `DELETE /_sfn-local/faults` | reads, sets and clears the fault plan |
//! | `POST /_sfn-local/clock` | `{"advance_millis": n}`, `{"stop": true}` or `{"stop": false}`; answers the time |

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, answer};
use crate::{faults::FaultPlan, shared::Shared};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    advance_millis: u64,
    #[serde(default)]
    stop: Option<bool>,
}

pub(super) fn handle(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Answer {
    let (status, value) = match (method.as_str(), path.trim_start_matches("/_sfn-local/")) {
        ("GET", "health") => {
            (StatusCode::OK, json!({"status": "ok", "open_polls": shared.call(|engine, _| engine.open_polls())}))
        }
        ("GET", "faults") => (StatusCode::OK, report(shared)),
        ("POST", "faults") => match serde_json::from_slice::<FaultPlan>(body) {
            Ok(plan) => {
                shared.faults.set(plan);
                (StatusCode::OK, report(shared))
            }
            Err(error) => (StatusCode::BAD_REQUEST, json!({"message": error.to_string()})),
        },
        ("DELETE", "faults") => {
            shared.faults.set(FaultPlan::default());
            (StatusCode::OK, report(shared))
        }
        ("POST", "clock") => match serde_json::from_slice::<ClockChange>(body) {
            Ok(change) => {
                let now = shared.set_clock(|clock| {
                    match change.stop {
                        Some(true) => clock.stop(),
                        Some(false) => clock.resume(),
                        None => {}
                    }
                    clock.advance(Duration::from_millis(change.advance_millis));
                });
                (StatusCode::OK, json!({"now": now.to_string()}))
            }
            Err(error) => (StatusCode::BAD_REQUEST, json!({"message": error.to_string()})),
        },
        _ => (StatusCode::NOT_FOUND, json!({"message": format!("nothing at {method} {path}")})),
    };
    answer(status, "application/json", value.to_string(), "")
}

fn report(shared: &Shared) -> Value {
    let rules = shared.faults.report().into_iter().map(|(rule, fired)| json!({"rule": rule, "fired": fired}));
    json!({"rules": rules.collect::<Vec<_>>()})
}
