//! Plans: what an apply would do, and what one that failed left behind.

use std::fmt::Write as _;

use approve_client::proto::{FieldChange, Plan, PlannedAction, PlannedResource};

use super::{names::Name, style::Style, text};

/// Whether there is nothing to do, and nothing that stands in the way.
pub(crate) fn is_empty(plan: &Plan) -> bool {
    plan.resources.iter().all(|resource| resource.action() == PlannedAction::NoOp && resource.not_ours.is_empty())
}

/// Every resource with its fields, the warnings, and a line that counts.
pub(crate) fn page(plan: &Plan, style: Style) -> String {
    let mut page = String::new();
    for resource in &plan.resources {
        page += &headline(resource, style);
        for field in &resource.fields {
            let _ = writeln!(page, "    {}", field_line(field, style));
        }
        if !resource.not_ours.is_empty() {
            let _ = writeln!(page, "    {} {}", style.red("not ours:"), text::line(&resource.not_ours));
        }
    }
    page += &warnings(plan, style);
    page + &sum(plan)
}

/// A line for each warning.
pub(crate) fn warnings(plan: &Plan, style: Style) -> String {
    let mut lines = String::new();
    for warning in &plan.warnings {
        let (field, message) = (text::line(&warning.field), text::line(&warning.message));
        let _ = writeln!(lines, "{} {field}: {message}", style.yellow("warning:"));
    }
    lines
}

/// What there is after an apply that failed, and what is still to be done.
pub(crate) fn left_behind(plan: &Plan, style: Style) -> String {
    let mut page = "\nleft behind; the same apply goes on from here:\n".to_owned();
    for resource in &plan.resources {
        let what = match resource.action() {
            PlannedAction::NoOp => style.green("done"),
            PlannedAction::Create => style.yellow("not made yet"),
            PlannedAction::Delete => style.yellow("not deleted yet"),
            _ => style.yellow("not changed yet"),
        };
        let _ = writeln!(page, "  {:<17}  {}  {what}", text::line(&resource.resource_type), name(resource));
    }
    page
}

fn headline(resource: &PlannedResource, style: Style) -> String {
    let action = PlannedAction::lower(resource.action).replace('_', "-");
    let padded = format!("{action:<8}");
    let action = match resource.action() {
        PlannedAction::Create => style.green(&padded),
        PlannedAction::Update => style.yellow(&padded),
        PlannedAction::Replace | PlannedAction::Delete => style.red(&padded),
        _ => style.dim(&padded),
    };
    format!("{action}  {:<17}  {}\n", text::line(&resource.resource_type), name(resource))
}

fn name(resource: &PlannedResource) -> String {
    text::line(if resource.arn.is_empty() { &resource.resource_name } else { &resource.arn })
}

fn field_line(change: &FieldChange, style: Style) -> String {
    let field = text::line(&change.field);
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{field}: {} → {}", text::line(before), text::line(after)),
        (None, Some(after)) => format!("{} {field}: {}", style.green("+"), text::line(after)),
        (Some(before), None) => format!("{} {field}: {}", style.red("-"), text::line(before)),
        (None, None) => format!("{field}: {}", style.dim("known once the rest is made")),
    }
}

fn sum(plan: &Plan) -> String {
    if is_empty(plan) {
        return "nothing to do\n".to_owned();
    }
    let count = |action| plan.resources.iter().filter(|resource| resource.action() == action).count();
    let parts: Vec<String> = [
        (count(PlannedAction::Create), "to create"),
        (count(PlannedAction::Update), "to update"),
        (count(PlannedAction::Replace), "to replace"),
        (count(PlannedAction::Delete), "to delete"),
        (plan.resources.iter().filter(|resource| !resource.not_ours.is_empty()).count(), "not ours"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    parts.join(", ") + "\n"
}

#[cfg(test)]
mod tests {
    use approve_client::proto::PlanWarning;

    use super::*;

    fn resource(action: PlannedAction, fields: Vec<FieldChange>) -> PlannedResource {
        PlannedResource {
            resource_type: "role".to_owned(),
            resource_name: "R".to_owned(),
            action: action.into(),
            fields,
            ..PlannedResource::default()
        }
    }

    fn field(name: &str, before: Option<&str>, after: Option<&str>) -> FieldChange {
        FieldChange {
            field: name.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            known_later: before.is_none() && after.is_none(),
        }
    }

    #[test]
    fn fields_are_told_before_and_after() {
        let fields = vec![
            field("path", Some("/"), Some("/team/")),
            field("tags.a", None, Some("\"b\"")),
            field("tags.c", Some("\"d\u{1b}[2J\""), None),
            field("role_arn", None, None),
        ];
        let warning = PlanWarning { field: "role".to_owned(), message: "careful".to_owned() };
        let plan = Plan { resources: vec![resource(PlannedAction::Update, fields)], warnings: vec![warning] };
        let page = page(&plan, Style::plain());
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[0], "update    role               R");
        assert_eq!(lines[1], "    path: / → /team/");
        assert_eq!(lines[2], "    + tags.a: \"b\"");
        assert!(lines[3].starts_with("    - tags.c: \"d") && !lines[3].contains('\u{1b}'), "{}", lines[3]);
        assert_eq!(lines[4], "    role_arn: known once the rest is made");
        assert_eq!(lines[5..], ["warning: role: careful", "1 to update"]);
    }

    #[test]
    fn what_is_not_ours_is_something_to_do() {
        let mut plan = Plan { resources: vec![resource(PlannedAction::NoOp, Vec::new())], warnings: Vec::new() };
        assert!(is_empty(&plan));
        assert!(page(&plan, Style::plain()).ends_with("nothing to do\n"));
        plan.resources[0].not_ours = "it belongs to another".to_owned();
        assert!(!is_empty(&plan));
        assert!(page(&plan, Style::plain()).ends_with("not ours: it belongs to another\n1 not ours\n"));
    }
}
