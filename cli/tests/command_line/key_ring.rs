//! The key ring: its first use, and `keys`.

use std::fs;

use crate::common::Place;

#[test]
fn the_first_use_makes_the_ring_and_says_so_even_if_told_to_be_quiet() {
    let place = Place::new();
    place.write("in", "1");
    let run = place.ok(&["encrypt", "-q", "in"]);
    for words in [
        "made the key default",
        place.ring().to_str().unwrap(),
        "keep a copy",
        "lost",
    ] {
        assert!(run.stderr.contains(words), "{run:?}");
    }
    assert!(place.ok(&["encrypt", "-qf", "in"]).stderr.is_empty());
}

#[test]
fn the_ring_is_where_option_environment_or_user_say() {
    let place = Place::new();
    place.write("in", "1");
    let home = place.ring().parent().unwrap().to_owned();
    let sealed = |set: &[(&str, &str)], args: &[&str]| {
        let mut command = place.command(&["encrypt", "-qf", "in"]);
        let ran = command
            .args(args)
            .env_remove("SEALSTONE_KEYRING")
            .envs(set.iter().copied())
            .output();
        assert!(ran.unwrap().status.success());
    };
    let config = home.join("xdg");
    let at = |path: &str| home.join(path).to_str().unwrap().to_owned();
    sealed(
        &[("SEALSTONE_KEYRING", &at("env.json"))],
        &["--keyring", &at("option.json")],
    );
    assert!(home.join("option.json").exists() && !home.join("env.json").exists());
    sealed(&[("SEALSTONE_KEYRING", &at("env.json"))], &[]);
    assert!(home.join("env.json").exists());
    if cfg!(target_os = "linux") {
        sealed(&[("XDG_CONFIG_HOME", config.to_str().unwrap())], &[]);
        assert!(config.join("sealstone/keyring.json").exists() && !home.join(".config").exists());
        sealed(&[("XDG_CONFIG_HOME", "relative")], &[]);
        assert!(home.join(".config/sealstone/keyring.json").exists());
    }
}

/// As programs that start others write it: `HOME= SEALSTONE_KEYRING= sealstone ...`
#[cfg(target_os = "linux")]
#[test]
fn a_variable_that_is_set_to_nothing_counts_as_unset() {
    let place = Place::new();
    let home = place.ring().parent().unwrap().to_owned();
    let run = |blank: &[&str]| {
        let mut command = place.command(&["keys", "new", "a"]);
        command.envs(blank.iter().map(|name| (*name, "")));
        crate::common::Run::from(command.output().unwrap())
    };
    assert_eq!(
        run(&["SEALSTONE_KEYRING", "XDG_CONFIG_HOME", "SEALSTONE_PASSPHRASE_COMMAND"]).code,
        Some(0)
    );
    assert!(home.join(".config/sealstone/keyring.json").exists());
    let mut command = place.command(&["keys", "list", "-v"]);
    command.env("HOME", "").env_remove("SEALSTONE_KEYRING");
    let run = crate::common::Run::from(command.output().unwrap());
    assert!(matches!(run.code, Some(0 | 2 | 4)), "{run:?}");
}

#[test]
fn reading_never_makes_a_ring() {
    let place = Place::new();
    place.seal("in", 10);
    fs::remove_file(place.ring()).unwrap();
    for args in [
        &["decrypt", "in.seal", "-o", "out"][..],
        &["verify", "in.seal"],
        &["cat", "in.seal"],
    ] {
        place.fails(
            args,
            7,
            &[
                "no usable key",
                "local:default#",
                "there is no key ring",
                "--keyring FILE",
            ],
        );
        place.fails(
            &[args, &["--key", "local:default"]].concat(),
            4,
            &["there is no key ring"],
        );
        place.fails(
            &[args, &["--keyring", "none"]].concat(),
            4,
            &["there is no key ring none"],
        );
    }
    place.ok(&["inspect", "in.seal"]);
    place.fails(&["keys", "list"], 4, &["no key ring"]);
    place.fails(&["keys", "rotate", "default"], 4, &["no key ring"]);
    assert!(!place.ring().exists() && !place.path("out").exists());
}

