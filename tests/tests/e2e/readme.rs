//! The commands of the README and of the pages that it links are those of the programs.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use approve_tests::{Cli, LocalAws, Server, binaries, wait_for};
use serde_json::{Value, json};

use super::main_job::execution_ended;

fn readme() -> String {
    fs::read_to_string(binaries::repository().join("README.md")).unwrap()
}

/// The README, and the pages for those who run the server and use the CLI: path and text.
fn pages() -> Vec<(String, String)> {
    let folder = binaries::repository();
    let pages = fs::read_dir(folder.join("server")).unwrap().map(|entry| entry.unwrap().file_name());
    let pages =
        pages.filter_map(|name| Some(format!("server/{}", name.to_str().filter(|name| name.ends_with(".md"))?)));
    let all = pages.chain(["README.md", "cli/README.md"].map(str::to_owned));
    all.map(|path| (path.clone(), fs::read_to_string(folder.join(path)).unwrap())).collect()
}

fn cli_page() -> String {
    fs::read_to_string(binaries::repository().join("cli/README.md")).unwrap()
}

/// The fenced blocks: language and text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, block)), None) => *block += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The command lines in the shell blocks, prompts and continuations removed.
fn commands(text: &str) -> Vec<String> {
    blocks(text)
        .into_iter()
        .filter(|(language, _)| matches!(language.as_str(), "sh" | "bash" | "console"))
        .flat_map(|(_, block)| {
            let block = block.replace("\\\n", " ");
            block.lines().map(|line| line.trim_start_matches("$ ").trim().to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_command_line_of_the_programs_is_one_that_they_know() {
    let mut checked = BTreeMap::new();
    for line in pages().iter().flat_map(|(_, text)| commands(text)) {
        for (program, path) in [("approve-cli", binaries::cli()), ("approve-server", binaries::server())] {
            let words = words(&line);
            let built = matches!(words.as_slice(), [cargo, build, ..] if cargo == "cargo" && build == "build");
            let Some(at) = words.iter().position(|word| word == program).filter(|_| !built) else { continue };
            let args: Vec<_> = words[at + 1..].iter().map(String::as_str).filter(|arg| *arg != "--").collect();
            let subcommands: Vec<_> = args.iter().take_while(|arg| is_subcommand(arg)).copied().collect();
            let help = help_of(&path, &subcommands);
            for flag in args.iter().filter(|arg| arg.starts_with("--") && arg.len() > 2) {
                let flag = flag.split('=').next().unwrap();
                assert!(
                    help.contains(flag),
                    "{line}\n{program} {} does not know {flag}\n{help}",
                    subcommands.join(" ")
                );
            }
            checked.insert(line.clone(), program);
        }
    }
    assert!(checked.values().any(|program| *program == "approve-cli"), "no command line found: {checked:?}");
    assert!(checked.values().any(|program| *program == "approve-server"), "no command line found: {checked:?}");
}

#[test]
fn blocks_of_help_are_what_the_programs_print() {
    for (_, block) in pages().iter().flat_map(|(_, text)| blocks(text)) {
        let Some((first, shown)) = block.split_once('\n') else { continue };
        let Some(line) = first.strip_prefix("$ ").filter(|line| line.ends_with("--help")) else { continue };
        let mut words = line.split_whitespace();
        let path = match words.next() {
            Some("approve-cli") => binaries::cli(),
            Some("approve-server") => binaries::server(),
            other => panic!("{other:?}"),
        };
        let args: Vec<_> = words.filter(|word| *word != "--help").collect();
        assert_eq!(shown.trim(), help_of(&path, &args).trim(), "{line}");
    }
}

#[test]
fn links_lead_to_files_that_exist() {
    let text = readme();
    for file in ["server/ARCHITECTURE.md", "LICENSE"] {
        assert!(text.contains(&format!("({file})")), "the README does not link {file}");
    }
    for (page, text) in pages() {
        let folder = binaries::repository().join(&page);
        let folder = folder.parent().unwrap();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let target = rest[..rest.find(')').unwrap()].split('#').next().unwrap();
            let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            assert!(elsewhere || folder.join(target).exists(), "{page}: {target} does not exist");
        }
    }
}

#[test]
fn the_test_command_is_named() {
    assert!(commands(&readme()).iter().any(|line| line == "tests/run"), "the README does not name tests/run");
}

#[tokio::test]
async fn the_workflow_that_it_shows_does_what_it_says() {
    let text = readme();
    let server = Server::dev().await;
    let states = format!("{{{}}}", block_with(&text, "json", "\"ApprovalStep\""));
    let mut states: Value = serde_json::from_str(&states).unwrap();
    states["Pay"] = json!({"Type": "Pass", "End": true});
    states["NotApproved"] = json!({"Type": "Pass", "End": true});
    let definition = json!({"StartAt": "ApprovalStep", "States": states});
    fs::write(server.folder().join("pay.asl.json"), definition.to_string()).unwrap();
    fs::write(server.folder().join("pay.toml"), block_with(&text, "toml", "definition_file")).unwrap();
    let anybody = server.cli("ana");
    anybody.run(&["workflow", "apply", server.folder().join("pay.toml").to_str().unwrap()]).await.ok();
    let start = commands(&text).into_iter().find(|line| line.contains("start --workflow")).unwrap();
    let start = words(start.trim_start_matches("approve-cli"));
    let start: Vec<_> = start.iter().map(String::as_str).collect();
    let workflow = start[start.iter().position(|word| *word == "--workflow").unwrap() + 1];

    for (decision, states) in [("--approve", ["ApprovalStep", "Pay"]), ("--reject", ["ApprovalStep", "NotApproved"])] {
        let execution = anybody.json(&start).await["execution_arn"].as_str().unwrap().to_owned();
        let id = wait_for("the approval to be listed", async || {
            let listed = anybody.json(&["list", "--workflow", workflow]).await;
            listed.as_array().unwrap().first().map(|approval| approval["id"].as_str().unwrap().to_owned())
        })
        .await;
        anybody.run(&["decide", &id, "--approve", "--group", "finance"]).await.exits(4);
        server.cli("bo").run(&["decide", &id, decision]).await.exits(4);
        server.cli("bo").run(&["decide", &id, decision, "--group", "finance"]).await.ok();
        if decision == "--approve" {
            assert_eq!(anybody.json(&["show", &id]).await["status"], "pending", "it takes two");
            server.cli("cy").run(&["decide", &id, decision, "--group", "finance"]).await.ok();
        }
        let ended = execution_ended(&anybody, &execution).await;
        assert_eq!(ended["status"], "succeeded", "{ended}");
        let entered: Vec<_> = ended["states"].as_array().unwrap().iter().map(|state| state["name"].clone()).collect();
        assert_eq!(entered, states);
    }
}

#[tokio::test]
async fn the_configuration_that_it_shows_is_one() {
    let aws = LocalAws::start().await;
    let text = block_with(&readme(), "toml", "data_dir");
    let server = Server::serve_config(&text, aws.url()).await;
    assert!(server.data_dir().is_dir(), "the environment comes before the file");
    let mut server = server;
    let said = server.process().stdout() + &server.process().stderr();
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.into_iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "not JSON:\n{said}");
}

#[test]
fn the_roles_that_are_shown_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("approve.toml");
    let page = fs::read_to_string(binaries::repository().join("server/ACCESS.md")).unwrap();
    fs::write(&file, block_with(&page, "toml", "client_ca_file")).unwrap();
    let config = approve_server::config::Config::load(Some(&file), &Default::default()).unwrap();
    assert_eq!(config.role.len(), 2);
    let limits = approve_server::config::Limits::default();
    assert_eq!(config.limits, limits, "it says that they are the defaults");
}

#[tokio::test]
async fn the_profiles_that_it_shows_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, block_with(&cli_page(), "toml", "default_profile")).unwrap();
    let cli = Cli::new("", "", folder.path());
    let config = cli.json(&["config", "--config", file.to_str().unwrap()]).await;
    assert_eq!((&config["profile"], &config["profiles"]), (&json!("prod"), &json!(["dev", "prod"])));
    let server = config["settings"].as_array().unwrap().iter().find(|row| row["name"] == "server").unwrap();
    assert_eq!((&server["value"], &server["from"]), (&json!("https://approve.example.com:50051"), &json!("profile")));
}

/// The one block of a language that holds a text.
fn block_with(text: &str, language: &str, holds: &str) -> String {
    let mut found = blocks(text).into_iter().filter(|(of, block)| of == language && block.contains(holds));
    let (_, block) = found.next().unwrap_or_else(|| panic!("no block of {language} holds {holds}"));
    assert_eq!(found.next(), None, "more than one block of {language} holds {holds}");
    block
}

fn help_of(program: &Path, subcommands: &[&str]) -> String {
    let output = Command::new(program).args(subcommands).arg("--help").env("COLUMNS", "100").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {} --help: {error}", program.display(), subcommands.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

fn is_subcommand(word: &str) -> bool {
    const VALUES: &[&str] = &["apr_", "bash", "zsh", "fish"];
    let letters = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    letters && !word.starts_with('-') && !VALUES.iter().any(|value| word.starts_with(value))
}

/// The words of a command line up to a comment, pipe or redirection; quotes keep words together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#' | '|' | '>' | ';' | '&') => break,
            (None, c) if c.is_whitespace() => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
