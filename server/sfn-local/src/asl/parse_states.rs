//! The states, type by type: parsing.

use std::sync::Arc;

use super::{
    choice::timestamp,
    diagnostic::{Diagnostic, RESOURCE},
    jsonata::is_expression,
    model::{Choice, FailText, Kind, Map, PathField, QueryLanguage, Seconds, WaitFor},
    parse::{StateReader, parse_graph},
    parse_choice,
    parse_fields::{Fields, MAX_SECONDS},
    template::Template,
};

impl StateReader<'_> {
    pub(crate) fn task(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.require(&["Resource"]);
        let resource = fields.string("Resource")?;
        if !crate::engine::is_activity_arn(resource) {
            let message = format!(
                "The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the \
                 resource is not available in this region. This engine runs activities \
                 (arn:aws:states:<region>:<account>:activity:<name>) only"
            );
            let location = fields.at("Resource");
            fields.diagnostics().push(Diagnostic::error(RESOURCE, location, message));
        }
        let timeout = fields.seconds("TimeoutSeconds", "TimeoutSecondsPath", (1, MAX_SECONDS));
        let heartbeat = fields.seconds("HeartbeatSeconds", "HeartbeatSecondsPath", (1, MAX_SECONDS));
        if let Some(Seconds::Fixed(heartbeat)) = heartbeat {
            let limit = match timeout {
                None => MAX_SECONDS,
                Some(Seconds::Fixed(timeout)) => timeout,
                Some(Seconds::Path(_) | Seconds::Expression(_)) => u64::MAX,
            };
            if heartbeat >= limit {
                fields.error("HeartbeatSeconds", "HeartbeatSeconds must be smaller than TimeoutSeconds");
            }
        }
        Some(Kind::Task { resource: resource.into(), timeout, heartbeat })
    }

    pub(crate) fn choice(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.require(&["Choices"]);
        let Some(choices) = fields.get("Choices")?.as_array().filter(|choices| !choices.is_empty()) else {
            fields.error("Choices", "Expected a non-empty array of choice rules");
            return None;
        };
        let mut rules = Vec::new();
        for (index, choice) in choices.iter().enumerate() {
            let field = format!("Choices[{index}]");
            let location = fields.at(&field);
            let (language, diagnostics) = (fields.language, fields.diagnostics());
            if let Some(found) = parse_choice::top_rule(choice, &location, language, diagnostics) {
                let parse_choice::TopRule { rule, next, assign, output } = found;
                let next = self.target(next, fields, &format!("{field}/Next"));
                rules.extend(next.map(|next| Choice { rule, next, assign, output }));
            }
        }
        let default = fields.string("Default").and_then(|name| self.target(name, fields, "Default"));
        Some(Kind::Choice { rules, default })
    }

    pub(crate) fn parallel(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        fields.require(&["Branches"]);
        let Some(branches) = fields.get("Branches")?.as_array().filter(|branches| !branches.is_empty()) else {
            fields.error("Branches", "Expected a non-empty array of branches");
            return None;
        };
        let mut graphs = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let location = fields.at(&format!("Branches[{index}]"));
            let inner = Fields::open(branch, &location, self.language, fields.diagnostics());
            let Some(mut inner) = inner else { continue };
            inner.string("Comment");
            graphs.extend(parse_graph(&mut inner, self.names).map(Arc::new));
            fields.diagnostics().extend(inner.finish("a branch"));
        }
        Some(Kind::Parallel { branches: graphs })
    }

    pub(crate) fn map(&mut self, fields: &mut Fields<'_>) -> Option<Kind> {
        let by_path = fields.language == QueryLanguage::JsonPath;
        fields.at_most_one(&["ItemProcessor", "Iterator"]);
        let name = if fields.has("Iterator") { "Iterator" } else { "ItemProcessor" };
        fields.require(&[name]);
        let (value, location) = (fields.get(name)?, fields.at(name));
        let mut inner = Fields::open(value, &location, self.language, fields.diagnostics())?;
        inner.string("Comment");
        processor_config(&mut inner);
        let graph = parse_graph(&mut inner, self.names);
        fields.diagnostics().extend(inner.finish("an item processor"));
        let (items_path, items, item_selector) = if by_path {
            fields.at_most_one(&["ItemSelector", "Parameters"]);
            let selector = fields.template("ItemSelector").or(fields.template("Parameters"));
            (fields.path_field("ItemsPath"), None, selector)
        } else {
            (PathField::Whole, items(fields), fields.query("ItemSelector"))
        };
        let max_concurrency = fields.seconds("MaxConcurrency", "MaxConcurrencyPath", (0, MAX_SECONDS));
        let tolerated_count = fields.seconds("ToleratedFailureCount", "ToleratedFailureCountPath", (0, MAX_SECONDS));
        let tolerated_percentage =
            fields.seconds("ToleratedFailurePercentage", "ToleratedFailurePercentagePath", (0, 100));
        Some(Kind::Map(Box::new(Map {
            processor: Arc::new(graph?),
            items_path,
            items,
            item_selector,
            max_concurrency,
            tolerated_count,
            tolerated_percentage,
        })))
    }
}

