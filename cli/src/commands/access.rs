use approve_client::{
    CreateToken,
    proto::{Grant, Permission},
};
use serde::Serialize;

use crate::{
    args::{CreateTokenArgs, PermissionArg, TokenCommand},
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{
        access,
        json::{CallerJson, TokenJson},
        text,
    },
};

#[derive(Serialize)]
struct CreatedJson<'a> {
    token: TokenJson<'a>,
    secret: &'a str,
}

pub(crate) async fn whoami(context: &Context) -> Result<Exit, Failure> {
    let caller = context.connect().await?.caller().await?;
    if context.json() {
        context.out.print_json(&CallerJson::from(&caller))?;
    } else {
        context.out.print(&access::caller(&caller, context.out.style))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn token(context: &Context, command: TokenCommand) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create(args) => create(context, args).await,
        TokenCommand::List => list(context).await,
        TokenCommand::Revoke { name } => {
            let token = context.connect().await?.revoke_token(name).await?;
            if context.json() {
                context.out.print_json(&TokenJson::from(&token))?;
            } else {
                context.out.print(&access::tokens(&[token], &context.out.now(), context.out.style))?;
            }
            Ok(Exit::Ok)
        }
    }
}

async fn create(context: &Context, args: CreateTokenArgs) -> Result<Exit, Failure> {
    let permissions = args.permissions.iter().map(|permission| match permission {
        PermissionArg::View => Permission::View,
        PermissionArg::Decide => Permission::Decide,
        PermissionArg::Start => Permission::Start,
        PermissionArg::Provision => Permission::Provision,
        PermissionArg::Operate => Permission::Operate,
        PermissionArg::Audit => Permission::Audit,
        PermissionArg::ActOnBehalf => Permission::ActOnBehalf,
    });
    let grant = Grant {
        permissions: permissions.map(Into::into).collect(),
        workflows: args.workflows,
        labels: args.labels.into_iter().collect(),
    };
    let mut create = CreateToken::new(args.name).grant(grant);
    if let Some(lifetime) = args.lifetime {
        create = create.lifetime(lifetime);
    }
    let created = context.connect().await?.create_token(create).await?;
    if context.json() {
        let token = TokenJson::from(&created.token);
        context.out.print_json(&CreatedJson { token, secret: created.secret.expose() })?;
    } else {
        context.out.print(&format!("{}\n", text::line(created.secret.expose())))?;
        let grants: Vec<_> = created.token.grants.iter().map(access::grant).collect();
        let until = context.out.now().full(created.token.expire_time.as_ref());
        let name = text::line(&created.token.name);
        let may = grants.join("; ");
        context.out.note(&format!("service:{name} may {may}, until {until}; the secret is not shown again"));
    }
    Ok(Exit::Ok)
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let tokens = context.connect().await?.tokens().await?;
    if context.json() {
        let tokens: Vec<_> = tokens.iter().map(TokenJson::from).collect();
        context.out.print_json(&tokens)?;
    } else if tokens.is_empty() {
        context.out.note("no tokens");
    } else {
        context.out.print(&access::tokens(&tokens, &context.out.now(), context.out.style))?;
    }
    Ok(Exit::Ok)
}