#[test]
fn keys_are_made_listed_and_rotated_and_never_replaced() {
    let place = Place::new();
    place.write("in", "secret");
    place.fails(
        &["encrypt", "in", "--key", "local:work"],
        4,
        &["sealstone keys new work"],
    );
    assert!(!place.ring().exists());
    place.ok(&["keys", "new", "work"]);
    place.ok(&["encrypt", "-q", "in", "--key", "local:work", "-o", "old.seal"]);
    place.fails(&["keys", "new", "work"], 8, &["has a key work already", "rotate"]);
    place.fails(&["keys", "rotate", "absent"], 4, &["absent", "it has work"]);
    assert_eq!(place.run(&["keys", "new", "not a name"]).code, Some(2));
    place.ok(&["keys", "rotate", "work"]);
    place.ok(&["encrypt", "-q", "in", "--key", "local:work", "-o", "new.seal"]);
    for object in ["old.seal", "new.seal"] {
        assert_eq!(place.ok(&["decrypt", "-q", object, "-o", "-"]).stdout, b"secret");
    }
    place.ok(&["keys", "new", "default"]);
    let list = place.ok(&["keys", "list"]);
    let lines: Vec<_> = list.text().lines().collect();
    assert_eq!(lines[0], format!("key ring {}", place.ring().display()));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let today = crate::common::Run::from(
        place
            .any_command("date")
            .args(["-u", "-d", &format!("@{now}"), "+%F"])
            .output()
            .unwrap(),
    );
    let today = today.text().trim();
    assert!(
        lines[1].starts_with(&format!("default  1 version, made {today}, id ")),
        "{list:?}"
    );
    assert!(
        lines[2].starts_with(&format!("work     2 versions, made {today}, newest {today}, id ")),
        "{list:?}"
    );
    let secrets: serde_json::Value = serde_json::from_str(&fs::read_to_string(place.ring()).unwrap()).unwrap();
    let secret = secrets["keys"][0]["versions"][0]["secret"].as_str().unwrap();
    let json = place.ok(&["keys", "list", "--json"]);
    for line in json.text().lines() {
        let key: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(key["name"].is_string() && key["versions"][0]["id"].is_string());
        assert_eq!(key["ring"], place.ring().to_str().unwrap());
    }
    assert!(!json.text().contains(secret) && !list.text().contains(secret));
}

