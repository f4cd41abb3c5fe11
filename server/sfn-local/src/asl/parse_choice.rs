//! Choice rules: parsing.

use serde_json::Value;

use super::{
    choice::{Operand, Relation, Rule, Test, ValueKind, timestamp},
    diagnostic::{Diagnostic, SCHEMA},
    jsonata::Expression,
    model::QueryLanguage,
    parse_fields::Fields,
    path::Path,
    template::Template,
};

/// Every test a rule can make, by field name. The spelling of AWS, all of it.
const TESTS: &[&str] = &[
    "BooleanEquals",
    "BooleanEqualsPath",
    "IsBoolean",
    "IsNull",
    "IsNumeric",
    "IsPresent",
    "IsString",
    "IsTimestamp",
    "NumericEquals",
    "NumericEqualsPath",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "NumericGreaterThanEqualsPath",
    "NumericGreaterThanPath",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericLessThanEqualsPath",
    "NumericLessThanPath",
    "StringEquals",
    "StringEqualsPath",
    "StringGreaterThan",
    "StringGreaterThanEquals",
    "StringGreaterThanEqualsPath",
    "StringGreaterThanPath",
    "StringLessThan",
    "StringLessThanEquals",
    "StringLessThanEqualsPath",
    "StringLessThanPath",
    "StringMatches",
    "TimestampEquals",
    "TimestampEqualsPath",
    "TimestampGreaterThan",
    "TimestampGreaterThanEquals",
    "TimestampGreaterThanEqualsPath",
    "TimestampGreaterThanPath",
    "TimestampLessThan",
    "TimestampLessThanEquals",
    "TimestampLessThanEqualsPath",
    "TimestampLessThanPath",
];

/// A rule at the top, with what belongs to it.
pub(crate) struct TopRule<'a> {
    pub(crate) rule: Rule,
    pub(crate) next: &'a str,
    pub(crate) assign: Option<Template>,
    pub(crate) output: Option<Template>,
}

pub(crate) fn top_rule<'a>(
    value: &'a Value,
    location: &str,
    language: QueryLanguage,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<TopRule<'a>> {
    let mut fields = Fields::open(value, location, language, diagnostics)?;
    fields.string("Comment");
    fields.require(&["Next"]);
    let next = fields.string("Next");
    let assign = fields.assign();
    let (rule, output) = match language {
        QueryLanguage::JsonPath => (combination(&mut fields), None),
        QueryLanguage::Jsonata => (condition(&mut fields), fields.query("Output")),
    };
    diagnostics.extend(fields.finish("a choice rule"));
    Some(TopRule { rule: rule?, next: next?, assign, output })
}

fn condition(fields: &mut Fields<'_>) -> Option<Rule> {
    fields.require(&["Condition"]);
    match fields.get("Condition")? {
        Value::Bool(matched) => Some(Rule::Constant(*matched)),
        Value::String(text) => match Expression::parse(text, "Condition") {
            Ok(expression) => Some(Rule::Condition(Box::new(expression))),
            Err(message) => {
                fields.error("Condition", message);
                None
            }
        },
        _ => {
            fields.error("Condition", "Expected a Boolean or a JSONata expression");
            None
        }
    }
}

