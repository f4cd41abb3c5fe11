use std::{fs::OpenOptions, io::Write as _, path::Path};

use crate::{context::Context, exit::Exit, failure::Failure};

/// A spec in which every key is explained.
const SPEC: &str = include_str!("workflow.toml");
/// The name in it.
const NAME: &str = "my-approval";

pub(super) fn run(context: &Context, path: &Path, name: &str) -> Result<Exit, Failure> {
    let own = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !(1..=80).contains(&name.len()) || !name.chars().all(own) {
        return Err(Failure::input("--name: expected 1 to 80 letters, digits, \"_\" and \"-\""));
    }
    let failed = |source| Failure::Read { what: format!("can't write {}", path.display()), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(SPEC.replace(NAME, name).as_bytes()).map_err(failed)?;
    context.out.advise(&format!("edit it, then: approve-cli workflow plan {}", path.display()));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The template with its examples in force.
    fn uncommented() -> String {
        let is_key = |line: &str| {
            let key = line.split([' ', '=']).next().unwrap_or_default();
            line.starts_with('[') || (line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(example) if is_key(example) => example.to_owned(),
            _ => line.to_owned(),
        };
        SPEC.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_template_is_a_spec_also_with_all_its_examples() {
        let folder = std::env::temp_dir().join(format!("approve-init-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["my-approval.asl.json", "send.policy.json"] {
            std::fs::write(folder.join(file), "{}").unwrap();
        }
        let path = folder.join("workflow.toml");
        std::fs::write(&path, SPEC).unwrap();
        let plain = crate::spec::read(&path).unwrap();
        assert_eq!(plain.role.unwrap().managed_policy_arns, [""; 0]);
        assert!(plain.rule.is_none());

        std::fs::write(&path, uncommented()).unwrap();
        let full = crate::spec::read(&path).unwrap();
        assert_eq!(full.more_activities["legal"], "LegalApproval");
        assert_eq!(full.expected_pending, 1000);
        assert!(full.encryption.is_some() && full.rule.is_some() && full.tags.contains_key("team"));
        let (machine, role) = (full.state_machine.unwrap(), full.role.unwrap());
        assert_eq!((machine.definition.as_str(), machine.logging.unwrap().level.as_str()), ("{}", "ERROR"));
        assert!(role.inline_policies.contains_key("send") && !role.permissions_boundary_arn.is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
