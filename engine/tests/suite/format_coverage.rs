//! Every requirement of `FORMAT.md` has a number and a test that exists.
//!
//! A requirement is a paragraph or list item with the word MUST. It begins with its number, `**[P-3]**`, and ends with
//! the tests that check it, `(test: one, another)`. Numbers count from 1 for each letter, without gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_requirement_has_a_number_and_an_existing_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spec = fs::read_to_string(root.join("FORMAT.md")).unwrap();
    let mut tests = BTreeSet::new();
    for path in ["src", "tests"].iter().flat_map(|dir| rust_files(&root.join(dir))) {
        tests.extend(test_names(&fs::read_to_string(path).unwrap()));
    }
    assert!(paragraphs(&spec).iter().any(|text| requires(text)));
    let faults = faults(&spec, &tests);
    assert!(
        faults.is_empty(),
        "{} faults in FORMAT.md:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// The faults of the requirements in `spec`, given the names of all tests.
fn faults(spec: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut numbers: BTreeMap<char, Vec<u32>> = BTreeMap::new();
    for text in paragraphs(spec) {
        let start: String = text.chars().take(60).collect();
        let ids = ids(&text);
        match (requires(&text), ids.as_slice()) {
            (false, []) => continue,
            (false, _) => faults.push(format!("numbered, but requires nothing: {start}")),
            (true, []) => faults.push(format!("no number: {start}")),
            (true, [_]) => {}
            (true, _) => faults.push(format!("more than one number: {start}")),
        }
        for (letter, number) in ids {
            numbers.entry(letter).or_default().push(number);
        }
        match named_tests(&text) {
            None => faults.push(format!("no test at its end: {start}")),
            Some(named) => faults.extend(
                named
                    .into_iter()
                    .filter(|name| !tests.contains(name))
                    .map(|name| format!("no such test: {name}, of {start}")),
            ),
        }
    }
    for (letter, mut numbers) in numbers {
        numbers.sort_unstable();
        for pair in numbers.windows(2).filter(|pair| pair[0] == pair[1]) {
            faults.push(format!("repeated: {letter}-{}", pair[0]));
        }
        numbers.dedup();
        for (number, expected) in numbers.into_iter().zip(1..) {
            if number != expected {
                faults.push(format!("missing: {letter}-{expected}"));
                break;
            }
        }
    }
    faults
}

/// The paragraphs, list items, headings and table rows of a page, each on one line.
fn paragraphs(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        let text = line.trim();
        let starts = text.starts_with("- ") || text.starts_with("* ") || text.starts_with('#') || text.starts_with('|');
        let numbered = text
            .split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        if text.is_empty() {
            open = false;
        } else if let (true, false, Some(last)) = (open, starts || numbered, found.last_mut()) {
            last.push(' ');
            last.push_str(text);
        } else {
            found.push(text.to_owned());
            open = true;
        }
    }
    found
}

fn requires(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word == "MUST")
}

/// The numbers in bold; others are references.
fn ids(text: &str) -> Vec<(char, u32)> {
    let candidates = text.split("**[").skip(1).filter_map(|rest| rest.split_once("]**"));
    candidates
        .filter_map(|(id, _)| {
            let (letter, number) = id.split_once('-')?;
            let mut letters = letter.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) if letter.is_ascii_uppercase() => Some((letter, number.parse().ok()?)),
                _ => None,
            }
        })
        .collect()
}

/// The tests that a requirement ends with; `None` if it ends otherwise, or if one is not a name.
fn named_tests(text: &str) -> Option<Vec<String>> {
    let (_, list) = text.rsplit_once("(test: ")?;
    let list = list.trim_end_matches('.').strip_suffix(')')?;
    list.split(',')
        .map(|name| {
            let name = name.trim();
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            is_name.then(|| name.to_owned())
        })
        .collect()
}

/// The functions under a `#[test]`, in a file and inside `proptest!`. An ignored test does not count.
fn test_names(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut is_test, mut ignored) = (false, false);
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            ignored = true;
        } else if line.starts_with("#[") || line.starts_with("//") {
            // Attributes and comments may come between.
        } else {
            if let (true, false, Some(rest)) = (is_test, ignored, line.strip_prefix("fn ")) {
                names.extend(rest.split_once('(').map(|(name, _)| name.to_owned()));
            }
            (is_test, ignored) = (false, false);
        }
    }
    names
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn faults_of(spec: &str) -> Vec<String> {
    faults(spec, &["shown".to_owned(), "also_shown".to_owned()].into())
}

#[test]
fn a_sound_page_has_no_fault() {
    let page = "# Title\n\nProse. See [P-1].\n\n- **[P-1]** It MUST\n  be so\n  (test: shown,\n  also_shown).\n\
                - **[H-1]** And MUST NOT be thus (test: shown)\n\n**[P-2]** A paragraph MUST too (test: also_shown).\n";
    assert_eq!(faults_of(page), Vec::<String>::new());
}

#[test]
fn each_fault_is_found() {
    for (page, fault) in [
        ("It MUST be so (test: shown).", "no number: It MUST be so"),
        ("| a | MUST | (test: shown)", "no number: | a | MUST |"),
        ("Prose\n1. It MUST be so (test: shown).", "no number: 1. It"),
        ("**[P-1]** It MUST be so.", "no test at its end"),
        ("**[P-1]** It MUST be so (test: ).", "no test at its end"),
        ("**[P-1]** It MUST (test: shown) be so.", "no test at its end"),
        (
            "**[P-1]** It MUST be so (test: shown, not there).",
            "no test at its end",
        ),
        ("**[P-1]** It MUST be so (test: shown, gone).", "no such test: gone"),
        ("**[P-1]** It may be so (test: shown).", "requires nothing"),
        (
            "**[P-1]** It MUST, **[P-2]** too (test: shown).",
            "more than one number",
        ),
        (
            "- **[P-1]** MUST (test: shown)\n- **[P-1]** MUST (test: shown)",
            "repeated: P-1",
        ),
        (
            "- **[P-1]** MUST (test: shown)\n- **[P-3]** MUST (test: shown)",
            "missing: P-2",
        ),
        ("**[P-2]** MUST (test: shown)", "missing: P-1"),
    ] {
        let found = faults_of(page);
        assert_eq!(found.len(), 1, "{page}: {found:?}");
        assert!(found[0].contains(fault), "{page}: {found:?}");
    }
}

#[test]
fn only_what_runs_as_a_test_is_one() {
    for (source, is_test) in [
        ("#[test]\nfn shown() {", true),
        (
            "    #[test]\n    #[cfg(unix)]\n    // Why.\n    fn shown(len in 0..9) {",
            true,
        ),
        ("fn shown() {", false),
        ("#[test]\nfn other() {}\n\nfn shown() {", false),
        ("#[test]\n#[ignore = \"slow\"]\nfn shown() {", false),
        ("#[ignore]\n#[test]\nfn shown() {", false),
        ("// #[test]\nfn shown() {", false),
        ("#[test]\n// fn shown() {", false),
    ] {
        assert_eq!(test_names(source).contains("shown"), is_test, "{source}");
    }
}
