use std::{io::IsTerminal as _, path::Path, time::Duration};

use approve_client::{ApplyEvent, ApplyOptions};
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{
        json::{PlanJson, StepJson, WorkflowJson},
        plan, text, workflow as render,
    },
    spec,
};

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum ApplyJson<'a> {
    Planned { plan: PlanJson<'a> },
    Step { step: StepJson<'a> },
    Waiting { what: &'a str },
    LeftBehind { plan: PlanJson<'a> },
    Applied { workflow: Box<WorkflowJson<'a>> },
}

pub(super) async fn run(context: &Context, path: &Path, options: ApplyOptions) -> Result<Exit, Failure> {
    let spec = spec::read(path)?;
    let client = context.connect().await?;
    let mut events = client.apply_workflow(spec, options);
    let shown = Shown::new(context);
    while let Some(event) = events.try_next().await? {
        match context.json() {
            true => print_json(context, &event)?,
            false => shown.show(&event)?,
        }
    }
    Ok(Exit::Ok)
}

fn print_json(context: &Context, event: &ApplyEvent) -> Result<(), Failure> {
    let event = match event {
        ApplyEvent::Planned(plan) => ApplyJson::Planned { plan: PlanJson::from(plan) },
        ApplyEvent::Step(step) => ApplyJson::Step { step: StepJson::from(step) },
        ApplyEvent::Waiting(what) => ApplyJson::Waiting { what },
        ApplyEvent::LeftBehind(plan) => ApplyJson::LeftBehind { plan: PlanJson::from(plan) },
        ApplyEvent::Applied(workflow) => ApplyJson::Applied { workflow: Box::new(WorkflowJson::from(&**workflow)) },
        _ => return Ok(()),
    };
    context.out.print_json_line(&event)
}

/// What a person sees: lines, and on a terminal a bar below them, which is gone in the end.
struct Shown<'a> {
    context: &'a Context,
    bar: ProgressBar,
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context) -> Self {
        let watched = !context.json() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let bar = match watched {
            true => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
            false => ProgressBar::hidden(),
        };
        let looks = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {wide_msg}");
        if let Ok(looks) = looks {
            bar.set_style(looks.progress_chars("=> "));
        }
        Self { context, bar }
    }

    fn show(&self, event: &ApplyEvent) -> Result<(), Failure> {
        let style = self.context.out.style;
        match event {
            ApplyEvent::Planned(plan) => {
                self.bar.set_length(u64::try_from(plan.resources.len()).unwrap_or(u64::MAX));
                if !self.bar.is_hidden() {
                    self.bar.enable_steady_tick(Duration::from_millis(120));
                }
                let warnings = plan::warnings(plan, style);
                self.bar.suspend(|| self.context.out.print(&warnings))
            }
            ApplyEvent::Step(step) => {
                self.bar.inc(1);
                self.bar.set_message("");
                self.bar.suspend(|| self.context.out.print(&render::step(step, style)))
            }
            ApplyEvent::Waiting(what) => {
                let what = text::line(what);
                self.bar.set_message(what.clone());
                if self.bar.is_hidden() {
                    self.context.out.note(&what);
                }
                Ok(())
            }
            ApplyEvent::LeftBehind(plan) => {
                self.bar.finish_and_clear();
                self.context.out.print(&plan::left_behind(plan, style))
            }
            ApplyEvent::Applied(workflow) => {
                self.bar.finish_and_clear();
                self.context.out.print("\n")?;
                self.context.out.print(&render::facts(workflow, &self.context.out.now(), style))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
