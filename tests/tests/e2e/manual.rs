//! Man pages and completions: of both programs, for every command.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use approve_tests::binaries;
use tempfile::TempDir;

fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names in the help's list of commands.
fn commands(program: &Path, of: &[&str]) -> Vec<String> {
    let help = run(program, &[of, &["--help"]].concat());
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.trim().is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn programs() -> [(&'static str, PathBuf); 2] {
    [("approve-cli", binaries::cli()), ("approve-server", binaries::server())]
}

#[test]
fn every_command_has_a_man_page() {
    for (name, program) in programs() {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join("man");
        run(&program, &["man", "--out", out.to_str().unwrap()]);
        let mut expected = BTreeSet::from([format!("{name}.1")]);
        for command in commands(&program, &[]) {
            expected.insert(format!("{name}-{command}.1"));
            for below in commands(&program, &[&command]) {
                expected.insert(format!("{name}-{command}-{below}.1"));
            }
        }
        let pages = fs::read_dir(&out).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
        let pages: BTreeSet<_> = pages.filter(|page| !page.contains("-help")).collect();
        assert_eq!(pages, expected);
        assert!(expected.len() > 10, "{expected:?}");
        for page in &pages {
            let text = fs::read_to_string(out.join(page)).unwrap();
            assert!(text.contains(".TH ") && text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}");
        }
        let first = fs::read_to_string(out.join(format!("{name}.1"))).unwrap();
        let printed = run(&program, &["man"]);
        for text in [&first, &printed] {
            assert!(text.starts_with(".ie") && text.contains(&format!(".TH {name}")), "{text}");
        }
        // What is made on one machine is what is made on another.
        let home = std::env::var("HOME").unwrap_or_default();
        assert!(home.len() < 3 || !printed.contains(&home), "{printed}");
    }
}

#[test]
fn completions_know_every_command() {
    for (name, program) in programs() {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let script = run(&program, &["completions", shell]);
            for command in commands(&program, &[]) {
                assert!(script.contains(&command), "{name} {shell}: {command}");
            }
        }
        // As bash asks where nothing but the program's name is written yet.
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("completions.bash");
        fs::write(&file, run(&program, &["completions", "bash"])).unwrap();
        let ask = format!(
            r#"source {}; ask=$(complete -p {name} | sed 's/.*-F \([^ ]*\) .*/\1/')
            COMP_WORDS=({name} ""); COMP_CWORD=1; $ask {name} "" {name}; printf '%s\n' "${{COMPREPLY[@]}}""#,
            file.display()
        );
        let asked = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
        let said = String::from_utf8(asked.stdout).unwrap();
        for command in commands(&program, &[]) {
            assert!(said.lines().any(|line| line == command), "{command}: {said} {:?}", asked.stderr);
        }
    }
}
