"""The command-line peers: how each is installed, what it authenticates, and its command lines.

Every key is random, and the tool reads it from a file or from its environment, if it can. A tool that derives a key from a
passphrase gets its cheapest setting, because this measures bytes.
"""

import os
import pathlib
import secrets
import shutil
import subprocess

from .measure import Failed, check_runs
from .places import remove

# Peers that have no package, or are not a process from file to file.
NO_PEERS = {
    "sio of MinIO": "Debian has no package of it",
    "gocryptfs": "a file system: its work is done in a daemon, and not in a process from file to file",
}


class Peer:
    """A tool, with its own keys in a directory.

    `encrypts`, `decrypts` and `prints` (to standard output) are command lines in terms of {plain}, {sealed}, {opened} and
    attributes of the tool; `filters` encrypts standard input to standard output, if the tool can do that.
    """

    name = program = debian = crate = authenticates = threads = ""
    encrypts = decrypts = prints = filters = ""
    version_command = ("--version",)
    environment = {}

    def __init__(self, path, place):
        self.path = path
        self.home = place / self.name
        self.home.mkdir(mode=0o700)
        self.make_keys()

    def make_keys(self):
        self.secret = self.home / "secret"
        self.secret.write_text(secrets.token_hex(32))

    def version(self):
        return check_runs(self.path, *self.version_command).strip().splitlines()[0].strip()

    def words(self, template, **files):
        return [word.format(**vars(self), **files) for word in template.split()]

    def encrypt(self, plain, sealed):
        return self.words(self.encrypts, plain=plain, sealed=sealed)

    def decrypt(self, sealed, opened):
        return self.words(self.decrypts, sealed=sealed, opened=opened)

    def to_pipe(self, sealed, plain):
        return self.words(self.prints, sealed=sealed, plain=plain)

    @property
    def filter(self):
        return self.words(self.filters) or None

    def before_encrypt(self, sealed):
        remove(self.object_file(sealed))

    def object_file(self, sealed):
        """The file with the sealed bytes."""
        return sealed

    def opened_file(self, opened, plain):
        return opened

    def close(self):
        """Ends processes that the tool left running."""


class Age(Peer):
    name = program = debian = "age"
    authenticates = "AEAD per 64 KiB chunk"
    threads = "1"
    keygen = "age-keygen"
    filters = "{path} -R {recipient}"
    encrypts = "{path} -R {recipient} -o {sealed} {plain}"
    decrypts = "{path} -d -i {identity} -o {opened} {sealed}"
    prints = "{path} -d -i {identity} {sealed}"

    def make_keys(self):
        self.identity, self.recipient = self.home / "identity", self.home / "recipient"
        keygen = pathlib.Path(self.path).with_name(self.keygen)
        check_runs(keygen, "-o", self.identity)
        lines = self.identity.read_text().splitlines()
        [public] = [line.split(": ")[1] for line in lines if line.startswith("# public key: ")]
        self.recipient.write_text(public + "\n")


class Rage(Age):
    name = program = crate = "rage"
    debian = ""
    keygen = "rage-keygen"


class Rclone(Peer):
    """The crypt backend over a local one. It compares hashes of what it wrote, its default."""

    name = program = debian = "rclone"
    version_command = ("version",)
    authenticates = "AEAD per 64 KiB chunk"
    threads = "several"
    encrypts = "{path} -q copyto {plain} sealed:{sealed.name}"
    decrypts = "{path} -q copyto sealed:{sealed.name} {opened}"
    prints = "{path} -q --retries 1 --low-level-retries 1 cat sealed:{sealed.name}"

    def make_keys(self):
        secret = subprocess.run(
            [self.path, "obscure", "-"], input=secrets.token_hex(32), capture_output=True, text=True
        )
        if secret.returncode != 0:
            raise Failed(f"rclone obscure: {secret.stderr}")
        crypt = {"TYPE": "crypt", "REMOTE": self.home, "FILENAME_ENCRYPTION": "off", "PASSWORD": secret.stdout.strip()}
        self.environment = {f"RCLONE_CONFIG_SEALED_{name}": str(value) for name, value in crypt.items()}
        self.environment |= {"RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_SEALED_DIRECTORY_NAME_ENCRYPTION": "false"}

    def object_file(self, sealed):
        return self.home / f"{sealed.name}.bin"


