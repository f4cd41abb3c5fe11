//! Adding an approval step to a state machine's definition. The text is spliced, so that all the rest of it stays as it
//! was written.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// Where the step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// Whatever led to this state leads to the step, and the step to it.
    Before(&'a str),
    /// This state leads to the step, and the step to where this state led.
    After(&'a str),
}

/// The step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub activity: &'a str,
    pub timeout_seconds: u64,
    /// Where to go if it is not approved; `None`: a new state that fails.
    pub otherwise: Option<&'a str>,
}

/// Fields in any order, as they are written.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// A state machine, or the states inside a Parallel or Map state.
#[derive(Deserialize)]
struct Machine<'a> {
    #[serde(borrow, rename = "StartAt")]
    start_at: Option<&'a RawValue>,
    #[serde(borrow, rename = "States")]
    states: Option<&'a RawValue>,
    #[serde(borrow, rename = "QueryLanguage")]
    query_language: Option<&'a RawValue>,
}

/// A piece of text that takes another's place.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// The states among which the named one is.
struct Scope<'a> {
    start_at: &'a RawValue,
    states: Fields<'a>,
    jsonata: bool,
    /// Whether one state is entered many times at once, and only a key tells its entries apart.
    in_map: bool,
}

/// The definition with the step in its place.
pub(crate) fn add(text: &str, place: Place<'_>, step: &Step<'_>) -> Result<String, String> {
    let (Place::Before(anchor) | Place::After(anchor)) = place;
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let mut names = Vec::new();
    let scope = find(whole, anchor, (false, false), &mut names)?;
    if names.iter().any(|name| name == step.name) {
        return Err(format!("there is a state {:?} already; choose another name with --state", step.name));
    }
    let Some(scope) = scope else {
        return Err(format!("there is no state {anchor:?}; there are: {}", names.join(", ")));
    };
    let anchored = *scope.states.get(anchor).ok_or_else(|| format!("there is no state {anchor:?}"))?;
    if let Some(other) = step.otherwise
        && !scope.states.contains_key(other)
    {
        return Err(format!("there is no state {other:?} beside {anchor:?} to go to otherwise"));
    }
    let mut edits = Vec::new();
    let (next, goes_before) = match place {
        Place::Before(_) => {
            lead_here(text, &scope, anchor, step.name, &mut edits)?;
            (Some(anchor.to_owned()), true)
        }
        Place::After(_) => (lead_from(text, anchored, anchor, step.name, &mut edits)?, false),
    };
    let failing = match step.otherwise {
        Some(_) => None,
        None => Some(unused(&format!("{}Refused", step.name), &names)),
    };
    let otherwise = step.otherwise.or(failing.as_deref()).unwrap_or_default();
    let mut added = vec![(step.name.to_owned(), step_state(step, next.as_deref(), otherwise, &scope))];
    if let Some(name) = &failing {
        added.push((name.clone(), fail_state(scope.jsonata)));
    }
    edits.push(insertion(text, anchor, anchored, &added, goes_before)?);
    let edited = apply(text, edits)?;
    serde_json::from_str::<&RawValue>(&edited).map_err(|error| format!("the result would not be JSON: {error}"))?;
    Ok(edited)
}

/// The states among which `anchor` is, also inside Parallel and Map states. Collects all names.
fn find<'a>(
    machine: &'a RawValue,
    anchor: &str,
    (jsonata, in_map): (bool, bool),
    names: &mut Vec<String>,
) -> Result<Option<Scope<'a>>, String> {
    let machine: Machine<'a> = read(machine, "a state machine")?;
    let language = machine.query_language.map(|language| language.get());
    let jsonata = language.map_or(jsonata, |language| language == "\"JSONata\"");
    let (Some(start_at), Some(states)) = (machine.start_at, machine.states) else {
        return Err("it has no StartAt, or no States".to_owned());
    };
    let states: Fields<'a> = read(states, "States")?;
    names.extend(states.keys().cloned());
    let mut found = None;
    for state in states.values() {
        let fields: Fields<'a> = read(state, "a state")?;
        let branches = fields.get("Branches").map(|all| read::<Vec<&'a RawValue>>(all, "Branches")).transpose()?;
        let branches = branches.unwrap_or_default().into_iter().map(|machine| (machine, in_map));
        let items = ["ItemProcessor", "Iterator"].iter().filter_map(|name| Some((*fields.get(*name)?, true)));
        for (machine, in_map) in branches.chain(items) {
            let inside = find(machine, anchor, (jsonata, in_map), names)?;
            found = found.or(inside);
        }
    }
    if states.contains_key(anchor) {
        found = Some(Scope { start_at, states, jsonata, in_map });
    }
    Ok(found)
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, what: &str) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| format!("{what} can't be read: {error}"))
}

