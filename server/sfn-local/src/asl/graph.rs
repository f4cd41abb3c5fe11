//! Checks on a graph of states as a whole.

use std::collections::HashSet;

use super::{
    diagnostic::{Diagnostic, NO_END, SCHEMA, TRANSITION},
    model::{Graph, Kind, State, Transition},
    template::Template,
};

impl State {
    /// The states this one can lead to.
    pub(crate) fn targets(&self) -> Vec<usize> {
        let mut targets: Vec<usize> = self.catch.iter().map(|catcher| catcher.next).collect();
        match &self.kind {
            Kind::Choice { rules, default } => {
                targets.extend(rules.iter().map(|choice| choice.next));
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

impl State {
    /// The names of the variables that it assigns.
    pub(super) fn assigns(&self) -> impl Iterator<Item = &str> {
        let choices = match &self.kind {
            Kind::Choice { rules, .. } => rules.as_slice(),
            _ => &[],
        };
        let assigns = self.assign.iter();
        let assigns = assigns.chain(self.catch.iter().filter_map(|catcher| catcher.assign.as_ref()));
        let assigns = assigns.chain(choices.iter().filter_map(|choice| choice.assign.as_ref()));
        assigns.flat_map(Template::names)
    }
}

/// No variable of an inner scope has the name of one around it.
pub(crate) fn check_scopes(graph: &Graph, location: &str, outer: &HashSet<&str>, diagnostics: &mut Vec<Diagnostic>) {
    let mut names = outer.clone();
    for state in &graph.states {
        for name in state.assigns() {
            if outer.contains(name) {
                diagnostics.push(Diagnostic::error(
                    SCHEMA,
                    format!("{location}/States/{}/Assign", state.name),
                    format!("The variable '{name}' is assigned in an outer scope, and cannot be assigned in this one"),
                ));
            }
            names.insert(name);
        }
    }
    for state in &graph.states {
        let location = format!("{location}/States/{}", state.name);
        match &state.kind {
            Kind::Parallel { branches } => {
                for (index, branch) in branches.iter().enumerate() {
                    check_scopes(branch, &format!("{location}/Branches[{index}]"), &names, diagnostics);
                }
            }
            Kind::Map(map) => check_scopes(&map.processor, &format!("{location}/ItemProcessor"), &names, diagnostics),
            _ => {}
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
            NO_END,
            format!("{location}/States"),
            "No terminal state (End, Succeed or Fail) can be reached from StartAt.",
        ));
    }
}