#[test]
fn keys_move_between_rings_and_open_there() {
    let (here, there) = (Place::new(), Place::new());
    here.ok(&["keys", "new", "work"]);
    here.ok(&["keys", "new", "other"]);
    here.write("in", "secret");
    here.ok(&["encrypt", "-q", "in", "-k", "local:work"]);
    there.write("in.seal", here.read("in.seal"));
    let export = ["keys", "export", "work", "-o", "work.json"];
    let run = here.ok(&export);
    assert!(run.stderr.contains("work.json") && run.stdout.is_empty(), "{run:?}");
    here.fails(&export, 8, &["work.json exists already"]);
    here.fails(&["keys", "export", "absent", "-o", "b.json"], 4, &["absent"]);
    here.fails(&["keys", "export", "work", "-o", "no/b.json"], 4, &["no/b.json"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(here.path("work.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // What is exported is a ring, too.
    here.ok(&["verify", "-q", "in.seal", "--keyring", "work.json"]);

    // To standard output, as it is no terminal.
    let content = here.ok(&["keys", "export", "-q", "work"]).stdout;
    assert_eq!(content, here.read("work.json"));
    let run = there.run_with(&["keys", "import", "-"], &content);
    assert!(
        run.code == Some(0) && run.stderr.contains("imported the key work"),
        "{run:?}"
    );
    assert_eq!(there.ok(&["decrypt", "-q", "in.seal", "-o", "-"]).stdout, b"secret");
    let run = there.run_with(&["keys", "import", "-"], &content);
    assert!(
        run.code == Some(0) && run.stderr.contains("has all of them already"),
        "{run:?}"
    );

    // Another key of the same name is another key.
    here.ok(&["keys", "new", "default"]);
    there.ok(&["keys", "new", "default"]);
    here.ok(&["encrypt", "-q", "in", "-o", "mine.seal"]);
    let exported = here.ok(&["keys", "export", "-q", "default"]).stdout;
    let before = fs::read(there.ring()).unwrap();
    there
        .run_with(&["keys", "import", "-"], &exported)
        .failed(1, &["another key named default", "--as NAME"]);
    assert_eq!(fs::read(there.ring()).unwrap(), before);
    let run = there.run_with(&["keys", "import", "-", "--as", "laptop", "--json"], &exported);
    let key: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(key["name"], "laptop");
    there.write("mine.seal", here.read("mine.seal"));
    there.ok(&["verify", "-q", "mine.seal"]);
    for (content, words) in [(&b"damaged"[..], "damaged"), (b"", "damaged")] {
        there.run_with(&["keys", "import", "-"], content).failed(1, &[words]);
    }
    there.fails(&["keys", "import", "absent"], 4, &["absent"]);
}

#[test]
fn a_key_is_deleted_only_on_purpose() {
    let place = Place::new();
    place.ok(&["keys", "new", "default"]);
    place.ok(&["keys", "new", "work"]);
    place.write("in", "1");
    place.ok(&["encrypt", "-q", "in", "-k", "local:work"]);
    let ids = || {
        let list = place.ok(&["keys", "list", "--json"]);
        let keys = list
            .text()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let work = keys.into_iter().find(|key| key["name"] == "work").unwrap();
        let versions = work["versions"].as_array().unwrap().clone();
        versions
            .into_iter()
            .map(|version| version["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = ids().remove(0);
    let before = fs::read(place.ring()).unwrap();
    assert_eq!(place.run(&["keys", "delete", "work"]).code, Some(2));
    place.fails(
        &["keys", "delete", "work", "--yes", "--version", &first],
        2,
        &["only version", "--all"],
    );
    place.fails(
        &["keys", "delete", "work", "--yes", "--version", "zz"],
        4,
        &["no version zz"],
    );
    place.fails(&["keys", "delete", "absent", "--yes", "--all"], 4, &["absent"]);
    #[cfg(unix)]
    {
        let mut asked = place.any_command("setsid");
        let asked = asked
            .args(["-w", crate::common::PROGRAM, "keys", "delete", "work", "--all"])
            .output()
            .unwrap();
        crate::common::Run::from(asked).failed(2, &["can never be decrypted", "no terminal", "--yes"]);
    }
    assert_eq!(fs::read(place.ring()).unwrap(), before);
    place.ok(&["keys", "rotate", "work"]);
    place.ok(&["verify", "-q", "in.seal"]);
    let run = place.ok(&["keys", "delete", "work", "--yes", "--version", &first[..8]]);
    assert!(run.stderr.contains(&first) && run.stderr.contains("copies"), "{run:?}");
    assert!(ids().len() == 1 && ids()[0] != first);
    place.fails(&["verify", "in.seal"], 7, &["local:work"]);
    place.ok(&["keys", "delete", "work", "--yes", "--all"]);
    place.fails(
        &["keys", "delete", "default", "--yes", "--all"],
        1,
        &["no key but default", "remove the file"],
    );
}

#[test]
fn a_key_of_the_same_name_from_another_ring_is_told_apart() {
    let (here, there) = (Place::new(), Place::new());
    there.seal("in", 10);
    here.seal("mine", 10);
    here.write("in.seal", there.read("in.seal"));
    here.fails(
        &["decrypt", "in.seal"],
        7,
        &["a different key named default", "--keyring FILE"],
    );
}
