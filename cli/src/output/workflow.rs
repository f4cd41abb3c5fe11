use std::fmt::Write as _;

use approve_client::proto::{ResourceAction, ResourceStep, Workflow};
use comfy_table::Cell;

use super::{approval, names::Name, rule, style::Style, table::Columns, text, time::Now};

pub(crate) fn table(workflows: &[Workflow], now: &Now, style: Style) -> String {
    let mut columns = Columns::new(style, &["NAME", "STATE MACHINE", "APPLIED"]);
    for workflow in workflows {
        columns.row(vec![
            Cell::new(text::line(&workflow.name)),
            Cell::new(text::line(&workflow.state_machine_arn)),
            Cell::new(now.age(workflow.update_time.as_ref()) + " ago"),
        ]);
    }
    columns.keep(&[0, 2]);
    columns.render()
}

pub(crate) fn facts(workflow: &Workflow, now: &Now, style: Style) -> String {
    let mut page = style.bold(&text::line(&workflow.name)) + "\n";
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            let name = style.dim(&format!("{name:<13}"));
            let _ = writeln!(page, "  {name} {}", text::line(value));
        }
    };
    fact("state machine", &workflow.state_machine_arn);
    fact("activity", &workflow.activity_arn);
    let further: std::collections::BTreeMap<_, _> = workflow.more_activity_arns.iter().collect();
    for (key, arn) in further {
        fact("", &format!("{key}: {arn}"));
    }
    fact("role", &workflow.role_arn);
    fact("created", &now.full(workflow.create_time.as_ref()));
    fact("applied", &now.full(workflow.update_time.as_ref()));
    let Some(spec) = &workflow.spec else {
        return page;
    };
    if let Some(role) = &spec.role {
        let policies = role.managed_policy_arns.join(" ");
        fact("policies", if policies.is_empty() { "none" } else { &policies });
        let mut inline: Vec<_> = role.inline_policies.keys().map(String::as_str).collect();
        inline.sort_unstable();
        fact("inline", &inline.join(" "));
        fact("boundary", &role.permissions_boundary_arn);
    }
    if let Some(machine) = &spec.state_machine {
        let logging = machine.logging.as_ref();
        let logging = logging.map(|logging| format!("{} to {}", logging.level, logging.log_group_arn));
        fact("logging", &logging.unwrap_or_default());
        fact("tracing", if machine.tracing { "X-Ray" } else { "" });
    }
    fact("key", spec.encryption.as_ref().map_or("", |encryption| &encryption.kms_key_id));
    let default = Default::default();
    let rule = spec.rule.as_ref().unwrap_or(&default);
    for (name, line) in approval::named("rule", rule::in_words(rule, true, now)) {
        fact(name, &line);
    }
    if let Some(limit) = rule::limit(rule) {
        fact("time limit", &limit);
    }
    let mut tags: Vec<_> = spec.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    tags.sort();
    fact("tags", &tags.join(" "));
    page
}

/// One step of an apply or a destroy, on a line.
pub(crate) fn step(step: &ResourceStep, style: Style) -> String {
    let name = format!("{:<9}", ResourceAction::lower(step.action));
    let action = match step.action() {
        ResourceAction::Created | ResourceAction::Updated => style.green(&name),
        ResourceAction::Deleted | ResourceAction::Replaced => style.red(&name),
        _ => style.dim(&name),
    };
    let what = if step.arn.is_empty() { &step.resource_name } else { &step.arn };
    let detail = if step.detail.is_empty() { String::new() } else { format!("  ({})", text::line(&step.detail)) };
    format!("{action}  {:<17}  {}{detail}\n", text::line(&step.resource_type), text::line(what))
}
