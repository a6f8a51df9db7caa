//! Modules use only modules of their own or a lower layer, and external names stay where they belong: AEADs in
//! `cipher`, threads in `executor`, streams in `asynchronous`. Crates have borders too: this one contains no S3, and
//! kms-mock does not depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. Add new modules here.
const LAYERS: [&[&str]; 6] = [
    &[
        "error", "buffer", "layout", "context", "secret", "sticky", "suite", "hex", "wire", "sys", "progress",
        "registry",
    ],
    &["cache", "header", "data_key", "cipher", "format", "keys", "unlock"],
    &["batch", "chunker", "sealer", "opener", "executor", "positioned"],
    &[
        "composite",
        "encrypt",
        "decrypt",
        "unlocked",
        "range",
        "file",
        "rewrap",
        "hazmat",
        "machines",
        "testing",
    ],
    &["asynchronous", "stream"],
    &["lib"],
];

/// External names, and the one module that may use each.
const OWNERS: [(&str, &str); 5] = [
    ("aws_lc_rs", "cipher"),
    ("aes_gcm", "cipher"),
    ("chacha20poly1305", "cipher"),
    ("rayon", "executor"),
    ("futures_core", "asynchronous"),
];

#[test]
fn modules_use_their_own_layer_or_a_lower_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = source_files(&src);
    assert!(files.iter().any(|path| path.ends_with("cipher/xaes.rs")), "{files:?}");
    let mut faults = Vec::new();
    for path in files {
        let source = fs::read_to_string(&path).unwrap();
        faults.extend(file_faults(&module_path(path.strip_prefix(&src).unwrap()), &source));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// S3's server-side encryption is a separate crate on the public API, as that of any other store could be.
#[test]
fn the_engine_knows_no_s3() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for path in source_files(&src) {
        let code = code_of(&fs::read_to_string(&path).unwrap());
        faults.extend(s3_names(&code).map(|name| format!("{} names {name}", path.display())));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let manifest = fs::read_to_string(src.join("../Cargo.toml")).unwrap();
    assert!(!manifest.contains("md-5"));
    // The check can fail.
    for code in [
        "mod sse;",
        "fn s3() {}",
        "let name = \"x-amz-meta\";",
        "struct SseError;",
        "const S3_LIMIT: u8;",
    ] {
        assert_eq!(s3_names(code).count(), 1, "{code}");
    }
    assert_eq!(s3_names("fn assess(message: &str) {}").count(), 0);
}

/// The names and texts of S3 in the code.
fn s3_names(code: &str) -> impl Iterator<Item = &str> {
    let is_s3 = |part: &str| matches!(part.to_ascii_lowercase().as_str(), "sse" | "s3");
    let of_s3 = move |word: &&str| word.starts_with("Sse") || word.split('_').any(is_s3);
    let header = code.contains("x-amz").then_some("x-amz");
    words(code).filter(of_s3).chain(header)
}

/// A test double that shares code with what it tests shares its faults.
#[test]
fn kms_mock_does_not_depend_on_the_engine() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    let reached = dependencies(&lock, "sealstone-kms-mock");
    assert!(
        reached.contains("aws-lc-rs") && reached.contains("tempfile"),
        "{reached:?}"
    );
    assert!(!reached.contains("sealstone"), "{reached:?}");
    // The check can fail.
    assert!(dependencies(&lock, "sealstone-cli").contains("sealstone"));
}

/// The names of all packages that `package` depends on in the lock file, directly and indirectly, with any feature and
/// for tests.
fn dependencies<'l>(lock: &'l str, package: &str) -> BTreeSet<&'l str> {
    let mut direct: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in lock.split("[[package]]").skip(1) {
        let mut quoted = |text: &'l str| {
            text.split('"')
                .nth(1)
                .map(|text| text.split(' ').next().unwrap_or(text))
        };
        let (head, dependencies) = entry.split_once("dependencies = [").unwrap_or((entry, ""));
        let name = quoted(head).expect("a package has a name");
        let names = dependencies.lines().filter_map(&mut quoted);
        direct.entry(name).or_default().extend(names);
    }
    let mut reached = BTreeSet::new();
    let mut left = Vec::from_iter(&direct[package]);
    while let Some(name) = left.pop() {
        if reached.insert(*name) {
            left.extend(&direct[name]);
        }
    }
    reached
}