/// A rule nested in And, Or, Not.
fn nested_rule(value: &Value, location: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Rule> {
    let mut fields = Fields::open(value, location, QueryLanguage::JsonPath, diagnostics)?;
    fields.string("Comment");
    let parsed = combination(&mut fields);
    diagnostics.extend(fields.finish("a nested choice rule"));
    parsed
}

fn combination(fields: &mut Fields<'_>) -> Option<Rule> {
    let kinds: Vec<&str> = ["And", "Or", "Not", "Variable"].into_iter().filter(|name| fields.has(name)).collect();
    match kinds.as_slice() {
        ["Variable"] => test(fields),
        ["And"] => nested(fields, "And").map(Rule::And),
        ["Or"] => nested(fields, "Or").map(Rule::Or),
        ["Not"] => {
            let (value, location) = (fields.get("Not")?, fields.at("Not"));
            nested_rule(value, &location, fields.diagnostics()).map(|rule| Rule::Not(Box::new(rule)))
        }
        _ => {
            fields.error_here("A choice rule needs exactly one of these fields: [And, Or, Not, Variable]");
            None
        }
    }
}

fn nested(fields: &mut Fields<'_>, name: &'static str) -> Option<Vec<Rule>> {
    let Some(items) = fields.get(name)?.as_array().filter(|items| !items.is_empty()) else {
        fields.error(name, "Expected a non-empty array of choice rules");
        return None;
    };
    let location = fields.at(name);
    let mut rules = Vec::new();
    for (index, item) in items.iter().enumerate() {
        rules.push(nested_rule(item, &format!("{location}[{index}]"), fields.diagnostics())?);
    }
    Some(rules)
}

fn test(fields: &mut Fields<'_>) -> Option<Rule> {
    let variable = fields.path_of_any_kind("Variable")?;
    let present: Vec<&'static str> = TESTS.iter().filter(|name| fields.has(name)).copied().collect();
    let [name] = present.as_slice() else {
        for name in &present {
            fields.get(name);
        }
        fields.error_here("A choice rule with a Variable needs exactly one comparison operator");
        return None;
    };
    let value = fields.get(name)?;
    match parse_test(name, value) {
        Ok(test) => Some(Rule::Test { variable, test }),
        Err(message) => {
            fields.error(name, message);
            None
        }
    }
}

fn parse_test(name: &str, value: &Value) -> Result<Test, String> {
    let flag = || value.as_bool().ok_or("Expected value of type Boolean".to_owned());
    let is = |kind| flag().map(|expected| Test::Is { kind, expected });
    match name {
        "IsPresent" => return flag().map(Test::IsPresent),
        "IsNull" => return flag().map(Test::IsNull),
        "IsNumeric" => return is(ValueKind::Numeric),
        "IsString" => return is(ValueKind::String),
        "IsBoolean" => return is(ValueKind::Boolean),
        "IsTimestamp" => return is(ValueKind::Timestamp),
        "StringMatches" => {
            let pattern = value.as_str().ok_or("Expected value of type String")?;
            return Ok(Test::StringMatches(pattern.to_owned()));
        }
        _ => {}
    }
    let (name, by_path) = name.strip_suffix("Path").map_or((name, false), |name| (name, true));
    let kinds = [
        ("String", ValueKind::String),
        ("Numeric", ValueKind::Numeric),
        ("Boolean", ValueKind::Boolean),
        ("Timestamp", ValueKind::Timestamp),
    ];
    let found = kinds.into_iter().find_map(|(prefix, kind)| Some((kind, prefix, name.strip_prefix(prefix)?)));
    let (kind, kind_name, relation) = found.ok_or("Unknown comparison operator")?;
    let relation = match relation {
        "Equals" => Relation::Equals,
        "LessThan" => Relation::LessThan,
        "GreaterThan" => Relation::GreaterThan,
        "LessThanEquals" => Relation::LessThanEquals,
        "GreaterThanEquals" => Relation::GreaterThanEquals,
        _ => return Err("Unknown comparison operator".to_owned()),
    };
    let operand = if by_path {
        let path = value.as_str().and_then(Path::parse);
        Operand::Path(path.ok_or_else(|| format!("Value is not a Reference Path: {value}"))?)
    } else {
        let fits = match kind {
            ValueKind::Timestamp => value.as_str().and_then(timestamp).is_some(),
            ValueKind::String | ValueKind::Numeric | ValueKind::Boolean => kind.holds(value),
        };
        if !fits {
            return Err(format!("Expected value of type {kind_name}"));
        }
        Operand::Literal(value.clone())
    };
    Ok(Test::Compare { kind, relation, operand })
}

impl Fields<'_> {
    fn path_of_any_kind(&mut self, name: &'static str) -> Option<Path> {
        let text = self.string(name)?;
        let path = Path::parse(text);
        if path.is_none() {
            let location = self.at(name);
            let message = format!("Value is not a valid JSONPath: '{text}'");
            self.diagnostics().push(Diagnostic::error(SCHEMA, location, message));
        }
        path
    }
}
