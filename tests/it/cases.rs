//! Every case file, played on Argon over the wire and compared with what mongod said.

use std::path::Path;

use argon_testkit::case;
use argon_testkit::case::suite::{self, Subject};
use argon_testkit::server::Argon;

/// One test for each folder of `tests/cases`, so that what fails is listed by area.
macro_rules! folders {
    ($($folder:ident)*) => {
        const FOLDERS: &[&str] = &[$(stringify!($folder)),*];
        $(
            #[test]
            fn $folder() {
                check(stringify!($folder));
            }
        )*
    };
}

folders! {
    accumulator
    branch
    command
    expr
    filter
    index
    projection
    sort
    stage
    update
}

fn check(folder: &str) {
    let root = case::root();
    let files = suite::find(&root, &format!("/{folder}/")).unwrap();
    let argon = Argon::start(Path::new(env!("CARGO_BIN_EXE_argon"))).unwrap();
    let report = suite::check(argon.addr(), Subject::Argon, &root, &files).unwrap();
    assert!(report.failures.is_empty(), "{report}");
}

#[test]
fn every_folder_has_a_test() {
    for entry in case::root().read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".case"), "{name} belongs in a folder");
        let known = name == "data" || FOLDERS.contains(&name.as_str());
        assert!(known, "give {name} a row in tests/it/cases.rs");
    }
}

#[test]
fn every_case_file_parses() {
    let files = suite::find(&case::root(), "").unwrap();
    let errors: Vec<String> = files
        .iter()
        .filter_map(|file| Some(format!("{:#}", file.as_ref().err()?)))
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn every_step_is_recorded() {
    for file in suite::find(&case::root(), "")
        .unwrap()
        .into_iter()
        .flatten()
    {
        for step in &file.steps {
            let place = format!("{}:{}", file.name, step.line);
            assert!(
                step.expected.is_some(),
                "{place}: not recorded: just record {}",
                file.name
            );
        }
    }
}
