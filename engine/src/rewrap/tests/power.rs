//! A model of power loss: of everything written since the last sync, any sectors may be on the disk.

use std::collections::HashSet;

use super::*;

/// What a disk writes atomically.
const SECTOR: usize = 512;

/// Every state of the disk that a power loss after the first `len` calls can leave: synced bytes are on it, and of
/// those written since, each sector may or may not be, in any order.
fn disks(start: &[u8], calls: &[Call]) -> Vec<Vec<u8>> {
    let durable = calls
        .iter()
        .rposition(|call| *call == Call::Sync)
        .map_or(0, |last| last + 1);
    let mut disk = start.to_vec();
    for call in &calls[..durable] {
        if let Call::Write(offset, bytes) = call {
            disk[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }
    let mut disks = vec![disk];
    for call in &calls[durable..] {
        let Call::Write(offset, bytes) = call else { continue };
        for (sector, content) in bytes.chunks(SECTOR).enumerate() {
            let at = offset + sector * SECTOR;
            let mut more = Vec::new();
            for disk in &disks {
                if disk[at..at + content.len()] != *content {
                    let mut written = disk.clone();
                    written[at..at + content.len()].copy_from_slice(content);
                    more.push(written);
                }
            }
            disks.append(&mut more);
        }
    }
    disks
}

/// Every state that a power loss during a rewrap can leave opens, and rewrapping continues from it.
#[test]
fn a_loss_of_power_at_any_point_leaves_an_object_that_opens() {
    let mut opening = Opening::default();
    let mut states = 0;
    for start in starts() {
        let file = Recorded::new(&start);
        run(&file, &wide_rotation(1)).unwrap();
        let calls = file.calls();
        for end in 0..=calls.len() {
            for disk in disks(&start, &calls[..end]) {
                assert!(opening.opens(&disk), "after {end} calls");
                states += 1;
            }
        }
        assert_eq!(disks(&start, &calls), [file.bytes()], "the end is durable");
    }
    assert!(states > 2000, "{states}");
}

#[test]
fn rewrapping_goes_on_from_whatever_a_loss_of_power_left() {
    let start = sealed_wide();
    let file = Recorded::new(&start);
    run(&file, &wide_rotation(1)).unwrap();
    let calls = file.calls();
    let old_slot = slot_bytes(&start);
    let mut seen = HashSet::new();
    for end in 0..=calls.len() {
        for disk in disks(&start, &calls[..end]) {
            if !seen.insert(disk.clone()) {
                continue;
            }
            let again = Recorded::new(&disk);
            run(&again, &wide_rotation(1)).unwrap();
            let bytes = again.bytes();
            assert_eq!(
                Decryptor::new(key(2))
                    .with_context(ExpectedContext::AcceptStored)
                    .open(&bytes)
                    .unwrap(),
                PLAIN
            );
            assert!(!contains(&bytes, &old_slot));
            assert_eq!(bytes[..COPY_LEN], bytes[COPY_LEN..ATTACHED_LEN]);
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
}

/// The writes of a killed rewrap are in the system's memory, not on the disk. The next rewrap reads them there.
fn loses_power_after_a_kill(skipped_syncs: usize) -> bool {
    let start = sealed();
    let mut opening = Opening::default();
    let whole = Recorded::new(&start);
    run(&whole, &rotation(1)).unwrap();
    for killed_after in 0..=whole.calls().len() {
        let killed = Recorded {
            fails_at: Some(killed_after),
            ..Recorded::new(&start)
        };
        let _ = run(&killed, &rotation(1));
        // What the first one left determines which of the keys opens.
        let next = Rewrap::new(Decryptor::new(key(1)).with_key(key(2))).add_key(key(3));
        let second = Recorded::new(&killed.bytes());
        run(&second, &next).unwrap();
        let before = killed.calls();
        let calls: Vec<_> = before
            .iter()
            .cloned()
            .chain(second.calls().into_iter().skip(skipped_syncs))
            .collect();
        for end in before.len()..=calls.len() {
            if disks(&start, &calls[..end]).iter().any(|disk| !opening.opens(disk)) {
                return true;
            }
        }
    }
    false
}

#[test]
fn a_loss_of_power_after_a_kill_leaves_an_object_that_opens() {
    assert!(!loses_power_after_a_kill(0));
}

/// Without the sync before reading, the model finds a state that is lost.
#[test]
fn the_model_finds_what_the_first_sync_is_for() {
    assert!(loses_power_after_a_kill(1));
}

fn slot_bytes(object: &[u8]) -> Vec<u8> {
    let header: Header = ObjectHeader::parse(object).unwrap().header().clone();
    header.slots()[0].ciphertext.clone()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
