use serde::Serialize;

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    output::{settings, text},
};

#[derive(Serialize)]
struct ConfigJson {
    file: Option<String>,
    profile: Option<String>,
    profiles: Vec<String>,
    settings: Vec<settings::Row>,
}

pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    let rows = settings::rows(context)?;
    let set = &context.settings;
    let file = set.file.as_ref().map(|path| path.display().to_string());
    if context.json() {
        let (profile, profiles) = (set.profile.clone(), set.profiles.clone());
        context.out.print_json(&ConfigJson { file, profile, profiles, settings: rows })?;
        return Ok(Exit::Ok);
    }
    let exists = set.file.as_ref().is_some_and(|path| path.exists());
    let file = file.map_or_else(|| "none: there is no home folder".to_owned(), |file| text::line(&file));
    let absent = if exists { "" } else { " (there is none)" };
    let profile = match (&set.profile, set.profiles.as_slice()) {
        (Some(profile), all) => format!("{profile} (of {})", all.join(", ")),
        (None, []) => "none".to_owned(),
        (None, all) => format!("none (of {})", all.join(", ")),
    };
    let style = context.out.style;
    let head = format!("{} {file}{absent}\n{} {profile}\n\n", style.dim("file   "), style.dim("profile"));
    context.out.print(&(head + &settings::table(&rows, style)))?;
    if set.withheld {
        context.out.note("the profile's tokens and certificates are left out: they are for its own server");
    }
    Ok(Exit::Ok)
}
