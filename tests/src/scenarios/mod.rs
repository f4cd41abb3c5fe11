//! The scenarios of `tests/scenarios`, run against our Step Functions and against one that is not ours, each by two AWS
//! SDKs that are not ours either.
//!
//! Every difference is on the list in `differences.json`, with what we do and why; one that is not, or one on the list
//! that is none any more, is a failure.

mod driver;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::binaries;

/// What was seen of a scenario.
type Seen = Value;

#[derive(Deserialize)]
struct File {
    choices: Choices,
    intrinsics: Intrinsics,
    jsonata: Expressions,
    definitions: BTreeMap<String, Value>,
    runs: Vec<Named<Run>>,
    calls: Vec<Named<Call>>,
}

#[derive(Deserialize)]
struct Choices {
    input: Value,
    rules: Vec<Value>,
}

#[derive(Deserialize)]
struct Intrinsics {
    input: Value,
    calls: Vec<String>,
}

#[derive(Deserialize)]
struct Expressions {
    input: Value,
    expressions: Vec<Value>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    scenario: T,
}

/// One execution, and what a worker does to it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Run {
    states: Value,
    language: Option<String>,
    timeout: Option<u64>,
    input: Value,
    input_text: Option<String>,
    script: Vec<Vec<Value>>,
    /// Seconds to wait for its end.
    limit: Option<f64>,
    /// Its events come in no fixed order.
    unordered: bool,
}

/// One call that is wrong in some way.
#[derive(Deserialize)]
struct Call {
    call: String,
    with: Map<String, Value>,
}

struct Scenarios {
    runs: BTreeMap<String, Run>,
    definitions: BTreeMap<String, Value>,
    calls: BTreeMap<String, Call>,
}

/// What we do otherwise, and the sentence that backs us.
#[derive(Deserialize)]
struct Difference {
    aws: String,
    source: String,
    ours: BTreeMap<String, Map<String, Value>>,
}

