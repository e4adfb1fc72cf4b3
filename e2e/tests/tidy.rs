//! The rules of the house that a machine can check by reading.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below these folders with this ending, with their text.
fn files(folders: &[&str], ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|own| own == ending) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty());
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_begins_with_its_job() {
    let sources = files(&["libs", "services", "e2e"], "rs");
    none(
        sources
            .iter()
            .filter(|(_, text)| !text.starts_with("//!"))
            .map(|(path, _)| name(path))
            .collect(),
    );
}

#[test]
fn a_proto_lives_in_the_folder_of_its_package() {
    let protos = files(&["proto/hexcab"], "proto");
    let misplaced = protos.iter().filter(|(path, text)| {
        let package = text
            .lines()
            .find_map(|line| line.strip_prefix("package ")?.strip_suffix(';'));
        let folder = name(path.parent().unwrap())
            .replace("proto/", "")
            .replace('/', ".");
        package != Some(folder.as_str())
    });
    none(misplaced.map(|(path, _)| name(path)).collect());
}

/// Every rpc with its file: (file, name, request, response).
fn rpcs() -> Vec<(String, String, String, String)> {
    let mut all = Vec::new();
    for (path, text) in files(&["proto/hexcab"], "proto") {
        for line in text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("rpc "))
        {
            let parts: Vec<&str> = line.split(['(', ')']).collect();
            let message = |text: &str| text.trim_start_matches("stream ").to_owned();
            all.push((
                name(&path),
                parts[0].to_owned(),
                message(parts[1]),
                message(parts[3]),
            ));
        }
    }
    assert!(all.len() > 20, "{all:?}");
    all
}

#[test]
fn every_rpc_has_messages_of_its_own() {
    let wrong = rpcs().into_iter().filter(|(_, rpc, request, response)| {
        *request != format!("{rpc}Request") || *response != format!("{rpc}Response")
    });
    none(
        wrong
            .map(|(file, rpc, ..)| format!("{file}: {rpc}"))
            .collect(),
    );
}

#[test]
fn every_mutation_has_a_request_id() {
    let reads = ["Get", "List", "Find", "Count", "Explain", "Watch"];
    // Pings are newest-wins, so a repeated one is harmless; a session's messages carry their own ids.
    let others = ["StreamPings", "ReportPings", "OpenSession"];
    let protos = files(&["proto/hexcab"], "proto");
    let wrong = rpcs().into_iter().filter(|(_, rpc, request, _)| {
        let reads =
            reads.iter().any(|verb| rpc.starts_with(verb)) || others.contains(&rpc.as_str());
        let message = protos.iter().find_map(|(_, text)| {
            let (_, after) = text.split_once(&format!("message {request} {{"))?;
            after.split_once("\n}").map(|(fields, _)| fields)
        });
        !reads && !message.unwrap_or_default().contains("string request_id")
    });
    none(
        wrong
            .map(|(file, rpc, ..)| format!("{file}: {rpc}"))
            .collect(),
    );
}

#[test]
fn every_enum_begins_with_unspecified() {
    let mut wrong = Vec::new();
    for (path, text) in files(&["proto/hexcab"], "proto") {
        for body in text.split("\nenum ").skip(1) {
            let first = body.lines().nth(1).unwrap_or_default();
            if !first.contains("_UNSPECIFIED = 0;") {
                wrong.push(format!("{}: {first}", name(&path)));
            }
        }
    }
    none(wrong);
}

#[test]
fn no_service_depends_on_a_service() {
    let services: Vec<String> = std::fs::read_dir(root().join("services"))
        .unwrap()
        .map(|entry| format!("hexcab-{}", entry.unwrap().file_name().display()))
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in files(&["services", "libs", "e2e"], "toml") {
        let dependencies = text
            .split_once("dependencies]")
            .map(|(_, after)| after)
            .unwrap_or_default();
        for service in &services {
            if dependencies
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next() == Some(service))
            {
                wrong.push(format!("{} depends on {service}", name(&path)));
            }
        }
    }
    none(wrong);
}

#[test]
fn versions_stand_in_one_place() {
    let mut wrong = Vec::new();
    for (path, text) in files(&["services", "libs", "e2e"], "toml") {
        let dependencies = text
            .split_once("dependencies]")
            .map(|(_, after)| after)
            .unwrap_or_default();
        wrong.extend(
            dependencies
                .lines()
                .filter(|line| line.contains("version ="))
                .map(|line| format!("{}: {line}", name(&path))),
        );
    }
    none(wrong);
}

#[test]
fn every_guard_can_be_taken_away_and_the_page_says_so() {
    let table = hexcab_e2e::guards::Table::read(&root()).unwrap();
    none(
        table
            .guard
            .iter()
            .filter_map(|guard| guard.taken_away(&root()).err())
            .map(|error| format!("{error:#}"))
            .collect(),
    );
    let page = std::fs::read_to_string(root().join("docs/guards.md")).unwrap();
    assert!(page == table.page(), "run ./dev guards --write");
}

#[test]
fn every_guard_names_a_test_that_is_there() {
    let sources = files(&["libs", "services", "e2e"], "rs");
    let table = hexcab_e2e::guards::Table::read(&root()).unwrap();
    none(
        table
            .guard
            .iter()
            .map(|guard| guard.test.rsplit("::").next().unwrap().to_owned())
            .filter(|test| {
                let head = format!("fn {test}(");
                !sources.iter().any(|(_, text)| text.contains(&head))
            })
            .collect(),
    );
}

#[test]
fn every_instrument_stands_on_the_page_of_telemetry() {
    let page = std::fs::read_to_string(root().join("docs/telemetry.md")).unwrap();
    let instruments = hexcab_e2e::telemetry::instruments(&root()).unwrap();
    assert!(
        hexcab_e2e::telemetry::page(&page, &instruments).unwrap() == page,
        "docs/telemetry.md is not what the sources say: cargo run -p hexcab-e2e --bin telemetry"
    );
}

#[test]
fn every_alert_has_a_runbook_and_a_test() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (rules, tests) = (
        read("infra/prometheus/alerts.yml"),
        read("infra/prometheus/alerts.test.yml"),
    );
    let names: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(names.len() > 5);
    for name in names {
        let page = format!("docs/runbooks/{name}.md");
        assert!(root().join(&page).exists(), "{page} is missing");
        assert!(rules.contains(&format!("runbook: {page}")), "{name}");
        let fires = format!("alertname: {name}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "{name} fires in no test");
    }
}

#[test]
fn the_images_of_a_cluster_are_pinned_in_one_place() {
    let env = std::fs::read_to_string(root().join("infra/.env")).unwrap();
    let pinned: Vec<(&str, &str)> = env
        .lines()
        .filter_map(|line| line.split_once("_IMAGE="))
        .collect();
    for (name, image) in &pinned {
        let is_ours = *name == "HEXCAB";
        assert!(
            is_ours || image.contains(':') && !image.ends_with(":latest"),
            "{image}"
        );
    }
    for (path, text) in files(&["infra"], "yaml") {
        let images = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("image: "));
        let loose: Vec<&str> = images
            .filter(|image| !image.starts_with("${") && !image.starts_with("{{"))
            .collect();
        assert!(loose.is_empty(), "{}: {loose:?}", name(&path));
    }
    let dockerfile = std::fs::read_to_string(root().join("infra/Dockerfile")).unwrap();
    for argument in ["RUST", "BASE"] {
        let (_, image) = pinned.iter().find(|(name, _)| *name == argument).unwrap();
        assert!(
            dockerfile.contains(&format!("ARG {argument}_IMAGE={image}\n")),
            "{argument}"
        );
    }
}
