//! `approve-server`: arguments in, exit code out.

mod manual;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use approve_server::{
    app::{self, AppError, DevOptions, Live},
    approval::{Origin, Scope},
    audit_key,
    auth::{Grant, NewToken, Permission, TokenError},
    check::{self, Verdict},
    config::{Config, ConfigError, HookUrl, Log, LogFormat, Overrides},
    letters,
    provision::permissions::{self, Patterns, Place, Purpose},
    store::messages::Revived,
    telemetry,
};
use clap::{CommandFactory as _, Parser, Subcommand};
use mimalloc::MiMalloc;

/// Approvals are made of many small strings, allocated in one thread and freed in another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Human approvals for AWS Step Functions activities.
#[derive(Parser)]
#[command(name = "approve-server", version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 stopped as told, 1 other failure, 2 usage, 3 bad config, 4 address in use, \
                          5 data folder or database, 6 AWS or provisioning, 7 stopped before all in hand was finished, \
                          8 something that was checked does not work";

const MIGRATE_HELP: &str = "An interrupted migration goes on when it is begun again. Afterwards every row is read back \
                            and compared, and the chain of the record is computed anew: exit code 5 where anything \
                            differs. Until they agree no server uses the database; from then on none uses the folder.";

#[derive(Subcommand)]
enum Command {
    /// Serve with everything embedded: no AWS account, no database, no network
    Dev {
        /// Where gRPC is served; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
        listen: SocketAddr,
        /// Where the embedded Step Functions and IAM are served; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
        aws_listen: SocketAddr,
        /// Where approvals are kept
        #[arg(long, value_name = "FOLDER", default_value = "approve-data")]
        data_dir: PathBuf,
        /// Where the embedded Step Functions keeps its state; without, it begins empty at every start
        #[arg(long, value_name = "FILE")]
        aws_data_file: Option<PathBuf>,
        /// Post what happens to this URL, as CloudEvents; on loopback, too; may be given several times
        #[arg(long = "webhook", value_name = "URL")]
        webhooks: Vec<HookUrl>,
        /// Write addresses and ARNs to this file, as JSON, once serving
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
        #[command(flatten)]
        log: LogArguments,
    },
    /// Serve against AWS
    Serve {
        /// Settings, as TOML; APPROVE_SERVER__… variables and flags take precedence
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where gRPC is served (loopback)
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Where approvals are kept
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// Write addresses to this file, as JSON, once serving
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Keys that sign the record of events
    #[command(subcommand)]
    AuditKey(AuditKeyCommand),
    /// Print the settings that `serve` would have, as TOML, and where each comes from; no secrets
    Config {
        /// Settings, as TOML; APPROVE_SERVER__… variables and flags take precedence
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where gRPC is served
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Where approvals are kept
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Try what `serve` would need: settings, store, AWS's permissions, clocks, quotas. Changes nothing
    Check {
        /// Settings, as TOML; APPROVE_SERVER__… variables and flags take precedence
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where approvals are kept
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Copy everything from a data folder into a PostgreSQL database, and compare the two. Nothing may serve either
    #[command(after_help = MIGRATE_HELP)]
    Migrate {
        /// The data folder
        #[arg(long, value_name = "FOLDER")]
        from: PathBuf,
        /// The database, which must be empty, or hold an interrupted migration of this folder
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        /// Settings, as TOML: store in place of --to, and [postgres]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Copy nothing, only compare
        #[arg(long)]
        verify: bool,
    },
    /// Make an API token while no server runs; with one running, use `approve-cli token`
    #[command(subcommand)]
    Token(TokenCommand),
    /// Messages to targets of [notify] that could not be sent; also beside running servers
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Print the IAM policy that the server's own credentials need, and no more
    IamPolicy(PolicyArguments),
    /// Print completions for a shell, to be sourced or installed
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a folder
    Man {
        /// The folder; made if there is none
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Serve the embedded Step Functions and IAM alone, for development and tests
    LocalAws {
        /// On 127.0.0.1; 0 takes a free one
        #[arg(long, default_value_t = 4599)]
        port: u16,
        /// How long GetActivityTask waits for a task; AWS waits 60 seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        long_poll_seconds: u16,
        /// Where the state is kept; without, it begins empty at every start
        #[arg(long, value_name = "FILE")]
        data_file: Option<PathBuf>,
        /// Write the address to this file, as JSON, once serving
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
        #[command(flatten)]
        log: LogArguments,
    },
}

#[derive(Subcommand)]
enum NotificationsCommand {
    /// List dead letters: messages that were given up
    List {
        #[command(flatten)]
        place: StoreArguments,
        /// To this target alone
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Also those that are going to be tried again
        #[arg(long)]
        all: bool,
        /// As JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Try dead letters again, within seconds where a server runs
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
    Retry {
        #[command(flatten)]
        place: StoreArguments,
        /// These
        #[arg(value_name = "ID", group = "which")]
        ids: Vec<String>,
        /// All to this target
        #[arg(long, value_name = "NAME", group = "which")]
        target: Option<String>,
        /// All
        #[arg(long, group = "which")]
        all: bool,
    },
}

#[derive(clap::Args)]
struct StoreArguments {
    /// The settings of the server, as TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where approvals are kept
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

impl StoreArguments {
    fn config(self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), &Overrides { data_dir: self.data_dir, ..Overrides::default() })
    }
}

#[derive(Subcommand)]
enum AuditKeyCommand {
    /// Make a key that signs heads of the record; prints its public key, which verifies them
    Generate {
        /// Where the private key is written, readable by nobody else; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the public key of a private key
    Public {
        /// The private key
        #[arg(value_name = "FILE")]
        key: PathBuf,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token for a service, and print its secret, which is kept nowhere
    Create {
        /// The settings of the server, as TOML
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where approvals are kept
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// The service's name: the caller is "service:<name>"
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times
        #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = permissions())]
        permissions: Vec<String>,
        /// In which workflows; a "*" at the end matches any rest; may be given several times [default: all]
        #[arg(long = "workflow", value_name = "PATTERN")]
        workflows: Vec<String>,
        /// For approvals with all these labels alone
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// How long it lives: "30d", "12h"
        #[arg(long, value_name = "SPAN", default_value = "90d")]
        lifetime: String,
    },
}

fn permissions() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Permission::ALL.map(Permission::name))
}

#[derive(clap::Args)]
struct PolicyArguments {
    /// For these workflows only, with the names that their resources get by themselves; may be repeated
    #[arg(long = "workflow", value_name = "NAME")]
    workflows: Vec<String>,
    /// Only what taking and answering tasks needs: for a server whose workflows are provisioned by code
    #[arg(long)]
    attach_only: bool,
    /// A KMS key that activities and state machines are encrypted with; may be repeated
    #[arg(long = "kms-key", value_name = "ARN", value_parser = key_arn)]
    keys: Vec<String>,
    /// The account
    #[arg(long, value_name = "ID", default_value = "*")]
    account: String,
    /// The region
    #[arg(long, value_name = "REGION", default_value = "*")]
    region: String,
    /// The partition: aws, aws-cn or aws-us-gov
    #[arg(long, value_name = "PARTITION", default_value = "aws")]
    partition: String,
}

/// A policy names a key by nothing else.
fn key_arn(text: &str) -> Result<String, String> {
    let is_key = text.starts_with("arn:") && text.contains(":kms:") && text.contains(":key/");
    let expected = "expected a key's own ARN, like arn:aws:kms:eu-west-1:123456789012:key/…: an alias does not do";
    if is_key { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

impl PolicyArguments {
    /// The policy as JSON text.
    fn policy(self) -> String {
        let Self { workflows, attach_only, keys, account, region, partition } = self;
        let purposes: &[Purpose] = match attach_only {
            true => &[Purpose::Work, Purpose::Look],
            false => &[Purpose::Work, Purpose::Look, Purpose::Provision],
        };
        let names = if workflows.is_empty() { Patterns::any() } else { Patterns::of_workflows(&workflows) };
        format!("{:#}", permissions::policy_for(purposes, &Place { partition, region, account }, &names, &keys))
    }
}

#[derive(clap::Args)]
struct LogArguments {
    /// What is logged: "info", "approve_server=debug,info"
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log_level: String,
    /// How a log line is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

impl LogArguments {
    fn init(self) -> Result<(), AppError> {
        telemetry::init(&Log { format: self.log_format, level: self.log_level })?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(command: Command) -> Result<(), AppError> {
    match command {
        Command::Dev { listen, aws_listen, data_dir, aws_data_file, webhooks, ready_file, log } => {
            log.init()?;
            app::dev(DevOptions { listen, aws_listen, data_dir, aws_data_file, webhooks, ready_file }).await
        }
        Command::Serve { config, listen, data_dir, ready_file } => {
            let (file, flags) = (config, Overrides { listen, data_dir, store: None });
            let config = Config::load(file.as_deref(), &flags)?;
            let log = telemetry::init(&config.log)?;
            app::serve(config, Live::new(file, flags, log)?, ready_file.as_deref()).await
        }
        Command::AuditKey(AuditKeyCommand::Generate { out }) => {
            print!("{}", audit_key::generate(&out)?);
            Ok(())
        }
        Command::AuditKey(AuditKeyCommand::Public { key }) => {
            print!("{}", audit_key::public(key)?);
            Ok(())
        }
        Command::Token(TokenCommand::Create { config, data_dir, name, permissions, workflows, labels, lifetime }) => {
            let config = Config::load(config.as_deref(), &Overrides { data_dir, ..Overrides::default() })?;
            telemetry::init(&config.log)?;
            let grant = read_grant(&permissions, workflows, &labels).map_err(AppError::Token)?;
            let lifetime = read_lifetime(&lifetime).map_err(AppError::Token)?;
            let origin = Origin::system("command_line");
            let secret = app::create_token(&config, NewToken { name, grants: vec![grant], lifetime, origin }).await?;
            println!("{}", secret.reveal());
            Ok(())
        }
        Command::Config { config, listen, data_dir } => {
            let flags = Overrides { listen, data_dir, ..Overrides::default() };
            print!("{}", Config::effective(config.as_deref(), &flags)?);
            Ok(())
        }
        Command::Check { config, data_dir } => {
            let report = check::check(config.as_deref(), &Overrides { data_dir, ..Overrides::default() }).await?;
            for finding in &report.findings {
                println!("{finding}");
            }
            match report.count(Verdict::Fail) {
                0 => Ok(()),
                failed => Err(AppError::Check(failed)),
            }
        }
        Command::Migrate { from, to, config, verify } => {
            let config = Config::load(config.as_deref(), &Overrides { store: to, ..Overrides::default() })?;
            telemetry::init(&config.log)?;
            app::migrate(&config, &from, verify).await
        }
        Command::Notifications(NotificationsCommand::List { place, target, all, json }) => {
            print!("{}", letters::list(&place.config()?, target, !all, json).await?);
            Ok(())
        }
        Command::Notifications(NotificationsCommand::Retry { place, ids, target, .. }) => {
            let which = match target {
                Some(target) => Revived::Target(target),
                None if ids.is_empty() => Revived::All,
                None => Revived::Ids(ids),
            };
            println!("{} to be tried again", letters::retry(&place.config()?, which).await?);
            Ok(())
        }
        Command::IamPolicy(arguments) => {
            println!("{}", arguments.policy());
            Ok(())
        }
        Command::Completions { shell } => {
            manual::completions(Arguments::command(), shell).map_err(unwritten("cannot print completions"))
        }
        Command::Man { out } => {
            manual::man(Arguments::command(), out.as_deref()).map_err(unwritten("cannot write man pages"))
        }
        Command::LocalAws { port, long_poll_seconds, data_file, ready_file, log } => {
            log.init()?;
            let options = sfn_local::Options {
                addr: SocketAddr::from(([127, 0, 0, 1], port)),
                long_poll: Duration::from_secs(long_poll_seconds.into()),
                data_file,
                ..sfn_local::Options::default()
            };
            app::local_aws(options, ready_file.as_deref()).await
        }
    }
}

fn unwritten(what: &'static str) -> impl FnOnce(std::io::Error) -> AppError {
    move |error| AppError::System { what, source: error.into() }
}

fn read_grant(permissions: &[String], workflows: Vec<String>, labels: &[String]) -> Result<Grant, TokenError> {
    let field = |field, problem: String| TokenError::Field { field, problem };
    let mut scope = Scope::default();
    for pattern in workflows {
        scope.workflows.push(pattern.try_into().map_err(|error| field("workflow", format!("{error}")))?);
    }
    for label in labels {
        let (key, value) =
            label.split_once('=').ok_or_else(|| field("label", format!("{label:?}: expected KEY=VALUE")))?;
        scope.labels.insert(key.to_owned(), value.to_owned());
    }
    let named = |permission: &Permission| permissions.iter().any(|name| name == permission.name());
    Ok(Grant { permissions: Permission::ALL.into_iter().filter(named).collect(), scope })
}

/// A span of units that always are as long: days at most.
fn read_lifetime(text: &str) -> Result<Duration, TokenError> {
    let span = text.parse::<jiff::Span>().ok();
    let exact = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    exact.and_then(|exact| Duration::try_from(exact).ok()).ok_or_else(|| TokenError::Field {
        field: "lifetime",
        problem: format!("{text:?}: expected a span like \"30d\" or \"12h\""),
    })
}
