//! Checks on a graph of states as a whole.

use super::{
    diagnostic::{Diagnostic, TRANSITION},
    model::{Graph, Kind, State, Transition},
};

impl State {
    /// The states this one can lead to.
    pub(crate) fn targets(&self) -> Vec<usize> {
        let mut targets: Vec<usize> = self.catch.iter().map(|catcher| catcher.next).collect();
        match &self.kind {
            Kind::Choice { rules, default } => {
                targets.extend(rules.iter().map(|(_, next)| *next));
                targets.extend(default);
            }
            Kind::Succeed | Kind::Fail { .. } => {}
            Kind::Task { .. } | Kind::Pass { .. } | Kind::Wait(_) | Kind::Parallel { .. } | Kind::Map(_) => {
                if let Transition::Next(next) = self.next {
                    targets.push(next);
                }
            }
        }
        targets
    }

    fn is_terminal(&self) -> bool {
        match self.kind {
            Kind::Succeed | Kind::Fail { .. } => true,
            Kind::Choice { .. } => false,
            Kind::Task { .. } | Kind::Pass { .. } | Kind::Wait(_) | Kind::Parallel { .. } | Kind::Map(_) => {
                self.next == Transition::End
            }
        }
    }
}

/// Every state can be reached, and some state ends the graph.
pub(crate) fn check(graph: &Graph, location: &str, diagnostics: &mut Vec<Diagnostic>) {
    let location = location.trim_end_matches('/');
    let mut reached = vec![false; graph.states.len()];
    let mut open = vec![graph.start];
    while let Some(index) = open.pop() {
        if let (Some(seen), Some(state)) = (reached.get_mut(index), graph.states.get(index))
            && !std::mem::replace(seen, true)
        {
            open.extend(state.targets());
        }
    }
    for (state, reached) in graph.states.iter().zip(&reached) {
        if !reached {
            diagnostics.push(Diagnostic::error(
                TRANSITION,
                format!("{location}/States/{}", state.name),
                format!("State \"{}\" is not reachable.", state.name),
            ));
        }
    }
    if !graph.states.iter().zip(&reached).any(|(state, reached)| *reached && state.is_terminal()) {
        diagnostics.push(Diagnostic::error(
            TRANSITION,
            format!("{location}/States"),
            "No terminal state (End, Succeed or Fail) can be reached from StartAt.",
        ));
    }
}
