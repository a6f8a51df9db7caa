#!/usr/bin/env python3
"""Each detector can fail: the product is sabotaged in one place at a time, and a test has to turn red.

    sabotage.py [--quick] [NAME...]
    sabotage.py --check                no run: whether each text is there exactly once

A copy of the tree is edited, so that nothing of this is in the product. Each sabotage names the text that it replaces,
which must be there exactly once, the tests that are run (of the engine, or power.py's scenarios), and one of them that has
to be among those that fail. What does not compile, or leaves that test green, fails the campaign.
"""

import argparse
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass

from tree import ROOT, copy_to, program, target

HERE = pathlib.Path(__file__).resolve().parent
LIB = ("--lib",)
# Not tests of cargo: the command line that was built of the copy, on a disk that loses its power.
POWER = ("power.py",)


@dataclass
class Sabotage:
    name: str
    file: str
    old: str
    new: str
    tests: tuple
    # The test that has to fail.
    red: str
    quick: bool = False
    # Further edits, of the same three parts, if one place alone does not do it.
    also: tuple = ()


def of(*names):
    programs = dict.fromkeys(program(name) for name in names)
    return tuple(word for name in programs for word in ("--test", name))


SABOTAGES = [
    Sabotage(
        "the tag is not checked",
        "engine/src/cipher.rs",
        "        if result.is_err() {\n            out.fill(0);\n        }\n        result\n",
        "        let _ = result;\n        Ok(())\n",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
        quick=True,
    ),
    Sabotage(
        "a failed range is not cleared",
        "engine/src/range.rs",
        "self.read_some(buffer, offset).inspect_err(|_| buffer.fill(0))",
        "self.read_some(buffer, offset)",
        of("ranges"),
        "an_altered_chunk_fails_the_ranges_that_touch_it_and_clears_the_buffer",
    ),
    Sabotage(
        "what was opened before a failure is not cleared",
        "engine/src/unlocked.rs",
        "        if opened.is_err() {\n            plaintext.fill(0);\n        }\n",
        "",
        of("tamper"),
        "a_failed_open_leaves_nothing_of_what_was_opened_before",
    ),
    Sabotage(
        "all chunks have one nonce",
        "engine/src/cipher.rs",
        "*byte ^= index_byte;",
        "*byte ^= index_byte & 0;",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
        quick=True,
    ),
    Sabotage(
        "a missing final chunk is a clean end",
        "engine/src/decrypt/machine.rs",
        "(None, Some(End::Truncated)) => Err(Error::Truncated {",
        "(None, Some(End::Truncated)) if self.end.is_some() => Ok(false),\n            (None, Some(End::Truncated)) => Err(Error::Truncated {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
        quick=True,
    ),
    Sabotage(
        "bytes behind an object are a clean end",
        "engine/src/opener.rs",
        "failure: Some(error),",
        "failure: (!matches!(error, Error::TrailingData { .. })).then_some(error),",
        of("tamper"),
        "trailing_bytes_are_named_with_the_offset_they_begin_at",
    ),
    Sabotage(
        "the commitment is not compared",
        "engine/src/data_key.rs",
        "self.commitment.ct_eq(commitment).into()",
        "bool::from(self.commitment.ct_eq(commitment)) || true",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
        quick=True,
    ),
    Sabotage(
        "the commitment is not compared, where a chunk opens under two keys",
        "engine/src/data_key.rs",
        "self.commitment.ct_eq(commitment).into()",
        "bool::from(self.commitment.ct_eq(commitment)) || true",
        of("two_keys"),
        "a_two_key_chunk_is_refused_at_the_commitment",
    ),
    Sabotage(
        "header and payload are not compared",
        "engine/src/header.rs",
        "if self.payload_prefix() == *prefix {",
        "if self.payload_prefix() == *prefix || true {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "a wrap is not bound to the context",
        "engine/src/keys/wrap.rs",
        "    aad.extend_from_slice(&context.canonical_bytes()?);\n",
        "    let _ = context;\n",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
        quick=True,
    ),
    Sabotage(
        "a wrap is not bound to its key id",
        "engine/src/keys/wrap.rs",
        "    put_prefixed(&mut aad, key_id.as_bytes())?;\n",
        "    let _ = key_id;\n",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "a wrap is not bound to its provider",
        "engine/src/keys/wrap.rs",
        "    put_prefixed(&mut aad, provider.as_bytes())?;\n",
        "    let _ = provider;\n",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "all objects have one salt",
        "engine/src/encrypt.rs",
        "self.object(&data_key, random_array()?)",
        "self.object(&data_key, random_array().map(|_: [u8; SALT_LEN]| [7; SALT_LEN])?)",
        of("unlock"),
        "every_object_has_its_own_data_key_and_salt",
    ),
    Sabotage(
        "any context is accepted",
        "engine/src/context.rs",
        "        if mismatch == ContextMismatch::default() {",
        "        if mismatch == ContextMismatch::default() || true {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
        quick=True,
    ),
    Sabotage(
        "a provider is called before the context is compared",
        "engine/src/unlock.rs",
        "    let context = offer.context.resolve(header.context())?;\n",
        "    let stored = ExpectedContext::AcceptStored.resolve(header.context()).unwrap_or_default();\n"
        "    for slot in header.slots() {\n        let _ = offer.providers[0].unwrap_key(slot, &stored).await;\n    }\n"
        "    let context = offer.context.resolve(header.context())?;\n",
        of("unlock"),
        "a_context_mismatch_calls_no_provider",
    ),
    Sabotage(
        "providers are called without a bound",
        "engine/src/unlock.rs",
        "candidates.into_iter().take(offer.max_provider_calls)",
        "candidates.into_iter().take(offer.max_provider_calls + 100)",
        of("unlock"),
        "only_candidate_slots_are_tried_and_at_most_two",
    ),
    Sabotage(
        "the header's checksum is not checked",
        "engine/src/header.rs",
        "    if Sha256::digest(content).as_slice() != checksum {",
        "    if Sha256::digest(content).as_slice() != checksum && false {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "a header's padding is not checked",
        "engine/src/header.rs",
        "    if reader.rest().iter().any(|&byte| byte != 0) {",
        "    if reader.rest().iter().any(|&byte| byte != 0) && false {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "flags are not checked",
        "engine/src/header.rs",
        "    if reader.u8()? != 0 {",
        "    if reader.u8()? != 0 && false {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "the caps on Argon2id are ignored",
        "engine/src/keys/passphrase.rs",
        "        self.check_limits(recipe.cost)?;\n",
        "        let _ = self.check_limits(recipe.cost);\n",
        LIB,
        "cost_over_the_limits_is_refused_before_any_work",
    ),
    Sabotage(
        "the older copy of a header counts",
        "engine/src/header.rs",
        "} else if second.generation > first.generation {",
        "} else if second.generation < first.generation {",
        of("testkit"),
        "the_engine_takes_and_refuses_what_it_is_told_to",
    ),
    Sabotage(
        "a rewrap does not sync",
        "engine/src/rewrap/in_place.rs",
        "    write_all_at(file, &copies[..COPY_LEN], offset)?;\n    sync(file)\n",
        "    write_all_at(file, &copies[..COPY_LEN], offset)\n",
        LIB,
        "a_loss_of_power_at_any_point_leaves_an_object_that_opens",
    ),
    Sabotage(
        "a rewrap writes both copies before it syncs",
        "engine/src/rewrap/in_place.rs",
        "        write(file, bytes, SECOND)?;\n        write(file, bytes, FIRST)?;\n",
        "        write_all_at(file, &bytes[..COPY_LEN], SECOND)?;\n        write(file, bytes, FIRST)?;\n",
        LIB,
        "a_loss_of_power_at_any_point_leaves_an_object_that_opens",
    ),
    Sabotage(
        "a rewrap writes the copies in the other order",
        "engine/src/rewrap/in_place.rs",
        "        write(file, bytes, SECOND)?;\n        write(file, bytes, FIRST)?;\n",
        "        write(file, bytes, FIRST)?;\n        write(file, bytes, SECOND)?;\n",
        LIB,
        "calls_stand_in_the_order_of_the_format",
    ),
    Sabotage(
        "a rewrap does not sync what it found",
        "engine/src/rewrap/in_place.rs",
        "    sync(file)?;\n    read(file)\n",
        "    read(file)\n",
        LIB,
        "a_loss_of_power_after_a_kill_leaves_an_object_that_opens",
    ),
    Sabotage(
        "a rewrap does not look at the payload",
        "engine/src/rewrap/in_place.rs",
        "    check_prefix(found.header(), start[..len].get(ATTACHED_LEN..).unwrap_or_default())?;\n",
        "    let _ = check_prefix(found.header(), start[..len].get(ATTACHED_LEN..).unwrap_or_default());\n",
        of("rewrap"),
        "nothing_is_written_unless_an_offered_key_opens_this_payload",
    ),
    Sabotage(
        "a rewrap binds slots that it did not open",
        "engine/src/rewrap/bind.rs",
        "let verdict = if self.is_open() || !key.can_rewrap(&slot) {",
        "let verdict = if false {",
        of("foreign_slots"),
        "another_objects_slot_is_named_and_nothing_is_written",
    ),
    Sabotage(
        "a rewrap without opening lets a slot give way to one that it did not open",
        "engine/src/rewrap/plan.rs",
        "Anew::Made(made) if !self.is_open() => {",
        "Anew::Made(made) if !self.is_open() && chosen.is_empty() => {",
        LIB,
        "without_opening_no_slot_gives_way_to_one_of_the_same_name",
    ),
    Sabotage(
        "a rewrap leaves slots of which it opened none",
        "engine/src/rewrap/plan.rs",
        "    plan.check_rest().await?;\n",
        "",
        LIB,
        "of_the_slots_that_are_left_one_is_known_to_open",
    ),
    Sabotage(
        "rewraps of one process do not wait for one another",
        "engine/src/rewrap/locked.rs",
        "let is_free = id.is_none_or(|id| taken().insert(id));",
        "let is_free = id.is_none_or(|id| taken().insert(id) || true);",
        of("rewrap"),
        "rewraps_through_one_open_file_follow_one_another",
    ),
    Sabotage(
        "a repair trusts the copy of the higher generation",
        "engine/src/rewrap/plan.rs",
        "Plan::begin(rewrap, header, rewrap.opens || repairs || adds)",
        "Plan::begin(rewrap, header, rewrap.opens && (repairs || true) || adds)",
        of("foreign_slots"),
        "a_repair_opens_the_object_and_does_not_spread_a_forged_copy",
    ),
    Sabotage(
        "a range that reaches the end does not open an empty final chunk",
        "engine/src/layout.rs",
        "let end = if range.end == plaintext_len {",
        "let end = if range.end == plaintext_len && !plaintext_len.is_multiple_of(self.chunk_len64()) {",
        of("cut_ranges"),
        "a_cut_object_with_a_forged_empty_final_chunk_passes_no_ranged_read_that_reaches_the_end",
    ),
    Sabotage(
        "a data key is not wiped",
        "engine/src/secret.rs",
        "        self.0.zeroize();\n",
        "",
        of("key_memory"),
        "no_data_key_outlives_the_making_of_its_cipher",
    ),
    Sabotage(
        "a fork goes on with an object",
        "engine/src/sealer.rs",
        "if self.process == process() {",
        "if self.process == self.process {",
        of("forks"),
        "what_was_begun_before_a_fork_is_gone_on_with_by_one_process_alone",
    ),
    Sabotage(
        "a fork with its parent's process id goes on with an object",
        "engine/src/sys/process.rs",
        "        mark: mark::current(),\n",
        "        mark: mark::current().min(0),\n",
        of("namespaces"),
        "namespaces_hide_no_fork_and_no_suspension",
    ),
    Sabotage(
        "a suspended machine stops the age of intermediate keys",
        "engine/src/keys/intermediate.rs",
        "            now: Arc::new(sys::clock()),\n",
        "            now: Arc::new(std::time::Instant::now),\n",
        of("namespaces"),
        "namespaces_hide_no_fork_and_no_suspension",
    ),
    Sabotage(
        "a passphrase slot of another commitment is told from one that does not unwrap",
        "engine/src/unlock.rs",
        "        Some(wrong) => refused(slot, &wrong).into(),\n",
        "        Some(wrong) if !unwraps => refused(slot, &wrong).into(),\n"
        "        Some(_) => Error::CommitmentMismatch { slot: slot.name() },\n",
        of("partitioning"),
        "a_slot_that_unwraps_under_many_passphrases_does_not_tell_which",
    ),
    Sabotage(
        "a step that panicked did not happen",
        "engine/src/sticky.rs",
        "        self.0 = Some(Error::Poisoned);\n",
        "",
        of("panics"),
        "a_sink_that_panics_leaves_a_writer_that_has_failed",
    ),
    Sabotage(
        "a task looks for results before it says that it waits",
        "engine/src/executor/results.rs",
        "        drop(waiting);\n        while let Ok((number, result)) = self.receiver.try_recv() {\n            take(number, result);\n        }\n",
        "        drop(waiting);\n",
        LIB,
        "no_interleaving_of_jobs_and_task_leaves_the_task_asleep",
        also=(
            (
                "engine/src/executor/results.rs",
                "        let mut waiting = self.waiting",
                "        while let Ok((number, result)) = self.receiver.try_recv() {\n            take(number, result);\n        }\n"
                "        let mut waiting = self.waiting",
            ),
        ),
    ),
    Sabotage(
        "an output is named before it is synced",
        "engine/src/file/atomic.rs",
        '        self.file().sync_all().map_err(Error::io("syncing the output"))?;\n',
        "",
        POWER,
        "encrypt",
        also=(("cli/src/io/output.rs", "self.file().map_or(Ok(()), File::sync_all)", "Ok::<(), io::Error>(())"),),
    ),
    Sabotage(
        "the key ring is renamed before it is synced",
        "engine/src/keys/local/file.rs",
        "    file.as_file().sync_all()?;\n",
        "",
        POWER,
        "keys rotate",
    ),
    Sabotage(
        "directories are not synced",
        "engine/src/sys.rs",
        "    match directory.sync_all() {\n",
        "    match Ok::<(), io::Error>(drop(directory)) {\n",
        POWER,
        "keys new",
    ),
    Sabotage(
        "a rewrap in place writes both copies at once",
        "engine/src/rewrap/in_place.rs",
        "        write(file, bytes, SECOND)?;\n        write(file, bytes, FIRST)?;\n",
        "        write_all_at(file, &bytes[..COPY_LEN], SECOND)?;\n        write(file, bytes, FIRST)?;\n",
        POWER,
        "rewrap",
    ),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all, unless some are named")
    parser.add_argument("--quick", action="store_true", help="the most important ones that one test program detects")
    parser.add_argument("--check", action="store_true", help="only whether the texts to replace are there")
    options = parser.parse_args()
    if options.check:
        raise SystemExit("\n".join(filter(None, map(moved, SABOTAGES))) or 0)
    chosen = [each for each in SABOTAGES if not options.names or each.name in options.names]
    chosen = [each for each in chosen if each.quick or not options.quick]
    copy = target() / "sabotage"
    copy_to(copy)
    green(copy, chosen)
    faults = [fault for sabotage in chosen if (fault := undetected(copy, sabotage))]
    print(f"campaign: sabotage cases={len(chosen)} caught={len(chosen) - len(faults)} violations={len(faults)}")
    if faults or not chosen:
        raise SystemExit("\n".join(faults))


def green(copy, chosen):
    """Fails unless all of the tests pass as they are; they are built by this."""
    tests = dict.fromkeys(part for sabotage in chosen for part in pairs(sabotage.tests) if part != POWER)
    reds = [sabotage.red for sabotage in chosen if sabotage.tests != POWER]
    runs = [[*(word for part in tests for word in part), "--", *reds]] if tests else []
    runs += [POWER] if any(sabotage.tests == POWER for sabotage in chosen) else []
    for words in runs:
        done, _ = run(copy, words)
        if done.returncode == 0:
            continue
        raise SystemExit(f"the tests are red without any sabotage:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def pairs(words):
    """`--lib`, or `--test` and its name."""
    words, found = list(words), []
    while words:
        take = 1 if words[0] == "--lib" else 2
        found.append(tuple(words[:take]))
        del words[:take]
    return found


def run(copy, words):
    """What was printed, and the names of the tests that failed."""
    env = {**os.environ, "CARGO_TERM_COLOR": "never", "RUST_BACKTRACE": "0"}
    if words == POWER:
        # A target directory of its own: a sabotaged program is to lie where nobody else finds it.
        env["CARGO_TARGET_DIR"] = str(copy / "target")
        build = ["cargo", "build", "--locked", "-p", "sealstone-cli"]
        commands, failed = [build, [HERE / "power.py", copy / "target/debug/sealstone"]], r"^(.*): after "
    else:
        env["CARGO_TARGET_DIR"] = str(target())
        # Other crates have a `suite` too. Without `-p`, dependencies are those that the tests have built.
        package = ["-p", "sealstone"] if {"suite", "--lib"} & set(words) else []
        commands = [["cargo", "test", "--locked", *package, "--no-fail-fast", *words]]
        failed = r"^test (\S+) \.\.\. FAILED$"
    for command in commands:
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
        if done.returncode:
            break
    names = re.findall(failed, done.stdout, re.MULTILINE)
    if "SIGABRT" in done.stderr:
        # A panic amid a panic: the harness could not tell.
        names += re.findall(r"^thread '(\S+)'", done.stderr, re.MULTILINE)
    return done, names


def edits_of(sabotage):
    return [(sabotage.file, sabotage.old, sabotage.new), *sabotage.also]


def moved(sabotage):
    """What is wrong, if a text that it replaces is not there exactly once."""
    for file, old, _ in edits_of(sabotage):
        count = (ROOT / file).read_text().count(old) if (ROOT / file).exists() else 0
        if count != 1:
            return f"{sabotage.name}: {file} has its text {count} times: the code has moved"
    return None


def undetected(copy, sabotage):
    """What is wrong, if its test did not turn red."""
    if fault := moved(sabotage):
        return fault
    edits = edits_of(sabotage)
    originals = {copy / file: (copy / file).read_text() for file, _, _ in edits}
    try:
        for file, old, new in edits:
            (copy / file).write_text((copy / file).read_text().replace(old, new))
        words = sabotage.tests if sabotage.tests == POWER else (*sabotage.tests, "--", sabotage.red)
        done, failed = run(copy, words)
    finally:
        for path, original in originals.items():
            path.write_text(original)
    if "could not compile" in done.stderr:
        return f"{sabotage.name}: it does not compile:\n{done.stderr[-2000:]}"
    if not any(sabotage.red in name for name in failed):
        return f"{sabotage.name}: {sabotage.red} stayed green; failed were {failed}"
    print(f"{sabotage.name}: {len(failed)} tests turned red, {failed[0]} among them", flush=True)
    return None


main()