/// Where a piece of the text is in it.
fn place_of(text: &str, piece: &RawValue) -> Result<Range<usize>, String> {
    let start = (piece.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize);
    let range = start.map(|start| start..start + piece.get().len());
    range.filter(|range| text.get(range.clone()) == Some(piece.get())).ok_or_else(|| "lost its place".to_owned())
}

/// Whatever leads to `anchor` leads to the step instead.
fn lead_here(text: &str, scope: &Scope<'_>, anchor: &str, step: &str, edits: &mut Vec<Edit>) -> Result<(), String> {
    let old = Value::from(anchor).to_string();
    let new = Value::from(step).to_string();
    let mut pointers = vec![scope.start_at];
    for state in scope.states.values() {
        let fields: Fields<'_> = read(state, "a state")?;
        pointers.extend(["Next", "Default"].iter().filter_map(|name| fields.get(*name)));
        for list in ["Choices", "Catch"].iter().filter_map(|name| fields.get(*name)) {
            for rule in read::<Vec<Fields<'_>>>(list, "Choices or Catch")? {
                pointers.extend(rule.get("Next"));
            }
        }
    }
    for pointer in pointers {
        // Names may be written with escapes.
        if pointer.get() == old || serde_json::from_str::<String>(pointer.get()).is_ok_and(|name| name == anchor) {
            edits.push(Edit { at: place_of(text, pointer)?, text: new.clone() });
        }
    }
    Ok(())
}

/// `anchor` leads to the step. Where it led before; `None` if it ended.
fn lead_from(
    text: &str,
    anchored: &RawValue,
    anchor: &str,
    step: &str,
    edits: &mut Vec<Edit>,
) -> Result<Option<String>, String> {
    let fields: Fields<'_> = read(anchored, "a state")?;
    let new = Value::from(step).to_string();
    if let Some(next) = fields.get("Next") {
        edits.push(Edit { at: place_of(text, next)?, text: new });
        return read::<String>(next, "Next").map(Some);
    }
    let Some(end) = fields.get("End").filter(|end| end.get() == "true") else {
        let problem = "neither goes on nor ends by itself: name the state to ask before with --before";
        return Err(format!("{anchor:?} {problem}"));
    };
    let value = place_of(text, end)?;
    let key = text.get(..value.start).and_then(|before| before.rfind("\"End\"")).ok_or("lost its place")?;
    edits.push(Edit { at: key..value.end, text: format!("\"Next\": {new}") });
    Ok(None)
}

/// New states before or after `anchored`, indented as it is.
fn insertion(
    text: &str,
    anchor: &str,
    anchored: &RawValue,
    added: &[(String, Value)],
    before: bool,
) -> Result<Edit, String> {
    let value = place_of(text, anchored)?;
    let head = text.get(..value.start).unwrap_or_default();
    let key = head.rfind(&Value::from(anchor).to_string()).ok_or("its name is written with escapes")?;
    let line = head.get(..key).unwrap_or_default();
    let indent: String =
        line.chars().rev().take_while(|c| [' ', '\t'].contains(c)).collect::<String>().chars().rev().collect();
    let alone = line.trim_end_matches([' ', '\t']).ends_with('\n');
    let (lines, indent) = if alone { ("\n", indent) } else { (" ", String::new()) };
    let one = |(name, state): &(String, Value)| {
        let written = if alone { format!("{state:#}") } else { state.to_string() };
        format!("{}: {}", Value::from(name.as_str()), written.replace('\n', &format!("\n{indent}")))
    };
    let states: Vec<String> = added.iter().map(one).collect();
    let states = states.join(&format!(",{lines}{indent}"));
    Ok(match before {
        true => Edit { at: key..key, text: format!("{states},{lines}{indent}") },
        false => Edit { at: value.end..value.end, text: format!(",{lines}{indent}{states}") },
    })
}

