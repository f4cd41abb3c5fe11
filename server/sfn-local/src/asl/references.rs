//! Which variables each state reads.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    choice::Rule,
    jsonata::Expression,
    jsonata_functions::is_function,
    model::{Data, Definition, FailText, Graph, Kind, PathField, Seconds, State, WaitFor},
    path::Path,
    template::Template,
};

impl Definition {
    /// The names of the variables that states read, by the state's name; states that read none are left out.
    #[must_use]
    pub fn variable_references(&self) -> BTreeMap<String, Vec<String>> {
        let mut states = Vec::new();
        collect(&self.graph, &mut states);
        let assigned = states.iter().flat_map(|state| state.assigns()).collect();
        let mut references = BTreeMap::new();
        for state in states {
            let mut names = Names { assigned: &assigned, found: BTreeSet::new() };
            names.state(state);
            if !names.found.is_empty() {
                let found = names.found.into_iter().map(str::to_owned).collect();
                references.insert(state.name.as_ref().to_owned(), found);
            }
        }
        references
    }
}

/// The states of a graph and of those within it.
fn collect<'g>(graph: &'g Graph, states: &mut Vec<&'g State>) {
    for state in &graph.states {
        states.push(state);
        match &state.kind {
            Kind::Parallel { branches } => branches.iter().for_each(|branch| collect(branch, states)),
            Kind::Map(map) => collect(&map.processor, states),
            Kind::Task { .. }
            | Kind::Pass { .. }
            | Kind::Choice { .. }
            | Kind::Wait(_)
            | Kind::Succeed
            | Kind::Fail { .. } => {}
        }
    }
}

struct Names<'s, 'a> {
    /// The names that the machine gives a value: one of them hides a function of JSONata that is called so.
    assigned: &'a BTreeSet<&'s str>,
    found: BTreeSet<&'s str>,
}

impl<'s> Names<'s, '_> {
    fn state(&mut self, state: &'s State) {
        match &state.data {
            Data::JsonPath(paths) => {
                self.field(&paths.input_path);
                self.field(&paths.output_path);
                self.templates([&paths.parameters, &paths.result_selector]);
            }
            Data::Jsonata { arguments, output } => self.templates([arguments, output]),
        }
        self.templates([&state.assign]);
        for catcher in &state.catch {
            self.templates([&catcher.assign, &catcher.output]);
        }
        match &state.kind {
            Kind::Task { timeout, heartbeat, .. } => self.numbers([timeout, heartbeat]),
            Kind::Choice { rules, .. } => {
                for choice in rules {
                    self.rule(&choice.rule);
                    self.templates([&choice.assign, &choice.output]);
                }
            }
            Kind::Wait(WaitFor::Seconds(seconds)) => self.number(seconds),
            Kind::Wait(WaitFor::TimestampPath(path)) => self.path(path),
            Kind::Wait(WaitFor::TimestampExpression(expression)) => self.expression(expression),
            Kind::Fail { error, cause } => {
                for text in [error, cause].into_iter().flatten() {
                    match text {
                        FailText::Fixed(_) => {}
                        FailText::Path { template, .. } => self.template(template),
                        FailText::Expression(expression) => self.expression(expression),
                    }
                }
            }
            Kind::Map(map) => {
                self.field(&map.items_path);
                self.templates([&map.items, &map.item_selector]);
                self.numbers([&map.max_concurrency, &map.tolerated_count, &map.tolerated_percentage]);
            }
            Kind::Wait(WaitFor::Timestamp(_)) | Kind::Pass { .. } | Kind::Succeed | Kind::Parallel { .. } => {}
        }
    }

    fn templates<const N: usize>(&mut self, templates: [&'s Option<Template>; N]) {
        templates.into_iter().flatten().for_each(|template| self.template(template));
    }

    fn template(&mut self, template: &'s Template) {
        match template {
            Template::Literal(_) => {}
            Template::Path { path, .. } => self.path(path),
            Template::Call(call) => call.paths(&mut |path| self.path(path)),
            Template::Expression(expression) => self.expression(expression),
            Template::Object(fields) => fields.iter().for_each(|(_, template)| self.template(template)),
            Template::Array(items) => items.iter().for_each(|template| self.template(template)),
        }
    }

    fn rule(&mut self, rule: &'s Rule) {
        match rule {
            Rule::And(rules) | Rule::Or(rules) => rules.iter().for_each(|rule| self.rule(rule)),
            Rule::Not(rule) => self.rule(rule),
            Rule::Test { variable, test } => {
                self.path(variable);
                test.operand_path().into_iter().for_each(|path| self.path(path));
            }
            Rule::Condition(expression) => self.expression(expression),
            Rule::Constant(_) => {}
        }
    }

    fn expression(&mut self, expression: &'s Expression) {
        let assigned = self.assigned;
        let variables = expression.variables().filter(|name| assigned.contains(name) || !is_function(name));
        self.found.extend(variables);
    }

    fn numbers<const N: usize>(&mut self, numbers: [&'s Option<Seconds>; N]) {
        numbers.into_iter().flatten().for_each(|number| self.number(number));
    }

    fn number(&mut self, number: &'s Seconds) {
        match number {
            Seconds::Fixed(_) => {}
            Seconds::Path(path) => self.path(path),
            Seconds::Expression(expression) => self.expression(expression),
        }
    }

    fn field(&mut self, field: &'s PathField<Path>) {
        if let PathField::Path(path) = field {
            self.path(path);
        }
    }

    fn path(&mut self, path: &'s Path) {
        self.found.extend(path.variable());
    }
}
