use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::testing::Conformance;

/// What a child process, which runs this test binary again, has to do, and where.
const TASK: &str = "SEALSTONE_TEST_TASK";
const PLACE: &str = "SEALSTONE_TEST_PLACE";

fn dir_and_path() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("deep/down/ring.json");
    (dir, path)
}

fn new_ring(path: &Path) -> KeyRing {
    let (ring, created) = KeyRing::create_or_open(path, "default").unwrap();
    assert!(created);
    ring
}

fn sealed_by(ring: &KeyRing) -> WrappedKey {
    pollster::block_on(ring.generate_key(&EncryptionContext::new()))
        .unwrap()
        .wrapped
}

fn opens(ring: &KeyRing, wrapped: &WrappedKey) -> bool {
    pollster::block_on(ring.unwrap_key(wrapped, &EncryptionContext::new())).is_ok()
}

fn reason(ring: &KeyRing, slot: &WrappedKey) -> String {
    match ring.matches(slot) {
        KeyMatch::No(Some(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn ids(ring: &KeyRing) -> BTreeSet<String> {
    ring.entries()
        .flat_map(|entry| entry.versions)
        .map(|version| version.id)
        .collect()
}

fn spawn_child(task: &str, place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keys::local::tests::child_process"])
        .env(TASK, task)
        .env(PLACE, place)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test: the work of the processes that other tests start.
#[test]
fn child_process() {
    let (Ok(task), Some(place)) = (std::env::var(TASK), std::env::var_os(PLACE)) else {
        return;
    };
    let path = Path::new(&place);
    match task.as_str() {
        "rotate" => loop {
            KeyRing::rotate(path, "default").unwrap();
        },
        "first use" => {
            let (ring, created) = KeyRing::create_or_open(path, "default").unwrap();
            let answer = path.with_file_name(format!("answer-{}", std::process::id()));
            fs::write(answer, format!("{created} {}", sealed_by(&ring).key_id)).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_key_ring_conforms() {
    let (_dir, path) = dir_and_path();
    let (ring, other) = (new_ring(&path), KeyRing::in_memory("default").unwrap());
    let twin = KeyRing::open(&path).unwrap();
    Conformance::new(&ring, &other).with_twin(&twin).assert();
    Conformance::new(&other, &ring).assert();
    // In a ring of several keys, each slot keeps its own key when its context changes.
    let both = KeyRing::add(&path, "second").unwrap();
    Conformance::new(&both, &other)
        .with_twin(&KeyRing::open(&path).unwrap().with_sealing_key("second").unwrap())
        .assert();
}

#[test]
fn a_wrap_is_bound_to_its_name_and_version() {
    let (_dir, path) = dir_and_path();
    let wrapped = sealed_by(&new_ring(&path));
    let ring = KeyRing::rotate(&path, "default").unwrap();
    let (name, id) = wrapped.key_id.split_once('#').unwrap();
    let newest = ring.entries().next().unwrap().versions.pop().unwrap().id;
    for key_id in [format!("other#{id}"), format!("{name}#{newest}")] {
        let moved = WrappedKey {
            key_id,
            ..wrapped.clone()
        };
        let error = pollster::block_on(ring.unwrap_key(&moved, &EncryptionContext::new())).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::BadCiphertext);
    }
    assert!(opens(&ring, &wrapped));
}

#[test]
fn rotation_seals_with_the_new_version_and_reads_with_all() {
    let (_dir, path) = dir_and_path();
    let mut sealed = vec![sealed_by(&new_ring(&path))];
    for _ in 0..3 {
        sealed.push(sealed_by(&KeyRing::rotate(&path, "default").unwrap()));
    }
    let ring = KeyRing::open(&path).unwrap();
    let versions = ring.entries().next().unwrap().versions;
    for (wrapped, version) in sealed.iter().zip(&versions) {
        assert_eq!(wrapped.key_id, format!("default#{}", version.id));
        assert!(opens(&ring, wrapped));
    }
    assert!(versions.is_sorted_by_key(|version| version.created));
    assert_eq!((ids(&ring).len(), versions.len()), (4, 4));
}

#[test]
fn each_named_key_seals_when_chosen_and_opens_always() {
    let (_dir, path) = dir_and_path();
    let first = sealed_by(&new_ring(&path));
    let added = KeyRing::add(&path, "Backup-2.x_y").unwrap();
    let second = sealed_by(&added);
    assert!(second.key_id.starts_with("Backup-2.x_y#"), "{second:?}");
    let ring = KeyRing::open(&path).unwrap();
    assert!(opens(&ring, &first) && opens(&ring, &second));
    let names: Vec<_> = ring.entries().map(|entry| entry.name).collect();
    assert_eq!(names, ["Backup-2.x_y", "default"]);
    let ring = ring.with_sealing_key("Backup-2.x_y").unwrap();
    assert_eq!(ring.sealing_key(), "Backup-2.x_y");
    let error = ring.with_sealing_key("absent").unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::NotFound);
    assert!(error.message.contains("Backup-2.x_y, default"), "{error}");
}

#[test]
fn a_ring_without_the_default_key_opens_and_names_what_it_has() {
    let (_dir, path) = dir_and_path();
    let wrapped = sealed_by(&KeyRing::add(&path, "work").unwrap());
    let ring = KeyRing::open(&path).unwrap();
    assert!(opens(&ring, &wrapped));
    let error = pollster::block_on(ring.generate_key(&EncryptionContext::new())).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::NotFound);
    assert!(error.message.contains("it has work"), "{error}");
}

#[test]
fn nothing_is_replaced_or_made_by_mistake() {
    let (_dir, path) = dir_and_path();
    assert_eq!(KeyRing::open(&path).unwrap_err().class, ProviderErrorClass::NotFound);
    let missing = KeyRing::rotate(&path, "default").unwrap_err();
    assert_eq!(missing.class, ProviderErrorClass::NotFound);
    assert!(missing.message.contains("ring.json"), "{missing}");
    assert!(!path.parent().unwrap().exists());

    let before = ids(&new_ring(&path));
    let (again, created) = KeyRing::create_or_open(&path, "default").unwrap();
    assert_eq!((ids(&again), created), (before.clone(), false));
    let error = KeyRing::add(&path, "default").unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::Configuration);
    let error = KeyRing::rotate(&path, "absent").unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::NotFound);
    assert_eq!(ids(&KeyRing::open(&path).unwrap()), before);
}

#[test]
fn names_that_would_make_key_ids_ambiguous_are_refused() {
    let (_dir, path) = dir_and_path();
    let long = "x".repeat(65);
    for name in ["", "a#b", "a:b", "a b", "a\n", "ä", "a/b", &long] {
        let error = KeyRing::create_or_open(&path, name).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Configuration, "{name:?}");
        assert!(KeyRing::in_memory(name).is_err());
    }
    assert!(!path.exists());
    assert!(KeyRing::add(&path, &long[1..]).is_ok());
}

#[test]
fn a_different_key_of_the_same_name_is_recognized() {
    let (_dir, path) = dir_and_path();
    let here = new_ring(&path);
    let elsewhere = sealed_by(&KeyRing::in_memory("default").unwrap());
    let said = reason(&here, &elsewhere);
    assert!(said.contains("a different key named default"), "{said}");
    assert!(said.contains("ring.json"), "{said}");
    let error = pollster::block_on(here.unwrap_key(&elsewhere, &EncryptionContext::new())).unwrap_err();
    assert_eq!((error.class, error.message), (ProviderErrorClass::NotFound, said));

    let unknown = sealed_by(&KeyRing::in_memory("work").unwrap());
    assert!(reason(&here, &unknown).ends_with("no key named work"));
    assert!(reason(&here, &WrappedKey::new(ID, "default", [])).contains("not the key id"));
}

/// Every function refuses each damaged file, and leaves it unchanged.
#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let (_dir, path) = dir_and_path();
    let ring = new_ring(&path);
    let id = ids(&ring).pop_first().unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let secret_at = good.find("\"secret\": \"").unwrap() + 11;
    let secret = &good[secret_at..secret_at + 64];
    let key_at = good.find("    {").unwrap();
    let key = good[key_at..].split("\n  ]").next().unwrap();
    let version = &key[key.find("        {").unwrap()..key.rfind("\n      ]").unwrap()];

    let mut damaged: Vec<String> = (0..good.len()).step_by(7).map(|len| good[..len].to_owned()).collect();
    damaged.extend([
        format!("{good}x"),
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace("\"format\": 1", "\"format\": 1, \"format\": 1"),
        good.replace("\"format\": 1", "\"format\": 1, \"extra\": 0"),
        good.replace("\"name\"", "\"extra\": 0, \"name\""),
        good.replace("\"id\"", "\"extra\": 0, \"id\""),
        good.replace("\"created\": ", "\"created\": -"),
        good.replace("\"name\": \"default\"", "\"name\": \"de#ault\""),
        good.replace(&id, &id[1..]),
        good.replace(&id, "0123456789ABCDEF0123456789abcdef"),
        good.replace(secret, &secret[2..]),
        good.replace(secret, &"Ab".repeat(32)),
        good.replace(secret, &format!("\\u0061{}", &secret[1..])),
        good.replace(key, &format!("{key},\n{key}")),
        good.replace(version, &format!("{version},\n{version}")),
        good.replace(version, ""),
        good.replace(key, ""),
        format!("{good}{}", " ".repeat(1 << 20)),
    ]);
    for content in damaged {
        assert_ne!(content, good);
        fs::write(&path, &content).unwrap();
        for error in [
            KeyRing::open(&path).unwrap_err(),
            KeyRing::create_or_open(&path, "default").unwrap_err(),
            KeyRing::add(&path, "other").unwrap_err(),
            KeyRing::rotate(&path, "default").unwrap_err(),
        ] {
            assert_eq!(error.class, ProviderErrorClass::Configuration, "{content}");
            assert!(error.message.contains("ring.json"), "{error}");
            assert!(!format!("{error:?}").contains(&secret[..16]), "{error:?}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::write(&path, &good).unwrap();
    assert!(KeyRing::open(&path).is_ok());
}

#[test]
fn a_ring_never_grows_beyond_what_is_read() {
    let mut ring = KeyRing::in_memory("default").unwrap().ring;
    while ring.encode().is_some_and(|bytes| Ring::parse(&bytes).is_ok()) {
        for _ in 0..500 {
            ring.add_version("default").unwrap();
        }
    }
    assert!(ring.encode().is_none());
}

#[test]
fn threads_that_start_together_make_one_key() {
    let (_dir, path) = dir_and_path();
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| KeyRing::create_or_open(&path, "default").unwrap()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|(_, created)| *created).count(), 1);
    let sealed: Vec<_> = answers.iter().map(|(ring, _)| sealed_by(ring)).collect();
    let ring = KeyRing::open(&path).unwrap();
    assert_eq!(ids(&ring).len(), 1);
    assert!(sealed.iter().all(|wrapped| opens(&ring, wrapped)));
}

#[test]
fn processes_that_start_together_make_one_key() {
    let (_dir, path) = dir_and_path();
    let children: Vec<_> = (0..32).map(|_| spawn_child("first use", &path)).collect();
    let pids: Vec<_> = children
        .into_iter()
        .map(|mut child| (child.id(), child.wait().unwrap()))
        .collect();
    let expected = format!("default#{}", ids(&KeyRing::open(&path).unwrap()).pop_first().unwrap());
    let mut created = 0;
    for (pid, status) in pids {
        assert!(status.success());
        let answer = fs::read_to_string(path.with_file_name(format!("answer-{pid}"))).unwrap();
        let (was_created, key_id) = answer.split_once(' ').unwrap();
        assert_eq!(key_id, expected);
        created += u32::from(was_created == "true");
    }
    assert_eq!(created, 1);
}

#[test]
fn concurrent_changes_are_all_kept() {
    let (_dir, path) = dir_and_path();
    new_ring(&path);
    thread::scope(|scope| {
        for index in 0..8 {
            let path = &path;
            scope.spawn(move || KeyRing::add(path, &format!("key-{index}")).unwrap());
            scope.spawn(move || KeyRing::rotate(path, "default").unwrap());
        }
    });
    let ring = KeyRing::open(&path).unwrap();
    assert_eq!((ring.entries().count(), ids(&ring).len()), (9, 17));
}

/// Kills a child that only rotates, again and again, at arbitrary points.
#[test]
fn a_kill_at_any_point_leaves_a_ring_that_lost_nothing() {
    let (_dir, path) = dir_and_path();
    let mut seen = ids(&new_ring(&path));
    for round in 0..60 {
        let mut child = spawn_child("rotate", &path);
        let before = seen.len();
        while seen.len() == before {
            let now = ids(&KeyRing::open(&path).unwrap());
            assert!(now.is_superset(&seen), "round {round}");
            assert!(child.try_wait().unwrap().is_none(), "round {round}");
            seen = now;
        }
        thread::sleep(Duration::from_micros(round * 97 % 2000));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = ids(&KeyRing::open(&path).unwrap());
        assert!(now.is_superset(&seen), "round {round}");
        seen = now;
    }
    KeyRing::rotate(&path, "default").unwrap();
    let mut names: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ring.json", "ring.json.lock"]);
}

#[test]
fn what_a_killed_change_left_is_removed_by_the_next() {
    let (_dir, path) = dir_and_path();
    new_ring(&path);
    let left = path.with_file_name("ring.json.new");
    fs::write(&left, "half a ring").unwrap();
    KeyRing::rotate(&path, "default").unwrap();
    assert!(!left.exists());
    assert_eq!(ids(&KeyRing::open(&path).unwrap()).len(), 2);
}

#[test]
fn debug_shows_nothing_of_the_secrets() {
    let (_dir, path) = dir_and_path();
    let ring = new_ring(&path);
    let text = format!("{ring:?} {:?}", ring.entries().collect::<Vec<_>>());
    let secret = ring.ring.newest("default").unwrap().secret.expose();
    assert!(!text.contains(&crate::hex::encode(secret)[..8]), "{text}");
    assert!(text.contains(ids(&ring).first().unwrap()), "{text}");
}

#[cfg(unix)]
mod unix {
    use std::io::{self, Write};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_and_directories_are_made_for_their_owner_alone() {
        let (dir, path) = dir_and_path();
        new_ring(&path);
        KeyRing::rotate(&path, "default").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&path.with_file_name("ring.json.lock")), 0o600);
        for made in ["deep", "deep/down"] {
            assert_eq!(mode(&dir.path().join(made)), 0o700);
        }
    }

    #[test]
    fn a_ring_open_to_others_is_refused_until_chmod() {
        let (_dir, path) = dir_and_path();
        new_ring(&path);
        for unsafe_mode in [0o604, 0o602, 0o601, 0o640, 0o620, 0o610, 0o644, 0o777] {
            set_mode(&path, unsafe_mode);
            for error in [
                KeyRing::open(&path).unwrap_err(),
                KeyRing::rotate(&path, "default").unwrap_err(),
            ] {
                assert_eq!(error.class, ProviderErrorClass::Configuration, "{unsafe_mode:o}");
                assert!(
                    error.message.contains(&format!("chmod 600 {}", path.display())),
                    "{error}"
                );
            }
        }
        set_mode(&path, 0o400);
        assert!(KeyRing::open(&path).is_ok());
    }

    /// Only root can give files away, and only root can open the ring of another user.
    #[test]
    fn a_ring_of_another_user_is_refused_and_stays_theirs() {
        if !rustix::process::geteuid().is_root() {
            let _ = writeln!(
                io::stderr(),
                "NOT RUN: a ring of another user (root is needed to make one)"
            );
            return;
        }
        let (_dir, path) = dir_and_path();
        new_ring(&path);
        chown(&path, Some(1000), Some(1000)).unwrap();
        let before = fs::read(&path).unwrap();
        let link = path.with_file_name("link");
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            for error in [
                KeyRing::open(path).unwrap_err(),
                KeyRing::rotate(path, "default").unwrap_err(),
                KeyRing::add(path, "another").unwrap_err(),
                KeyRing::create_or_open(path, "default").unwrap_err(),
            ] {
                assert_eq!(error.class, ProviderErrorClass::Configuration);
                assert!(error.message.contains("another user (uid 1000)"), "{error}");
            }
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::metadata(&path).unwrap().uid(), 1000);
        chown(&path, Some(0), None).unwrap();
        assert!(KeyRing::rotate(&path, "default").is_ok());
    }

    #[test]
    fn a_lock_that_is_a_link_is_refused_and_not_followed() {
        let (dir, path) = dir_and_path();
        new_ring(&path);
        let (lock, elsewhere) = (path.with_file_name("ring.json.lock"), dir.path().join("elsewhere"));
        fs::remove_file(&lock).unwrap();
        symlink(&elsewhere, &lock).unwrap();
        let error = KeyRing::rotate(&path, "default").unwrap_err();
        assert!(error.message.contains("ring.json.lock is a symbolic link"), "{error}");
        assert!(!elsewhere.exists());
        // Nor is a link to an existing file.
        fs::write(&elsewhere, "").unwrap();
        assert!(KeyRing::rotate(&path, "default").is_err());
        fs::remove_file(&lock).unwrap();
        assert!(KeyRing::rotate(&path, "default").is_ok());
    }

    #[test]
    fn a_linked_ring_is_changed_where_it_is() {
        let (dir, path) = dir_and_path();
        new_ring(&path);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        let rotated = KeyRing::rotate(&link, "default").unwrap();
        assert!(link.is_symlink());
        assert_eq!(ids(&KeyRing::open(&path).unwrap()), ids(&rotated));
        assert_eq!(rotated.path(), Some(link.as_path()));
        assert!(!dir.path().join("link.lock").exists());
    }

    #[test]
    fn a_link_to_nowhere_is_not_followed_to_make_a_ring() {
        let (dir, path) = dir_and_path();
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(KeyRing::create_or_open(&link, "default").is_err());
        assert!(link.is_symlink() && !path.exists());
    }

    #[test]
    fn a_ring_in_the_current_directory_needs_no_directory_part() {
        assert_eq!(crate::sys::parent(Path::new("ring")), Path::new("."));
        assert_eq!(crate::sys::parent(Path::new("/ring")), Path::new("/"));
    }
}