fn apply(text: &str, mut edits: Vec<Edit>) -> Result<String, String> {
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let mut edited = String::with_capacity(text.len() + 2_048);
    let mut done = 0;
    for edit in edits {
        edited.push_str(text.get(done..edit.at.start).ok_or("two changes are in each other's way")?);
        edited.push_str(&edit.text);
        done = edit.at.end;
    }
    edited.push_str(text.get(done..).unwrap_or_default());
    Ok(edited)
}

fn unused(wanted: &str, names: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{wanted}{number}"));
    let mut all = std::iter::once(wanted.to_owned()).chain(numbered);
    all.find(|name| !names.contains(name)).unwrap_or_else(|| wanted.to_owned())
}

/// The step takes who it is from the context object, is handed out again when it is lost, and puts the decision beside
/// what came in.
fn step_state(step: &Step<'_>, next: Option<&str>, otherwise: &str, scope: &Scope<'_>) -> Value {
    let jsonata = scope.jsonata;
    let identity = [
        ("execution", "Execution.Id"),
        ("state_machine", "StateMachine.Id"),
        ("state", "State.Name"),
        ("entered_at", "State.EnteredTime"),
        ("attempt", "State.RetryCount"),
    ];
    let mut approve = json!({"title": step.title});
    for (name, path) in identity {
        match jsonata {
            true => approve[name] = json!(format!("{{% $states.context.{path} %}}")),
            false => approve[format!("{name}.$")] = json!(format!("$$.{path}")),
        }
    }
    if scope.in_map {
        match jsonata {
            true => approve["key"] = json!("{% $string($states.context.Map.Item.Index) %}"),
            false => approve["key.$"] = json!("States.Format('{}', $$.Map.Item.Index)"),
        }
    }
    let mut catch = json!({"ErrorEquals": ["Approval.Rejected", "Approval.Expired"]});
    let mut state = json!({"Type": "Task", "Resource": step.activity});
    if jsonata {
        state["Arguments"] = json!({"approve": approve, "input": "{% $states.input %}"});
        state["Output"] = json!("{% $merge([$states.input, {'approval': $states.result}]) %}");
        catch["Output"] = json!("{% $merge([$states.input, {'refusal': $states.errorOutput}]) %}");
    } else {
        state["Parameters"] = json!({"approve": approve, "input.$": "$"});
        state["ResultPath"] = json!("$.approval");
        catch["ResultPath"] = json!("$.refusal");
    }
    catch["Next"] = json!(otherwise);
    state["TimeoutSeconds"] = json!(step.timeout_seconds);
    state["HeartbeatSeconds"] = json!((step.timeout_seconds / 2).clamp(1, 60));
    state["Retry"] = json!([{
        "ErrorEquals": ["States.HeartbeatTimeout", "States.Timeout"],
        "IntervalSeconds": 1,
        "MaxAttempts": 99,
        "BackoffRate": 1.5,
        "MaxDelaySeconds": 30,
    }]);
    state["Catch"] = json!([catch]);
    match next {
        Some(next) => state["Next"] = json!(next),
        None => state["End"] = json!(true),
    }
    state
}