class Restic(Peer):
    """Backs up the file into a new repository, and restores it. It looks for blobs that it already has, of which random
    bytes have none; compression is off."""

    name = program = debian = "restic"
    version_command = ("version",)
    authenticates = "AEAD per blob of 0.5 to 8 MiB, SHA-256 of each"
    threads = "several"
    encrypts = "{path} -q --no-cache -r {sealed} backup {plain}"
    decrypts = "{path} -q --no-cache -r {sealed} restore latest --target {opened}"
    prints = "{path} -q --no-cache -r {sealed} dump latest {plain}"

    def make_keys(self):
        super().make_keys()
        self.environment = {"RESTIC_PASSWORD_FILE": str(self.secret), "RESTIC_COMPRESSION": "off"}

    def before_encrypt(self, sealed):
        remove(sealed)
        check_runs(self.path, "-q", "--no-cache", "-r", sealed, "init", environment=self.environment)

    def object_file(self, sealed):
        packs = [path for path in (sealed / "data").rglob("*") if path.is_file()]
        return max(packs, key=lambda path: path.stat().st_size)

    def opened_file(self, opened, plain):
        return opened / plain.relative_to("/")


class OpenSsl(Peer):
    name = "openssl enc"
    program = debian = "openssl"
    version_command = ("version",)
    authenticates = "nothing (AES-256-CTR)"
    threads = "1"
    filters = "{path} enc -aes-256-ctr -pbkdf2 -pass file:{secret}"
    encrypts = filters + " -in {plain} -out {sealed}"
    decrypts = filters + " -d -in {sealed} -out {opened}"
    prints = filters + " -d -in {sealed}"


class Gpg(Peer):
    name = program = "gpg"
    debian = "gnupg"
    authenticates = "MDC (SHA-1, encrypted) at the end"
    threads = "1"
    batch = "{path} -q --homedir {home} --batch --pinentry-mode loopback --passphrase-file {secret}"
    cheap = batch + " --cipher-algo AES256 --compress-algo none --s2k-mode 3 --s2k-count 1024"
    filters = cheap + " -c"
    encrypts = cheap + " -o {sealed} -c {plain}"
    decrypts = batch + " -o {opened} -d {sealed}"
    prints = batch + " -d {sealed}"

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], capture_output=True)


class SevenZip(Peer):
    """Stores without compression. Its passphrase is on the command line: otherwise it would ask a terminal."""

    name = "7z"
    program = "7zz"
    debian = "7zip"
    version_command = ()
    authenticates = "nothing (AES-256-CBC; CRC-32 at the end)"
    threads = "1"
    encrypts = "{path} a -mx0 -bso0 -bsp0 -p{passphrase} {sealed}.7z {plain}"
    decrypts = "{path} x -bso0 -bsp0 -p{passphrase} -o{opened} {sealed}.7z"
    prints = "{path} x -so -bso0 -bsp0 -p{passphrase} {sealed}.7z"

    def make_keys(self):
        self.passphrase = secrets.token_hex(32)

    def version(self):
        return super().version().split(" : ")[0]

    def object_file(self, sealed):
        return sealed.with_name(f"{sealed.name}.7z")

    def opened_file(self, opened, plain):
        return opened / plain.name


KINDS = [Age, Rage, Rclone, Restic, OpenSsl, Gpg, SevenZip]


def find(settings, place):
    """The installed peers, with keys in `place`. Missing ones are installed, or left out."""
    for name, why in NO_PEERS.items():
        settings.leave_out(name, why)
    peers = []
    for kind in KINDS:
        path = find_program(kind, settings)
        if path is None:
            continue
        try:
            peer = kind(path, place)
            version = peer.version()
        except Failed as error:
            settings.leave_out(kind.name, str(error))
            continue
        package = f"Debian {kind.debian}" if kind.debian else f"crate {kind.crate}"
        settings.used(kind.name, version, "command line", package, kind.authenticates, kind.threads)
        peers.append(peer)
    return peers


def find_program(kind, settings):
    """The path of a peer's program; None, with a note of the reason, if it stays missing."""
    places = os.pathsep.join([str(settings.tools_dir / "bin"), os.environ.get("PATH", os.defpath)])
    if (path := shutil.which(kind.program, path=places)) is None:
        if not settings.install:
            how = f"apt-get install {kind.debian}" if kind.debian else f"cargo install {kind.crate}"
            settings.leave_out(kind.name, f"not installed; `--install` does `{how}`")
            return None
        why = install(kind, settings)
        if (path := shutil.which(kind.program, path=places)) is None:
            settings.leave_out(kind.name, f"could not be installed: {why}")
    return path


def install(kind, settings):
    """Installs a peer, and returns what went wrong if its program is still missing."""
    try:
        if kind.crate:
            check_runs("cargo", "install", "--quiet", "--locked", "--root", settings.tools_dir, kind.crate)
        else:
            install_debian(kind.debian)
    except (Failed, OSError) as error:
        return str(error)
    return f"its package has no {kind.program}"


def install_debian(package):
    if os.geteuid() != 0:
        raise Failed("only root can install a package of the system")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    check_runs("apt-get", "update", environment=quiet)
    check_runs("apt-get", "install", "-y", "--no-install-recommends", package, environment=quiet)
