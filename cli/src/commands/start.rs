use std::io::Read;

use approve_client::StartExecution;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    args::StartArgs,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{json, text},
};

#[derive(Serialize)]
struct StartedJson<'a> {
    execution_arn: &'a str,
    name: &'a str,
    workflow: &'a str,
    start_time: Option<String>,
}

pub(crate) async fn run(context: &Context, args: StartArgs) -> Result<Exit, Failure> {
    let mut start = StartExecution::new();
    if let Some(input) = input(&args)? {
        start = start.input_json(input);
    }
    if let Some(workflow) = args.workflow {
        start = start.workflow(workflow);
    }
    if let Some(name) = args.name {
        start = start.name(name);
    }
    let client = context.connect().await?;
    let started = client.start_execution(start).await?;
    if context.json() {
        context.out.print_json(&StartedJson {
            execution_arn: &started.execution_arn,
            name: &started.name,
            workflow: &started.workflow,
            start_time: json::moment(started.start_time.as_ref()),
        })?;
    } else {
        let style = context.out.style;
        context.out.print(&format!(
            "{} {}\n{} {}\n",
            style.dim("name"),
            text::line(&started.name),
            style.dim("arn "),
            text::line(&started.execution_arn),
        ))?;
        context.out.advise("see what it asks: approve-cli list");
    }
    Ok(Exit::Ok)
}

fn input(args: &StartArgs) -> Result<Option<String>, Failure> {
    let (what, text) = match (&args.input, &args.input_file) {
        (Some(dash), _) if dash == "-" => ("stdin".to_owned(), from_stdin()?),
        (Some(text), _) => ("--input".to_owned(), text.clone()),
        (None, Some(path)) if path.as_os_str() == "-" => ("stdin".to_owned(), from_stdin()?),
        (None, Some(path)) => {
            let what = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|source| Failure::Read { what: format!("can't read {what}"), source })?;
            (what, text)
        }
        (None, None) => return Ok(None),
    };
    check_json(&what, &text)?;
    Ok(Some(text))
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| Failure::Read { what: "can't read stdin".into(), source })?;
    Ok(text)
}

/// Refuses what is no JSON where the person can still see which character it is.
pub(crate) fn check_json(what: &str, text: &str) -> Result<(), Failure> {
    serde_json::from_str::<&RawValue>(text).map(|_| ()).map_err(|error| Failure::Input {
        what: format!("{what} is not JSON: {error}"),
        hint: Some("in a shell, put JSON in single quotes: '{\"invoice\": 4711}'"),
    })
}