/// Fails with what the approval failed with.
fn fail_state(jsonata: bool) -> Value {
    match jsonata {
        true => json!({
            "Type": "Fail",
            "Error": "{% $states.input.refusal.Error %}",
            "Cause": "{% $states.input.refusal.Cause %}",
        }),
        false => json!({"Type": "Fail", "ErrorPath": "$.refusal.Error", "CausePath": "$.refusal.Cause"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = r#"{
  "StartAt": "Read",
  "States": {
    "Read": {"Type": "Pass", "Next": "Sum"},
    "Sum": {
      "Type": "Choice",
      "Choices": [{"Variable": "$.n", "NumericGreaterThan": 1.50, "Next": "Pay"}],
      "Default": "Pay"
    },
    "Pay": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Catch": [
      {"ErrorEquals": ["States.ALL"], "Next": "Sorry"}], "End": true},
    "Sorry": {"Type": "Fail"}
  }
}
"#;

    fn step() -> Step<'static> {
        Step { name: "Ask", title: "Pay?", activity: "${activity_arn}", timeout_seconds: 3_600, otherwise: None }
    }

    fn added(text: &str, place: Place<'_>, step: &Step<'_>) -> (String, Value) {
        let edited = add(text, place, step).unwrap();
        let value = serde_json::from_str(&edited).unwrap();
        (edited, value)
    }

    #[test]
    fn before_a_state_all_that_led_to_it_leads_to_the_step() {
        let (edited, value) = added(FLOW, Place::Before("Pay"), &step());
        let states = &value["States"];
        assert_eq!(states["Sum"]["Choices"][0]["Next"], "Ask");
        assert_eq!(states["Sum"]["Default"], "Ask");
        assert_eq!(states["Ask"]["Next"], "Pay");
        assert_eq!(states["Ask"]["Catch"][0]["Next"], "AskRefused");
        assert_eq!(states["AskRefused"]["Type"], "Fail");
        assert_eq!(states["Ask"]["Parameters"]["approve"]["entered_at.$"], "$$.State.EnteredTime");
        let errors = json!(["States.HeartbeatTimeout", "States.Timeout"]);
        assert_eq!(states["Ask"]["Retry"][0]["ErrorEquals"], errors);
        // What is not of the step is as it was written.
        assert!(edited.contains("\"NumericGreaterThan\": 1.50, \"Next\": \"Ask\"}]"), "{edited}");
        assert!(edited.contains("    \"Ask\": {\n      \"Type\": \"Task\""), "{edited}");
    }

    #[test]
    fn before_the_first_state_the_step_is_the_first() {
        let (_, value) = added(FLOW, Place::Before("Read"), &step());
        assert_eq!((&value["StartAt"], &value["States"]["Ask"]["Next"]), (&json!("Ask"), &json!("Read")));
    }

    #[test]
    fn after_a_state_the_step_goes_on_where_it_went_on() {
        let (_, value) = added(FLOW, Place::After("Read"), &step());
        assert_eq!(value["States"]["Read"]["Next"], "Ask");
        assert_eq!(value["States"]["Ask"]["Next"], "Sum");
        let otherwise = Step { otherwise: Some("Sorry"), ..step() };
        let (_, value) = added(FLOW, Place::After("Pay"), &otherwise);
        assert_eq!(value["States"]["Pay"]["Next"], "Ask");
        assert_eq!(value["States"]["Pay"].get("End"), None);
        assert_eq!(value["States"]["Ask"]["End"], true);
        assert_eq!(value["States"]["Ask"]["Catch"][0]["Next"], "Sorry");
        assert_eq!(value["States"].as_object().unwrap().len(), 5);
    }

    #[test]
    fn in_jsonata_the_step_speaks_jsonata() {
        let text = FLOW.replacen('{', "{\n  \"QueryLanguage\": \"JSONata\",", 1);
        let (_, value) = added(&text, Place::After("Read"), &step());
        let state = &value["States"]["Ask"];
        assert_eq!(state["Arguments"]["approve"]["state"], "{% $states.context.State.Name %}");
        assert!(state.get("Parameters").is_none() && state.get("ResultPath").is_none(), "{state}");
        assert!(state["Output"].as_str().unwrap().contains("$states.result"));
    }

    #[test]
    fn states_inside_others_are_found_and_others_left_alone() {
        let inner = r#"{"StartAt": "Read", "States": {"Read": {"Type": "Pass", "End": true}}}"#;
        let text = format!(
            r#"{{"StartAt": "All", "States": {{"All": {{"Type": "Map", "ItemProcessor": {}, "End": true}}}}}}"#,
            inner.replace("Read", "One")
        );
        let (_, value) = added(&text, Place::Before("One"), &step());
        let machine = &value["States"]["All"]["ItemProcessor"];
        assert_eq!((&machine["StartAt"], &machine["States"]["Ask"]["Next"]), (&json!("Ask"), &json!("One")));
        assert_eq!(value["StartAt"], "All");
        let key = &machine["States"]["Ask"]["Parameters"]["approve"]["key.$"];
        assert!(key.as_str().unwrap().contains("$$.Map.Item.Index"), "{key}");
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (place, name, part) in [
            (Place::Before("Nowhere"), "Ask", "there are: Pay, Read, Sorry, Sum"),
            (Place::After("Sum"), "Ask", "--before"),
            (Place::Before("Pay"), "Read", "already"),
        ] {
            let error = add(FLOW, place, &Step { name, ..step() }).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(add("{", Place::Before("A"), &step()).unwrap_err().contains("not JSON"));
        let nowhere = Step { otherwise: Some("Nowhere"), ..step() };
        assert!(add(FLOW, Place::Before("Pay"), &nowhere).unwrap_err().contains("otherwise"));
    }
}