/// The faults in the file of the module at `path`, which is empty for the crate's root.
fn file_faults(path: &[String], source: &str) -> Vec<String> {
    let module = path.first().map_or("lib", String::as_str);
    let name = if path.is_empty() {
        "lib".to_owned()
    } else {
        path.join("::")
    };
    let Some(rank) = rank(module) else {
        return vec![format!("{name}: the module {module} has no layer; give it one here")];
    };
    let code = code_of(source);
    let mut faults = Vec::new();
    for used in used_modules(&code, path.len()) {
        match self::rank(&used) {
            Some(lower) if lower <= rank => {}
            Some(_) => faults.push(format!("{name} uses {used}, of a higher layer")),
            None => faults.push(format!("{name} uses {used}, which is no module with a layer")),
        }
    }
    for (outside, owner) in OWNERS {
        if module != owner && words(&code).any(|word| word == outside) {
            faults.push(format!("{name} names {outside}, which only {owner} may"));
        }
    }
    faults
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The code without comments and unit tests, which end a file or have their own.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(") && line.contains("test") && lines.peek() == Some(&"mod tests {") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        code.push_str(line.split_once(" // ").map_or(line, |(code, _)| code));
        code.push('\n');
    }
    code
}

/// The top-level modules that paths in the code refer to. `depth` is that of the file's own module: that many `super`
/// reach the crate's root.
fn used_modules(code: &str, depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    for (start, root) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = &code[..start];
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') || before.ends_with("super::") {
            continue;
        }
        let mut rest = &code[start..];
        let mut supers = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            supers += 1;
        }
        if root == "super::" && supers < depth {
            continue;
        }
        rest = rest.strip_prefix("crate::").unwrap_or(rest);
        used.extend(first_names(rest));
    }
    used
}

/// The names after a path's start: one, or those of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_*".contains(*c))
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut names = Vec::new();
    let (mut nested, mut item) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => nested += 1,
            '}' if nested > 0 => nested -= 1,
            ',' | '}' if nested == 0 => {
                names.push(name(&group[item..at]));
                item = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// `header/slot.rs` is header::slot; `lib.rs` is the root.
fn module_path(file: &Path) -> Vec<String> {
    let file = file.with_extension("");
    let names = file
        .iter()
        .map(|name| name.to_str().expect("module files have plain names").to_owned());
    names.filter(|name| name != "lib").collect()
}

/// All source files except unit tests.
fn source_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn each_upward_path_is_found() {
    for (path, source, fault) in [
        ("header.rs", "use crate::sealer::Sealer;", "uses sealer"),
        (
            "header.rs",
            "use crate::{\n    error::Error,\n    file::{Copy, Open},\n};",
            "uses file",
        ),
        ("header.rs", "fn f() -> crate::range::Reader {", "uses range"),
        ("header.rs", "use super::decrypt;", "uses decrypt"),
        ("header/slot.rs", "use super::super::opener::Opener;", "uses opener"),
        ("header/slot.rs", "use super::super::{error, batch};", "uses batch"),
        ("layout.rs", "pub(in crate::header) fn f() {}", "uses header"),
        ("layout.rs", "use crate::Error;", "uses Error, which is no module"),
        ("layout.rs", "use super::*;", "uses *, which is no module"),
        ("newcomer.rs", "", "newcomer has no layer"),
        ("newcomer/part.rs", "", "newcomer has no layer"),
        (
            "header.rs",
            "use crate::newcomer::X;",
            "uses newcomer, which is no module",
        ),
        ("keys/wrap.rs", "use aes_gcm::Aes256Gcm;", "names aes_gcm"),
        ("data_key.rs", "use chacha20poly1305::Key;", "names chacha20poly1305"),
        ("sealer.rs", "rayon::spawn(f);", "names rayon"),
        ("executor.rs", "use aws_lc_rs::aead;", "names aws_lc_rs"),
        (
            "keys/local.rs",
            "mod stored;\n#[cfg(test)]\nmod tests;\nuse crate::file::open;",
            "uses file",
        ),
        (
            "layout.rs",
            "#[cfg(test)]\nfn f() {}\nfn g() { crate::file::open(); }",
            "uses file",
        ),
    ] {
        let found = file_faults(&module_path(Path::new(path)), source);
        assert_eq!(found.len(), 1, "{path}: {source}: {found:?}");
        assert!(found[0].contains(fault), "{path}: {source}: {found:?}");
    }
}

#[test]
fn paths_that_go_down_or_stay_are_none() {
    for (path, source) in [
        (
            "header.rs",
            "use crate::{context::StoredContext, error::{Error, Result}};",
        ),
        ("header.rs", "use crate::cipher::Suite;"),
        ("header/slot.rs", "use super::MAGIC;\nuse super::super::wire;"),
        ("header/slot.rs", "pub(super) fn f() {}"),
        (
            "layout.rs",
            "/// See [`Cancel`](crate::Cancel).\nfn f() {} // as crate::file does",
        ),
        (
            "layout.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::file::Open;\n}",
        ),
        ("cipher/aws_lc.rs", "use aws_lc_rs::aead;"),
        ("executor/pool.rs", "use rayon::ThreadPool;"),
        ("lib.rs", "pub use crate::file::Open;\nmod header;"),
    ] {
        let found = file_faults(&module_path(Path::new(path)), source);
        assert!(found.is_empty(), "{path}: {source}: {found:?}");
    }
}