/// `Items`: an array, or an expression that gives one.
fn items(fields: &mut Fields<'_>) -> Option<Template> {
    let template = fields.query("Items")?;
    let fits = match &template {
        Template::Literal(value) => value.is_array(),
        Template::Expression(_) | Template::Array(_) => true,
        Template::Path { .. } | Template::Call(_) | Template::Object(_) => false,
    };
    if !fits {
        fields.error("Items", "This engine maps arrays only: expected an array, or an expression that gives one");
    }
    Some(template)
}

fn processor_config(fields: &mut Fields<'_>) {
    let Some(value) = fields.get("ProcessorConfig") else { return };
    let location = fields.at("ProcessorConfig");
    let Some(mut config) = Fields::open(value, &location, fields.language, fields.diagnostics()) else { return };
    if config.string("Mode").is_some_and(|mode| mode != "INLINE") {
        config.error("Mode", "Only Mode INLINE is supported by this engine");
    }
    let findings = config.finish("an inline ProcessorConfig");
    fields.diagnostics().extend(findings);
}

pub(crate) fn wait(fields: &mut Fields<'_>) -> Option<Kind> {
    const NAMES: [&str; 4] = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
    if NAMES.iter().filter(|name| fields.has(name)).count() != 1 {
        fields.error_here(format!("Exactly one of these fields is required: [{}]", NAMES.join(", ")));
        return None;
    }
    let wait = if fields.has("Timestamp") {
        let text = fields.string("Timestamp")?;
        if fields.language == QueryLanguage::Jsonata && is_expression(text) {
            return fields.expression("Timestamp").map(|time| Kind::Wait(WaitFor::TimestampExpression(time)));
        }
        let time = timestamp(text);
        if time.is_none() {
            fields.error("Timestamp", "Expected an RFC 3339 timestamp with an offset");
        }
        WaitFor::Timestamp(time?)
    } else if fields.has("TimestampPath") && fields.language == QueryLanguage::JsonPath {
        WaitFor::TimestampPath(fields.path("TimestampPath")?)
    } else {
        WaitFor::Seconds(fields.seconds("Seconds", "SecondsPath", (0, MAX_SECONDS))?)
    };
    Some(Kind::Wait(wait))
}

pub(crate) fn fail(fields: &mut Fields<'_>) -> Kind {
    let error = fail_text(fields, "Error", "ErrorPath");
    let cause = fail_text(fields, "Cause", "CausePath");
    Kind::Fail { error, cause }
}

fn fail_text(fields: &mut Fields<'_>, name: &'static str, path_name: &'static str) -> Option<FailText> {
    if fields.language == QueryLanguage::Jsonata {
        return match fields.string(name)? {
            text if is_expression(text) => fields.expression(name).map(FailText::Expression),
            text => Some(FailText::Fixed(text.to_owned())),
        };
    }
    fields.at_most_one(&[name, path_name]);
    let fixed = fields.string(name).map(|text| FailText::Fixed(text.to_owned()));
    let path = fields.string(path_name).and_then(|text| {
        let template = Template::expression(text, path_name);
        if template.is_none() {
            fields.error(path_name, format!("Value is neither a Reference Path nor an intrinsic function: '{text}'"));
        }
        template.map(|template| FailText::Path { template, field: path_name })
    });
    fixed.or(path)
}
