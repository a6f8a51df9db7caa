//! What `--help` shows at its end: each command at work.

macro_rules! examples {
    ($($name:ident: $($line:literal)+;)+) => {
        $(pub(super) const $name: &str = concat!("Examples:", $("\n  ", $line),+);)+
    };
}

examples! {
    SEALSTONE:
        "sealstone encrypt notes.txt              writes notes.txt.seal, for the key ring's default key"
        "sealstone decrypt notes.txt.seal         writes notes.txt"
        "sealstone help rewrap                    what a command takes";
    ENCRYPT:
        "sealstone encrypt disk.img -k local:work -k passphrase"
        "tar -c photos | sealstone encrypt - -o s3://backups/photos.tar.seal"
        "sealstone encrypt --recursive --in-place s3://archive/2025/ -k local:archive";
    DECRYPT:
        "sealstone decrypt s3://backups/disk.img.seal -o disk.img"
        "sealstone decrypt photos.tar.seal -o - | tar -x";
    CAT:
        "sealstone cat --range 1M..2M disk.img.seal -o piece"
        "sealstone cat --range=-512 disk.img.seal | xxd";
    INSPECT:
        "sealstone inspect disk.img.seal"
        "sealstone inspect --json *.seal | jq .claimed_plaintext_len";
    VERIFY:
        "sealstone verify *.seal"
        "sealstone verify --context tenant=blue a.seal -k raw:file:key"
        "sealstone verify --recursive s3://backups/2026/";
    REWRAP:
        "sealstone rewrap *.seal --key local:old --to local:new"
        "sealstone rewrap a.seal --add local:bob --remove local:alice"
        "sealstone rewrap --recursive s3://backups/ --key local:old --to local:new";
    REKEY:
        "sealstone rekey a.seal -o b.seal --to local:new"
        "sealstone rekey a.seal -o b.seal --to passphrase --set-context tenant=red"
        "sealstone rekey --recursive --in-place s3://backups/2026/ --to local:new";
    KEYS:
        "sealstone keys new work"
        "sealstone keys export work -o work.json    then, elsewhere: sealstone keys import work.json";
    KEYS_NEW:
        "sealstone keys new work"
        "sealstone keys new work --keyring /media/usb/ring.json";
    KEYS_LIST:
        "sealstone keys list"
        "sealstone keys list --json | jq -r .name";
    KEYS_ROTATE:
        "sealstone keys rotate work"
        "sealstone keys rotate work && sealstone rewrap *.seal --key local:work --to local:work";
    KEYS_EXPORT:
        "sealstone keys export work -o work.json"
        "sealstone keys export work | ssh host sealstone keys import -";
    KEYS_IMPORT:
        "sealstone keys import work.json"
        "sealstone keys import default.json --as laptop";
    KEYS_DELETE:
        "sealstone keys delete work --all"
        "sealstone keys delete work --version 0123456789abcdef --yes";
    COMPLETIONS:
        "source <(sealstone completions bash)                in ~/.bashrc"
        "sealstone completions fish > ~/.config/fish/completions/sealstone.fish";
    MAN:
        "sealstone man ~/.local/share/man/man1"
        "sudo sealstone man /usr/local/share/man/man1";
}
