//! The scenarios of `tests/scenarios`, run against our Step Functions and against one that is not ours, each by two AWS
//! SDKs that are not ours either.
//!
//! Every difference is on the list in `differences.json`, with what we do and why; one that is not, or one on the list
//! that is none any more, is a failure.

mod driver;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::binaries;

/// How often what differs is run before it counts.
const ROUNDS: usize = 3;

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

impl Scenarios {
    /// The names of those that belong at the end, and of the others: LocalStack has been seen to refuse good definitions
    /// after wrong ones.
    fn names(&self) -> (Vec<&str>, Vec<&str>) {
        let late = self.definitions.keys().chain(self.calls.keys());
        (self.runs.keys().map(String::as_str).collect(), late.map(String::as_str).collect())
    }

    fn retain(&mut self, names: &BTreeSet<String>) {
        self.runs.retain(|name, _| names.contains(name));
        self.definitions.retain(|name, _| names.contains(name));
        self.calls.retain(|name, _| names.contains(name));
    }
}

/// What was seen at one endpoint, by each SDK.
#[derive(Default)]
struct Sight {
    rust: BTreeMap<String, Seen>,
    boto3: BTreeMap<String, Seen>,
}

impl Sight {
    /// One driver after the other, so that neither is in the other's way.
    async fn of(python: &Path, url: &str, scenarios: &Scenarios, round: usize) -> Self {
        let (early, late) = scenarios.names();
        let mut boto3 = drive_by_boto3(python, url, &early).await;
        let rust = driver::drive(url, scenarios, round).await;
        boto3.extend(drive_by_boto3(python, url, &late).await);
        Self { rust, boto3 }
    }

    fn extend(&mut self, other: Self) {
        self.rust.extend(other.rust);
        self.boto3.extend(other.boto3);
    }
}

async fn drive_by_boto3(python: &Path, url: &str, names: &[&str]) -> BTreeMap<String, Seen> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let mut command = tokio::process::Command::new(python);
    command.arg(folder().join("drive.py")).arg(url).args(names).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "drive.py {url}:\n{}", String::from_utf8_lossy(&output.stderr));
    let mut seen: BTreeMap<String, Seen> = serde_json::from_slice(&output.stdout).unwrap();
    // It takes a name for a part of one.
    seen.retain(|name, _| names.contains(&name.as_str()));
    seen
}

/// Runs every scenario four times, and compares. What is other than it should be is run again: on a busy machine, time
/// may run out on any of them, and only what stays is a difference. `python` is one that has boto3.
///
/// # Panics
/// With everything that is other than it should be.
pub async fn compare(python: &Path, ours: &str, theirs: &str) {
    let mut scenarios = expand();
    let differences: Vec<Difference> = read("differences.json");
    let (mut our, mut their) = (Sight::default(), Sight::default());
    let mut wrong = BTreeMap::new();
    for round in 1..=ROUNDS {
        let (again_ours, again_theirs) =
            tokio::join!(Sight::of(python, ours, &scenarios, round), Sight::of(python, theirs, &scenarios, round));
        our.extend(again_ours);
        their.extend(again_theirs);
        wrong = judge(&our, &their, &differences);
        if wrong.is_empty() {
            break;
        }
        say(&format!("round {round} of {ROUNDS}, other than expected:\n{}", lines(&wrong)));
        scenarios.retain(&wrong.keys().cloned().collect());
    }
    say(&table(&our.rust, &their.rust, &differences));
    assert!(wrong.is_empty(), "{}", lines(&wrong));
}

/// Is to be seen of a test that passes, too: what `print!` writes is not.
fn say(text: &str) {
    io::stdout().write_all(text.as_bytes()).unwrap();
}

fn lines(wrong: &BTreeMap<String, String>) -> String {
    wrong.iter().map(|(name, what)| format!("{name}\n{what}")).collect()
}

/// All that is neither equal nor on the list, by scenario.
fn judge(ours: &Sight, theirs: &Sight, differences: &[Difference]) -> BTreeMap<String, String> {
    let mut wrong = BTreeMap::<String, String>::new();
    for (sdk, ours, theirs) in [("Rust", &ours.rust, &theirs.rust), ("boto3", &ours.boto3, &theirs.boto3)] {
        for (name, what) in unexpected(sdk, ours, theirs, differences) {
            wrong.entry(name).or_default().push_str(&what);
        }
    }
    for (name, seen) in &ours.rust {
        let boto3 = ours.boto3.get(name);
        if boto3.map(fields) != Some(fields(seen)) {
            let what = format!("  ours differs by SDK\n    Rust  {seen}\n    boto3 {boto3:?}\n");
            wrong.entry(name.clone()).or_default().push_str(&what);
        }
    }
    wrong
}

/// Everything about one SDK's results that is neither equal nor on the list.
fn unexpected(
    sdk: &str,
    ours: &BTreeMap<String, Seen>,
    theirs: &BTreeMap<String, Seen>,
    differences: &[Difference],
) -> Vec<(String, String)> {
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (ours, theirs) = (ours.get(name).unwrap_or(&Value::Null), theirs.get(name).unwrap_or(&Value::Null));
        let differing = differing(ours, theirs);
        let listed = differences.iter().find_map(|difference| difference.ours.get(name));
        if listed.map_or(!differing.is_empty(), |listed| *listed != differing) {
            let what = format!("  {sdk}\n    ours   {ours}\n    theirs {theirs}\n    listed {listed:?}\n");
            found.push((name.clone(), what));
        }
    }
    found
}

/// Our side of what differs.
fn differing(ours: &Seen, theirs: &Seen) -> Map<String, Value> {
    let (ours, theirs) = (fields(ours), fields(theirs));
    let names = ours.keys().chain(theirs.keys()).cloned().collect::<BTreeSet<_>>();
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
