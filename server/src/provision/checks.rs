//! Whether a spec is well formed: everything that can be known before AWS is asked.

use jiff::SignedDuration;

use super::{ProvisionError, Spec, Tags, definition};

/// Of the names of activities and state machines, in characters.
const MAX_NAME: usize = 80;
const MAX_ROLE_NAME: usize = 64;
/// IAM's quota of managed policies on one role, unless it was raised to this.
const MAX_POLICIES: usize = 20;
/// IAM's limit of all inline policies of a role together, in characters.
const MAX_INLINE: usize = 10_240;
const MAX_POLICY_NAME: usize = 128;
/// Of a KMS key's id, ARN or alias.
const MAX_KEY: usize = 2_048;
/// Besides the main one: each is polled with connections of its own.
const MAX_ACTIVITIES: usize = 20;
/// AWS takes 50, and some of them are ours.
const MAX_TAGS: usize = 45;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
const MAX_DEFINITION: usize = 1_048_576;
const MAX_SECONDS: i64 = 99_999_999;

const NAME_FORBIDDEN: &str = "?*<>{}[]\"#%\\^|~$&,;:/`";

impl Spec {
    /// This spec, if AWS could take it: names, counts, lengths and times are in bounds.
    pub fn checked(self) -> Result<Self, ProvisionError> {
        self.check()?;
        Ok(self)
    }

    /// Tells the first field that AWS could not take.
    pub fn check(&self) -> Result<(), ProvisionError> {
        let own = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if !has_length(&self.name, MAX_NAME) || !self.name.chars().all(own) {
            return Err(ProvisionError::field("name", "expected 1 to 80 characters of [A-Za-z0-9_-]"));
        }
        check_name("activity_name", &self.activity_name)?;
        self.check_more_activities()?;
        check_name("state_machine.name", &self.state_machine.name)?;
        self.check_role()?;
        self.check_inline_policies()?;
        self.check_times()?;
        self.check_settings()?;
        self.check_definition()?;
        check_tags(&self.tags)?;
        let rule = self.rule.clone().checked();
        rule.map_err(|error| ProvisionError::field(format!("rule.{}", error.field), error.problem))?;
        Ok(())
    }

    fn check_more_activities(&self) -> Result<(), ProvisionError> {
        let own = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if self.more_activities.len() > MAX_ACTIVITIES {
            let problem = format!("expected at most {MAX_ACTIVITIES}");
            return Err(ProvisionError::field("more_activities", problem));
        }
        for (key, name) in &self.more_activities {
            let field = format!("more_activities.{}", shortened(key));
            if !has_length(key, MAX_NAME) || !key.chars().all(own) {
                return Err(ProvisionError::field(field, "expected a key of 1 to 80 characters of [A-Za-z0-9_-]"));
            }
            check_name(&field, name)?;
            if self.activity_names().filter(|other| other == name).count() > 1 {
                return Err(ProvisionError::field(field, format!("another activity is called {name:?}, too")));
            }
        }
        Ok(())
    }