fn folder() -> PathBuf {
    binaries::repository().join("tests/scenarios")
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every scenario by the name that `drive.py` gives it, too.
fn expand() -> Scenarios {
    let File { choices, intrinsics, jsonata, definitions, runs, calls } = read("scenarios.json");
    let mut expanded = BTreeMap::new();
    for rule in choices.rules {
        let mut first = rule.clone();
        first["Next"] = json!("Yes");
        let states = json!({
            "C": {"Type": "Choice", "Choices": [first], "Default": "No"},
            "Yes": {"Type": "Pass", "Result": "yes", "End": true},
            "No": {"Type": "Pass", "Result": "no", "End": true},
        });
        expanded.insert(format!("choice {rule}"), Run { states, input: choices.input.clone(), ..Run::default() });
    }
    for call in intrinsics.calls {
        let states = json!({"P": {"Type": "Pass", "Parameters": {"r.$": call}, "End": true}});
        expanded.insert(format!("intrinsic {call}"), Run { states, input: intrinsics.input.clone(), ..Run::default() });
    }
    for expression in jsonata.expressions {
        let name = expression.as_str().map_or_else(|| expression.to_string(), str::to_owned);
        let states = json!({"P": {"Type": "Pass", "Output": expression, "End": true}});
        let language = Some("JSONata".to_owned());
        let run = Run { states, language, input: jsonata.input.clone(), ..Run::default() };
        expanded.insert(format!("jsonata {name}"), run);
    }
    expanded.extend(runs.into_iter().map(|run| (format!("run {}", run.name), run.scenario)));
    Scenarios {
        runs: expanded,
        definitions: definitions.into_iter().map(|(name, value)| (format!("definition {name}"), value)).collect(),
        calls: calls.into_iter().map(|call| (format!("call {}", call.name), call.scenario)).collect(),
    }
}

/// Only the scenarios of these kinds.
async fn drive_by_boto3(python: &Path, url: &str, kinds: &[&str]) -> BTreeMap<String, Seen> {
    let mut command = tokio::process::Command::new(python);
    command.arg(folder().join("drive.py")).arg(url).args(kinds).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "drive.py {url}:\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs every scenario four times, and compares. `python` is one that has boto3.
///
/// # Panics
/// With everything that is other than it should be.
pub async fn compare(python: &Path, ours: &str, theirs: &str) {
    let scenarios = expand();
    // One driver after the other, so that neither is in the other's way; and what is wrong comes last, for LocalStack
    // has been seen to refuse good definitions after it.
    let both = async |url| {
        let mut boto3 = drive_by_boto3(python, url, &["choice ", "intrinsic ", "jsonata ", "run "]).await;
        let rust = driver::drive(url, &scenarios).await;
        boto3.extend(drive_by_boto3(python, url, &["definition ", "call "]).await);
        (rust, boto3)
    };
    let ((ours_rust, ours_boto3), (theirs_rust, theirs_boto3)) = tokio::join!(both(ours), both(theirs));
    let differences: Vec<Difference> = read("differences.json");
    let mut wrong = String::new();
    for (sdk, ours, theirs) in [("Rust", &ours_rust, &theirs_rust), ("boto3", &ours_boto3, &theirs_boto3)] {
        wrong.push_str(&judge(sdk, ours, theirs, &differences));
    }
    for (name, seen) in &ours_rust {
        if ours_boto3.get(name).map(fields) != Some(fields(seen)) {
            let boto3 = ours_boto3.get(name);
            writeln!(wrong, "{name}: ours differs by SDK\n  Rust  {seen}\n  boto3 {boto3:?}").unwrap();
        }
    }
    // The table is to be seen of a test that passes, too: what `print!` writes is not.
    io::stdout().write_all(table(&ours_rust, &theirs_rust, &differences).as_bytes()).unwrap();
    assert!(wrong.is_empty(), "{wrong}");
}

/// Everything about one SDK's results that is neither equal nor on the list.
fn judge(
    sdk: &str,
    ours: &BTreeMap<String, Seen>,
    theirs: &BTreeMap<String, Seen>,
    differences: &[Difference],
) -> String {
    let mut wrong = String::new();
    let names: Vec<_> = ours.keys().collect();
    if names != theirs.keys().collect::<Vec<_>>() {
        writeln!(wrong, "{sdk}: not the same scenarios were run").unwrap();
    }
    for (name, seen) in ours {
        let differing = differing(seen, theirs.get(name).unwrap_or(&Value::Null));
        let listed = differences.iter().find_map(|difference| difference.ours.get(name));
        if listed.map_or(!differing.is_empty(), |listed| *listed != differing) {
            let theirs = theirs.get(name);
            writeln!(wrong, "{sdk}: {name}\n  ours   {seen}\n  theirs {theirs:?}\n  listed {listed:?}").unwrap();
        }
    }
    wrong
}

/// Our side of what differs.
fn differing(ours: &Seen, theirs: &Seen) -> Map<String, Value> {
    let (ours, theirs) = (fields(ours), fields(theirs));
    let names = ours.keys().chain(theirs.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
    let differ = names.into_iter().filter(|name| ours.get(name) != theirs.get(name));
    differ.map(|name| (name.clone(), ours.get(&name).cloned().unwrap_or_default())).collect()
}

/// What was seen, with its output as a document.
fn fields(seen: &Seen) -> Map<String, Value> {
    let mut fields = seen.as_object().cloned().unwrap_or_default();
    if let Some(Value::String(text)) = fields.get("output") {
        let document = serde_json::from_str(text).unwrap_or_else(|_| json!({"not JSON": text}));
        fields.insert("output".to_owned(), document);
    }
    fields
}

fn table(ours: &BTreeMap<String, Seen>, theirs: &BTreeMap<String, Seen>, differences: &[Difference]) -> String {
    let mut text = String::new();
    let mut equal = 0;
    for (name, seen) in ours {
        let differing = differing(seen, theirs.get(name).unwrap_or(&Value::Null));
        let because = differences.iter().find(|difference| difference.ours.contains_key(name));
        match because {
            _ if differing.is_empty() => equal += 1,
            Some(Difference { aws, source, .. }) => {
                writeln!(text, "{name}\n    ours differs in {:?}, because: {aws} ({source})", differing.keys())
                    .unwrap();
            }
            None => writeln!(text, "{name}\n    DIFFERS in {:?}", differing.keys()).unwrap(),
        }
    }
    writeln!(text, "{} scenarios: {equal} equal, {} differ", ours.len(), ours.len() - equal).unwrap();
    text
}
