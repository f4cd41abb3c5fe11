//! Workflows that are provisioned by code.

use std::io::IsTerminal as _;

use approve_client::proto::{AttachWorkflowRequest, ExportFormat, Plan, export_workflow_request::Workflow as Exported};

use crate::{
    args::{AttachArgs, CodeArgs, FormatArg},
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{plan, text},
    spec,
};

pub(super) async fn export(context: &Context, args: CodeArgs) -> Result<Exit, Failure> {
    let what = match (args.spec, args.name) {
        (Some(path), _) => Exported::Spec(spec::read(&path)?),
        (None, name) => Exported::Name(name.unwrap_or_default()),
    };
    let format = match args.format {
        FormatArg::Cloudformation => ExportFormat::Cloudformation,
        FormatArg::Terraform => ExportFormat::Terraform,
        FormatArg::Pulumi => ExportFormat::Pulumi,
    };
    let exported = context.connect().await?.export_workflow(what, format).await?;
    // A file gets it as it is.
    let safe = std::io::stdout().is_terminal().then(|| text::block(&exported.text, ""));
    context.out.print(&safe.unwrap_or(exported.text))?;
    context.out.advise(&format!("keep it in {}, deploy it, then: approve-cli workflow attach", exported.file_name));
    Ok(Exit::Ok)
}

pub(super) async fn attach(context: &Context, args: AttachArgs) -> Result<Exit, Failure> {
    let request = AttachWorkflowRequest {
        name: args.name,
        state_machine_arn: args.state_machine,
        activity_arns: args.activities,
        rule: args.rule.as_deref().map(spec::read_rule).transpose()?,
    };
    let attached = context.connect().await?.attach_workflow(request).await?;
    let warnings = Plan { resources: Vec::new(), warnings: attached.warnings };
    let warnings = plan::warnings(&warnings, crate::output::style::Style::for_stderr());
    if !warnings.is_empty() {
        context.out.note(warnings.trim_end());
    }
    super::print(context, &attached.workflow.unwrap_or_default())?;
    Ok(Exit::Ok)
}
