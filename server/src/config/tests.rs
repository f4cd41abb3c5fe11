use super::*;

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("approve.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), &Overrides::default()).map_err(|error| error.to_string())
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let error = load("lisen = \"127.0.0.1:1\"").unwrap_err();
    assert!(error.contains("\"lisen\"") && error.contains("did you mean \"listen\""), "{error}");
    let error = load("[worker]\nmin_pols = 3").unwrap_err();
    assert!(error.contains("\"worker.min_pols\"") && error.contains("\"worker.min_polls\""), "{error}");
    assert!(error.contains("approve.toml"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    let error = load("[worker]\nmin_polls = \"many\"").unwrap_err();
    assert!(error.starts_with("worker.min_polls:"), "{error}");
    let error = load("[worker]\nmin_polls = 0").unwrap_err();
    assert!(error.starts_with("worker.min_polls:"), "{error}");
    let error = load("listen = \"0.0.0.0:50051\"").unwrap_err();
    assert!(error.contains("loopback") && error.contains("set listen"), "{error}");
}

#[test]
fn a_file_takes_the_place_of_defaults_only_where_it_speaks() {
    let config = load("[worker]\nmin_polls = 3").unwrap();
    assert_eq!(config.worker.min_polls, 3);
    assert_eq!(config.worker.max_polls, Worker::default().max_polls);
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn flags_come_last() {
    let flags = Overrides { data_dir: Some("elsewhere".into()), ..Overrides::default() };
    assert_eq!(Config::load(None, &flags).unwrap().data_dir, PathBuf::from("elsewhere"));
}