    fn check_inline_policies(&self) -> Result<(), ProvisionError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let mut size = 0;
        for (name, policy) in &self.role.inline_policies {
            let error = |problem: String| {
                Err(ProvisionError::field(format!("role.inline_policies.{}", shortened(name)), problem))
            };
            if !has_length(name, MAX_POLICY_NAME) || !name.chars().all(allowed) {
                return error("expected a name of 1 to 128 characters of [A-Za-z0-9_+=,.@-]".to_owned());
            }
            let document: serde_json::Value = match serde_json::from_str(policy) {
                Ok(document) => document,
                Err(problem) => return error(format!("expected JSON: {problem}")),
            };
            if document.get("Statement").is_none() {
                return error("expected a policy: an object with Version and Statement".to_owned());
            }
            // IAM does not count white space.
            size += policy.chars().filter(|c| !c.is_whitespace()).count();
        }
        if size > MAX_INLINE {
            let problem = format!("expected at most {MAX_INLINE} characters in all, found {size}");
            return Err(ProvisionError::field("role.inline_policies", problem));
        }
        Ok(())
    }

    fn check_settings(&self) -> Result<(), ProvisionError> {
        if let Some(logging) = &self.state_machine.logging {
            let arn = &logging.log_group_arn;
            if !(arn.starts_with("arn:aws") && arn.contains(":logs:") && arn.ends_with(":*") && arn.len() <= 256) {
                let problem = "expected a log group's ARN with \":*\" at its end, like \
                               arn:aws:logs:eu-west-1:123456789012:log-group:approvals:*";
                return Err(ProvisionError::field("state_machine.logging.log_group_arn", problem));
            }
        }
        let Some(encryption) = &self.encryption else { return Ok(()) };
        if !has_length(&encryption.kms_key_id, MAX_KEY) || encryption.kms_key_id.contains(char::is_whitespace) {
            let problem = "expected the id, ARN or alias of a symmetric KMS key";
            return Err(ProvisionError::field("encryption.kms_key_id", problem));
        }
        let reuse = encryption.data_key_reuse;
        if reuse.subsec_nanos() != 0 || !(60..=900).contains(&reuse.as_secs()) {
            return Err(ProvisionError::field("encryption.data_key_reuse", "expected whole seconds, from 60 to 900"));
        }
        Ok(())
    }

    fn check_role(&self) -> Result<(), ProvisionError> {
        let of_role = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !has_length(&self.role.name, MAX_ROLE_NAME) || !self.role.name.chars().all(of_role) {
            return Err(ProvisionError::field("role.name", "expected 1 to 64 characters of [A-Za-z0-9_+=,.@-]"));
        }
        let path = &self.role.path;
        let of_path = |c: char| c.is_ascii_graphic();
        if !(path.starts_with('/') && path.ends_with('/') && path.len() <= 512 && path.chars().all(of_path)) {
            let problem = "expected up to 512 characters that begin and end with a slash, like /approvals/";
            return Err(ProvisionError::field("role.path", problem));
        }
        if let Some(arn) = self.role.permissions_boundary_arn.as_ref().filter(|arn| !is_policy_arn(arn)) {
            let problem = format!("{arn:?}: expected a policy's ARN, like arn:aws:iam::123456789012:policy/boundary");
            return Err(ProvisionError::field("role.permissions_boundary_arn", problem));
        }
        let policies = &self.role.managed_policy_arns;
        if policies.len() > MAX_POLICIES {
            let problem = format!("expected at most {MAX_POLICIES}, which is IAM's limit");
            return Err(ProvisionError::field("role.managed_policy_arns", problem));
        }
        for (at, arn) in policies.iter().enumerate() {
            let field = "role.managed_policy_arns";
            if !is_policy_arn(arn) {
                let problem = "expected a policy's ARN, like arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess";
                return Err(ProvisionError::field(field, format!("{arn:?}: {problem}")));
            }
            if policies.iter().take(at).any(|other| other == arn) {
                return Err(ProvisionError::field(field, format!("{arn:?} is there twice")));
            }
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), ProvisionError> {
        let machine = &self.state_machine;
        check_seconds("state_machine.timeout", machine.timeout)?;
        check_seconds("state_machine.heartbeat", machine.heartbeat)?;
        if machine.definition.is_none() && machine.heartbeat >= machine.timeout {
            return Err(ProvisionError::field("state_machine.heartbeat", "expected less than the timeout"));
        }
        Ok(())
    }

    fn check_definition(&self) -> Result<(), ProvisionError> {
        let Some(text) = &self.state_machine.definition else { return Ok(()) };
        if text.len() > MAX_DEFINITION {
            let problem = format!("expected at most {MAX_DEFINITION} bytes, found {}", text.len());
            return Err(ProvisionError::field("state_machine.definition", problem));
        }
        definition::check(text)
    }
}

fn has_length(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count())
}

