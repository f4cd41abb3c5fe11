//! Faults on purpose, for tests: consulted before a call is applied and again before its answer goes out.
//!
//! Rules are set by `POST /_sfn-local/faults`, read by GET and cleared by DELETE. The first rule that applies wins.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{asl::RandomSource, engine::Random};

/// When to do what to which operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The operation's name, e.g. `SendTaskSuccess`; every one when absent.
    #[serde(default)]
    pub operation: Option<String>,
    /// What happens.
    pub kind: FaultKind,
    /// For [`FaultKind::Error`]: 500 or 503.
    #[serde(default = "internal_error")]
    pub status: u16,
    /// For [`FaultKind::Delay`]: milliseconds.
    #[serde(default)]
    pub millis: u64,
    /// From 0 to 1; drawn from the plan's seed. Always, when absent.
    #[serde(default)]
    pub probability: Option<f64>,
    /// How many calls to leave alone first.
    #[serde(default)]
    pub skip: u64,
    /// How often it may still strike; without end when absent.
    #[serde(default)]
    pub times: Option<u64>,
}

/// What a fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// `ThrottlingException`, 400; not applied.
    Throttle,
    /// `AccessDeniedException`, 400; not applied.
    Deny,
    /// An error of the service; not applied.
    Error,
    /// The call is applied late.
    Delay,
    /// The connection is closed before the call is applied.
    Reset,
    /// The call is applied, and the connection closed instead of an answer.
    DropAnswer,
}

fn internal_error() -> u16 {
    500
}

/// Rules in the order they are tried, and the seed of their chances.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The same seed and the same calls draw the same faults.
    #[serde(default)]
    pub seed: u64,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<FaultRule>,
}

/// A plan in use.
#[derive(Debug)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug)]
struct State {
    plan: FaultPlan,
    random: Random,
    /// How often each rule has struck.
    fired: Vec<u64>,
}

impl Faults {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self(Mutex::new(State::new(plan)))
    }

    pub(crate) fn set(&self, plan: FaultPlan) {
        *self.lock() = State::new(plan);
    }

    /// The rules as they are now, each with how often it has struck.
    pub(crate) fn report(&self) -> Vec<(FaultRule, u64)> {
        let state = self.lock();
        state.plan.rules.iter().cloned().zip(state.fired.iter().copied()).collect()
    }

    /// What is to happen to a call that is about to be applied.
    pub(crate) fn strike(&self, operation: &str) -> Option<FaultRule> {
        self.lock().strike(operation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(plan: FaultPlan) -> Self {
        Self { random: Random::new(plan.seed), fired: vec![0; plan.rules.len()], plan }
    }

    fn strike(&mut self, operation: &str) -> Option<FaultRule> {
        for (rule, fired) in self.plan.rules.iter_mut().zip(&mut self.fired) {
            if rule.operation.as_deref().is_some_and(|wanted| wanted != operation) || rule.times == Some(0) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if let Some(probability) = rule.probability {
                // 53 bits make a float between 0 and 1.
                #[allow(clippy::cast_precision_loss)]
                let chance = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                if chance >= probability {
                    continue;
                }
            }
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
            *fired += 1;
            return Some(rule.clone());
        }
        None
    }
}
