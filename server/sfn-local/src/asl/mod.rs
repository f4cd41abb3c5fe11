//! Amazon States Language: parsing, validation and the pure evaluation of its parts.
//!
//! [`validate`] reports everything wrong with a definition; [`Definition::parse`] gives the compiled form that the
//! engine runs. What the engine does not support is a diagnostic, never a silent skip.

mod choice;
mod decimal;
mod diagnostic;
mod digits;
mod eval;
mod functions;
mod graph;
mod intrinsic;
mod jsonata;
mod jsonata_functions;
mod model;
mod parse;
mod parse_choice;
mod parse_errors;
mod parse_fields;
mod parse_states;
mod path;
mod references;
mod template;
mod variables;
mod warnings;

pub(crate) use self::{
    choice::timestamp,
    eval::{Failure, RandomSource, Scope, apply_result_path, select},
    jsonata::Expression,
    model::{
        Catcher, Data, FailText, Graph, JitterStrategy, Kind, Map, PathField, Paths, Retrier, Seconds, State,
        Transition, WaitFor, matches_error,
    },
    parse_fields::MAX_SECONDS,
    template::Template,
    variables::{Assigned, Variables, assigned},
};
pub use self::{
    diagnostic::{Diagnostic, Severity},
    model::Definition,
};

/// Everything that `CreateStateMachine` would refuse `definition` for, in document order; empty when it is valid.
#[must_use]
pub fn validate(definition: &str) -> Vec<Diagnostic> {
    Definition::parse(definition).err().unwrap_or_default()
}

/// What is legal in `definition` but probably not what was meant: literals that look like paths.
#[must_use]
pub fn warnings(definition: &str) -> Vec<Diagnostic> {
    warnings::warnings(definition)
}