/// A key, for naming its field.
fn shortened(key: &str) -> String {
    key.chars().take(MAX_TAG_KEY).collect()
}

fn check_name(field: &str, name: &str) -> Result<(), ProvisionError> {
    if !has_length(name, MAX_NAME) {
        let problem = format!("expected 1 to {MAX_NAME} characters, found {}", name.chars().count());
        return Err(ProvisionError::field(field, problem));
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || NAME_FORBIDDEN.contains(c);
    if let Some(found) = name.chars().find(|&c| forbidden(c)) {
        let problem = format!("{found:?} is not allowed; nor are white space, control characters and {NAME_FORBIDDEN}");
        return Err(ProvisionError::field(field, problem));
    }
    Ok(())
}

fn is_policy_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, service, region, account, resource] = parts.as_slice() else { return false };
    let named = resource.strip_prefix("policy/").is_some_and(|path| !path.is_empty() && !path.ends_with('/'));
    let account = *account == "aws" || (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
    *scheme == "arn"
        && partition.starts_with("aws")
        && *service == "iam"
        && region.is_empty()
        && account
        && named
        && arn.len() <= 2_048
        && !arn.contains(char::is_whitespace)
}

fn check_seconds(field: &str, time: SignedDuration) -> Result<(), ProvisionError> {
    if time.subsec_nanos() == 0 && (1..=MAX_SECONDS).contains(&time.as_secs()) {
        return Ok(());
    }
    Err(ProvisionError::field(field, format!("expected whole seconds, from 1 to {MAX_SECONDS}")))
}

