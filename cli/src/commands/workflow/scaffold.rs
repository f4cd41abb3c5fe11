use std::fs;

use similar::{ChangeTag, TextDiff};

use crate::{
    args::ScaffoldArgs,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{style::Style, text},
    scaffold::{Place, Step, add},
    spec,
};

/// Lines around a change that are shown.
const AROUND: usize = 3;

pub(super) fn run(context: &Context, args: &ScaffoldArgs) -> Result<Exit, Failure> {
    let before = spec::read_text(&args.file)?;
    let place = match (&args.before, &args.after) {
        (Some(state), _) => Place::Before(state),
        (None, Some(state)) => Place::After(state),
        (None, None) => return Err(Failure::Usage("say where: --before STATE or --after STATE".to_owned())),
    };
    let step = Step {
        name: &args.state,
        title: &args.title,
        activity: &args.activity,
        timeout_seconds: args.step_timeout.as_secs(),
        otherwise: args.otherwise.as_deref(),
    };
    let after =
        add(&before, place, &step).map_err(|problem| Failure::input(format!("{}: {problem}", args.file.display())))?;
    if !args.dry_run {
        let failed = |source| Failure::Read { what: format!("can't write {}", args.file.display()), source };
        fs::write(&args.file, &after).map_err(failed)?;
    }
    context.out.print(&shown(&before, &after, context.out.style))?;
    Ok(Exit::Ok)
}

fn shown(before: &str, after: &str, style: Style) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut page = String::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            page += &style.dim("…");
            page.push('\n');
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = text::line(change.value().trim_end_matches(['\n', '\r'])).replace("\\t", "    ");
            page += &match change.tag() {
                ChangeTag::Equal => format!("  {line}"),
                ChangeTag::Insert => style.green(&format!("+ {line}")),
                ChangeTag::Delete => style.red(&format!("- {line}")),
            };
            page.push('\n');
        }
    }
    page
}