fn check_tags(tags: &Tags) -> Result<(), ProvisionError> {
    if tags.len() > MAX_TAGS {
        return Err(ProvisionError::field("tags", format!("expected at most {MAX_TAGS}")));
    }
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    for (key, value) in tags {
        let error = |problem: String| Err(ProvisionError::field(format!("tags.{}", shortened(key)), problem));
        if !has_length(key, MAX_TAG_KEY) || value.chars().count() > MAX_TAG_VALUE {
            return error(format!(
                "expected a key of 1 to {MAX_TAG_KEY} characters and a value of up to {MAX_TAG_VALUE}"
            ));
        }
        let lower = key.to_ascii_lowercase();
        if lower.starts_with("aws:") || lower.starts_with("approve:") {
            return error("keys that begin with \"aws:\" or \"approve:\" are reserved".to_owned());
        }
        if let Some(found) = key.chars().chain(value.chars()).find(|&c| !allowed(c)) {
            return error(format!(
                "{found:?} is not allowed; expected letters, digits, white space and _ . : / = + - @"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::{Encryption, LogLevel, Logging};

    fn problem(change: impl FnOnce(&mut Spec)) -> (String, String) {
        let mut spec = Spec::reference();
        change(&mut spec);
        match spec.checked() {
            Err(ProvisionError::Field { field, problem }) => (field, problem),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_reference_and_its_kin_are_well_formed() {
        assert_eq!(Spec::reference().checked().unwrap(), Spec::reference());
        let named = Spec::named("payments").checked().unwrap();
        assert_eq!(named.activity_name, "payments-activity");
        assert_eq!(named.role.name, "payments-role");
        assert_eq!(named.state_machine.name, "payments-state-machine");
        assert_eq!(named.role.managed_policy_arns, [crate::provision::STEP_FUNCTIONS_FULL_ACCESS]);
    }

    #[test]
    fn malformed_fields_are_named() {
        type Damage = fn(&mut Spec);
        let damaged: [(&str, Damage); 27] = [
            ("name", |spec| spec.name = "a b".to_owned()),
            ("name", |spec| spec.name = String::new()),
            ("activity_name", |spec| spec.activity_name = "a b".to_owned()),
            ("activity_name", |spec| spec.activity_name = "a".repeat(81)),
            ("state_machine.name", |spec| spec.state_machine.name = "a:b".to_owned()),
            ("state_machine.name", |spec| spec.state_machine.name = "a\u{7}b".to_owned()),
            ("role.name", |spec| spec.role.name = "r".repeat(65)),
            ("role.name", |spec| spec.role.name = "a/b".to_owned()),
            ("role.managed_policy_arns", |spec| spec.role.managed_policy_arns.push("FullAccess".to_owned())),
            ("role.managed_policy_arns", |spec| {
                spec.role.managed_policy_arns.push(spec.role.managed_policy_arns[0].clone());
            }),
            ("state_machine.timeout", |spec| spec.state_machine.timeout = SignedDuration::from_millis(1_500)),
            ("state_machine.timeout", |spec| spec.state_machine.timeout = SignedDuration::ZERO),
            ("state_machine.heartbeat", |spec| spec.state_machine.heartbeat = SignedDuration::from_secs(300)),
            ("state_machine.definition", |spec| spec.state_machine.definition = Some(" ".repeat(1_048_577))),
            ("more_activities.a b", |spec| drop(spec.more_activities.insert("a b".to_owned(), "A".to_owned()))),
            ("more_activities.a", |spec| {
                spec.more_activities.insert("a".to_owned(), spec.activity_name.clone());
            }),
            ("role.path", |spec| spec.role.path = "team".to_owned()),
            ("role.permissions_boundary_arn", |spec| spec.role.permissions_boundary_arn = Some("b".to_owned())),
            ("role.inline_policies.p", |spec| drop(spec.role.inline_policies.insert("p".to_owned(), "{".to_owned()))),
            ("role.inline_policies.q", |spec| drop(spec.role.inline_policies.insert("q".to_owned(), "{}".to_owned()))),
            ("role.inline_policies", |spec| {
                let long = format!(r#"{{"Statement": "{}"}}"#, "s".repeat(10_240));
                spec.role.inline_policies.insert("long".to_owned(), long);
            }),
            ("state_machine.logging.log_group_arn", |spec| {
                let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:g".to_owned();
                spec.state_machine.logging =
                    Some(Logging { level: LogLevel::All, log_group_arn: arn, include_execution_data: false });
            }),
            ("encryption.data_key_reuse", |spec| {
                let data_key_reuse = SignedDuration::from_secs(59);
                spec.encryption = Some(Encryption { kms_key_id: "alias/a".to_owned(), data_key_reuse });
            }),
            ("tags.aws:x", |spec| drop(spec.tags.insert("aws:x".to_owned(), String::new()))),
            ("tags.approve:workflow", |spec| drop(spec.tags.insert("approve:workflow".to_owned(), String::new()))),
            ("tags.k", |spec| drop(spec.tags.insert("k".to_owned(), "a*b".to_owned()))),
            ("rule.stages[0].required_approvals", |spec| spec.rule.stages[0].required = 0),
        ];
        for (field, damage) in damaged {
            let (found, problem) = problem(damage);
            assert_eq!(found, field, "{problem}");
        }
    }

    #[test]
    fn policies_of_all_partitions_and_accounts_pass() {
        for arn in [
            "arn:aws-cn:iam::aws:policy/AWSStepFunctionsFullAccess",
            "arn:aws-us-gov:iam::123456789012:policy/team/own",
            "arn:aws:iam::aws:policy/service-role/AWSLambdaRole",
        ] {
            assert!(is_policy_arn(arn), "{arn}");
        }
        for arn in [
            "arn:aws:iam::aws:policy/",
            "arn:aws:iam::aws:role/R",
            "arn:aws:iam:eu:aws:policy/P",
            "arn:aws:iam::1:policy/P",
        ] {
            assert!(!is_policy_arn(arn), "{arn}");
        }
    }

    #[test]
    fn a_definition_that_is_no_json_is_told_by_its_place() {
        let mut spec = Spec::reference();
        spec.state_machine.definition = Some("{".to_owned());
        let error = spec.check().unwrap_err();
        assert!(matches!(error, ProvisionError::InvalidDefinition { .. }), "{error}");
    }
}
