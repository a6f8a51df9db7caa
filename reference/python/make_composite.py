#!/usr/bin/env python3
"""Makes the test kit of composite objects: what a reader takes and refuses, and what a completion does.

DIRECTORY is engine/tests/vectors/composite. The same files are made each time; with --check none is written, and it is
an error if one is missing or differs.

`objects/` has test objects in the form that engine/tests/vectors/README.md describes, most with exactly one fault. They
are read whole through a source of random access, or a range of them is.

`receipts.json` is a list of receipts, `completions.json` one of completions, each of one object:

    name, comment
    expect          classes of README.md, any of which is right; ["success"] if it is sound
    header          the object's detached header, hexadecimal
    key             as in test objects: `raw HEX`
    data_key        what the header's slot unwraps to, hexadecimal
    label           receipts: the label that is expected, hexadecimal
    receipt         receipts: the receipt, hexadecimal
    salt            receipts, if sound: the component's salt, hexadecimal
    plaintext_len   if sound: of the component, or of the object
    parts           completions: in order, {"label": the label that is expected, "receipt": ...}, both hexadecimal
    note            completions: hexadecimal
    components_len  completions, if sound: sealed bytes of all components
    padding_len     completions, if sound: zeros after them
    payload_len     completions, if sound: of all the payload

`padded.json` is a list of lengths of padded objects:

    chunk_size      in bytes
    payload_len
    plaintext_len   null if no padded object has this payload_len
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys
from dataclasses import dataclass, field, replace

sys.path.append(f"{sys.path[0]}/../../tools")

import composite
import objects
from common import arguments
from composite import COMPONENT_LABEL, MANIFEST_LABEL, Entry, Manifest

KEK = bytes([7]) * 32
DATA_KEY = bytes([1]) * 32
OTHER_DATA_KEY = bytes([9]) * 32
CORE, PADDED = bytes([1, 14, 1]), bytes([1, 14, 3])
C = 16 * 1024
SEALED = C + 16
PART = composite.LEAST_PART
SUITES = {1: "aes-256-gcm", 2: "chacha20-poly1305"}


def main():
    options, made = arguments(__doc__, "directory", check=False), files()
    directory = pathlib.Path(options.directory)
    if not options.check:
        (directory / "objects").mkdir(parents=True, exist_ok=True)
        for name, data in made.items():
            (directory / name).write_bytes(data)
    kept = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    wrong = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    if wrong:
        raise SystemExit(f"missing, or not what is made here: {', '.join(wrong)}")
    print(f"campaign: made_composites files={len(made)} bytes={sum(map(len, made.values()))}")


def files():
    made = {}
    for name, data in [*sound(), *headers(), *claims(), *manifests(), *entries(), *seams(), *ends(), *paddings()]:
        assert f"objects/{name}" not in made, name
        made[f"objects/{name}"] = data
    for name, data in ranges():
        assert f"objects/{name}" not in made, name
        made[f"objects/{name}"] = data
    assert len(set(made.values())) == len(made)
    for name, cases in (("receipts", receipts()), ("completions", completions()), ("padded", padded())):
        made[f"{name}.json"] = ("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n").encode()
    return made


def drawn(name, size):
    """Bytes that are the same each time, in place of random ones."""
    return hashlib.shake_256(name.encode()).digest(size)


def flipped(data, at, bit=0):
    data = bytearray(data)
    data[at] ^= 1 << bit
    return bytes(data)


def header_of(core, data_key, salt, wrapped=None, label=objects.OBJECT_LABEL):
    commitment = objects.ChunkKeys(data_key, core, salt, label).commitment
    key_id = objects.raw_key_id(KEK)
    wrap = objects.wrap(KEK, wrapped or data_key, "raw", key_id, {}, bytes([4]) * 24)
    return objects.Header(1, core, 0, salt, commitment, [], [("raw", key_id, wrap)])


@dataclass
class Object:
    """A sound one; what `payload` is given stands in place of what it would make."""

    lengths: list
    core: bytes = CORE
    note: bytes = b""
    data_key: bytes = DATA_KEY
    salt: bytes = bytes([2]) * 24
    seed: str = "object"
    parts: list = field(init=False)
    entries: list = field(init=False)

    def __post_init__(self):
        self.parts = [drawn(f"{self.seed} {at}", length) for at, length in enumerate(self.lengths)]
        self.entries = [Entry(drawn(f"{self.seed} salt {at}", 24), len(part)) for at, part in enumerate(self.parts)]

    @property
    def plain(self):
        return b"".join(self.parts)

    def header(self):
        return header_of(self.core, self.data_key, self.salt)

    def components(self):
        return [self.component(at) for at in range(len(self.parts))]

    def component(self, at, core=None, data_key=None, label=COMPONENT_LABEL):
        core, data_key = core or self.core, data_key or self.data_key
        return objects.seal_payload(self.parts[at], data_key, core, self.entries[at].salt, label)

    def manifest_plaintext(self, entries=None, note=None):
        note = self.note if note is None else note
        return composite.encode_manifest(Manifest(self.entries if entries is None else entries, note))

    def manifest(self, plaintext=None, core=None, data_key=None, label=MANIFEST_LABEL, salt=None):
        plaintext = self.manifest_plaintext() if plaintext is None else plaintext
        salt = salt or drawn(f"{self.seed} manifest", 24)
        return objects.seal_payload(plaintext, data_key or self.data_key, core or self.core, salt, label)

    def payload(self, components=None, padding=None, manifest=None, claim=None):
        components = self.components() if components is None else components
        manifest = self.manifest() if manifest is None else manifest
        if padding is None:
            padding = b""
            if self.core[2] & composite.PADDED:
                whole = composite.padded_len(len(self.plain), 1 << self.core[1])
                padding = bytes(whole - sum(map(len, components)) - len(manifest) - 4)
        claim = struct.pack(">I", len(manifest)) if claim is None else claim
        return b"".join(components) + padding + manifest + claim


def vector(name, comment, made, payload=None, expect="success", plain=None, span=None, at=None, header=None, **how):
    """A file of the test kit. `plain` is what comes out, or may have come out before the error."""
    payload = made.payload() if payload is None else payload
    header = header or made.header()
    if plain is None:
        plain = made.plain if expect == "success" else b""
    assert (expect in ("component", "chunk")) == (at is not None), name
    lines = ["sealstone test object", f"comment: {comment}", f"expect: {expect}"]
    lines += [f"at: {at}"] if at else []
    lines += [f"key: raw {KEK.hex()}", "context-rule: exact"]
    if how.get("attached"):
        payload = objects.encode_attached(header) + payload
    else:
        lines.append(f"header: {objects.encode_detached(header).hex()}")
    lines += [f"range: {span}"] if span else []
    lines.append(f"plaintext: {len(plain)} {hashlib.sha256(plain).hexdigest()}")
    return name, "\n".join(lines).encode() + b"\n\n" + payload


def small(**how):
    return Object([3, 0, 7], **how)


# Sound objects.


def sound():
    def good(name, comment, made, **how):
        return vector(f"good-{name}", comment, made, **how)

    yield good("one-empty", "one component, empty", Object([0]))
    yield good("one-byte", "one component of a byte", Object([1]))
    yield good("three", "three components, the middle one empty", small())
    yield good("all-empty", "three components, all empty", Object([0, 0, 0]))
    yield good("attached", "the header before the payload", small(), attached=True)
    yield good("boundaries", "components around a chunk's length", Object([C - 1, 1, C, 0, C + 1]))
    yield good("many", "100 components", Object([at % 3 for at in range(100)]))
    yield good("manifest-full-chunk", "a manifest of a full chunk and an empty one", Object([0] * 511, note=bytes(28)))
    for suite, word in SUITES.items():
        for log2 in (14, 16, 18, 20):
            if (suite, log2) != (1, 14):
                name = f"{word}-{1 << log2 - 10}k"
                yield good(name, f"{word}, {1 << log2 - 10} KiB chunks", Object([5, 0, 6], bytes([suite, log2, 1])))
    for size in (1, 31, 32, 255, 256):
        yield good(f"note-{size}", f"a note of {size} bytes", Object([2], note=drawn("note", size)))
    yield good("note-like-an-entry", "a note with the bytes of an entry", small(note=drawn("salt", 24) + bytes(8)))
    yield good("padded-empty", "512 bytes", Object([0], PADDED))
    yield good("padded-one-byte", "padded", Object([1], PADDED))
    yield good("padded-note", "padded, with the longest note", Object([0], PADDED, note=drawn("note", 256)))
    yield good("padded-chunk", "padded, one full chunk", Object([C], PADDED))
    yield good("padded-64k", "padded, other chunks and suite", Object([9], bytes([2, 16, 3])))


# Headers.


def headers():
    made, padded_one = small(), Object([3], PADDED)
    long = drawn("long", 300)
    plain = objects.seal_payload(long, DATA_KEY, bytes([1, 14, 0]), made.salt)

    def flags(name, comment, made, flags, expect, payload=None):
        header = replace(made.header(), core=made.core[:2] + bytes([flags]))
        return vector(f"header-{name}", comment, made, payload, expect, header=header)

    yield flags("padded-alone", "padded, and not composite", made, 2, "header")
    for bits in (4, 5, 7, 0x81):
        yield flags(f"flags-{bits}", "an unknown flag", made, bits, "header")
    yield flags("composite-stripped", "the flag is gone", made, 0, "commitment")
    yield flags("padded-added", "another flag", made, 3, "commitment")
    yield flags("padded-stripped", "a flag is gone", padded_one, 1, "commitment")
    yield flags("both-stripped", "both flags are gone", padded_one, 0, "commitment")
    of_plain = Object(made.lengths, bytes([1, 14, 0]))
    yield flags("composite-added", "a plain object with the flag", of_plain, 1, "commitment", plain)
    yield flags("both-added", "a plain object with both flags", of_plain, 3, "commitment", plain)

    def altered(name, comment, expect, payload=None, **fields):
        return vector(f"header-{name}", comment, made, payload, expect, header=replace(made.header(), **fields))

    header = made.header()
    yield altered("other-suite", "another suite", "commitment", core=bytes([2, 14, 1]))
    yield altered("other-chunk-size", "another chunk size", "commitment", core=bytes([1, 16, 1]))
    yield altered("salt", "the salt's first bit", "commitment", salt=flipped(header.salt, 0, 7))
    yield altered("commitment", "the commitment's last bit", "commitment", commitment=flipped(header.commitment, 31))
    component = made.component(0)
    yield altered(
        "of-component",
        "salt and commitment of a component",
        "commitment",
        salt=component[:24],
        commitment=component[24:56],
    )
    manifest = made.manifest()
    yield altered(
        "of-manifest",
        "salt and commitment of the manifest",
        "commitment",
        salt=manifest[:24],
        commitment=manifest[24:56],
    )
    wrong = header_of(CORE, DATA_KEY, made.salt, wrapped=OTHER_DATA_KEY)
    yield vector("header-other-data-key", "the slot has another data key", made, expect="commitment", header=wrong)
    other = header_of(CORE, OTHER_DATA_KEY, made.salt)
    yield vector("header-of-another-object", "a whole header of another object", made, expect="manifest", header=other)
    yield vector("kind-plain-object", "the payload is a plain one", made, plain, "manifest")
    as_plain = objects.seal_payload(long, DATA_KEY, CORE, made.salt)
    yield vector("kind-plain-payload", "one payload under the header's own keys", made, as_plain, "manifest")
    yield vector(
        "kind-composite-as-plain", "a plain header, a composite payload", of_plain, small().payload(), "payload"
    )


# The manifest's claimed length.


def claims():
    made = small()
    manifest = made.manifest()
    size, total = len(manifest), len(made.payload())

    def claimed(name, comment, length, form=">I"):
        payload = made.payload(claim=struct.pack(form, length))
        return vector(f"claim-{name}", comment, made, payload, "manifest")

    least = composite.payload_len(composite.manifest_plaintext_len(1, 0), C)
    yield claimed("0", "a manifest of no bytes", 0)
    yield claimed("prefix-alone", "salt and commitment", 56)
    yield claimed("under-least", "a byte less than the shortest manifest", least - 1)
    yield claimed("least", "the shortest manifest, and it is longer", least)
    yield claimed("byte-less", "a byte less", size - 1)
    yield claimed("byte-more", "a byte more", size + 1)
    yield claimed("entry-less", "an entry less", size - 32)
    yield claimed("entry-more", "an entry more", size + 32)
    yield claimed("tag-less", "a tag less", size - 16)
    yield claimed("itself-too", "with its own four bytes", size + 4)
    yield claimed("all", "all before it", total - 4)
    yield claimed("no-room", "a byte too long for one component", total - 4 - 71)
    yield claimed("past-start", "more than there is", total)
    yield claimed("over-longest", "a byte more than the longest manifest", composite.longest_manifest(C) + 1)
    yield claimed("huge", "2^32 - 1", 2**32 - 1)
    yield claimed("sign", "2^31", 2**31)
    yield claimed("little-endian", "bytes in the other order", size, "<I")


# The manifest's bytes, and what it says.


def manifests():
    made = small()
    good, other = made.manifest(), small(data_key=OTHER_DATA_KEY)

    def sealed(name, comment, manifest, made=made):
        return vector(f"manifest-{name}", comment, made, made.payload(manifest=manifest), "manifest")

    for name, at, bit in (
        ("salt-first-bit", 0, 7),
        ("salt-last-bit", 23, 0),
        ("commitment-first-bit", 24, 7),
        ("commitment-last-bit", 55, 0),
        ("count", 59, 0),
        ("entry-salt", 60, 0),
        ("entry-length", 91, 0),
        ("tag-first-bit", -16, 7),
        ("tag-last-bit", -1, 0),
    ):
        yield sealed(name, "one bit of the sealed manifest", flipped(good, at, bit))
    noted = small(note=b"a note")
    yield sealed("note", "one bit of the sealed note", flipped(noted.manifest(), -17), noted)
    yield sealed("other-data-key", "under another data key", other.manifest())
    yield sealed("no-core", "its context has no core", no_core(made))
    yield sealed("other-flags", "its core is that of a padded object", made.manifest(core=PADDED))
    yield sealed("other-chunk-size", "its core has another chunk size", made.manifest(core=bytes([1, 16, 1])))
    yield sealed("other-suite", "its core has another suite", made.manifest(core=bytes([2, 14, 1])))
    yield sealed("as-component", "sealed as a component", made.manifest(label=COMPONENT_LABEL))
    yield sealed("as-object", "sealed as a plain payload", made.manifest(label=objects.OBJECT_LABEL))
    yield sealed(
        "under-header-keys",
        "sealed as a plain payload, with the header's salt",
        made.manifest(label=objects.OBJECT_LABEL, salt=made.salt),
    )
    yield sealed("not-sealed", "its plaintext", made.manifest_plaintext())
    listing = made.manifest_plaintext()
    as_component = objects.seal_payload(listing, DATA_KEY, CORE, made.entries[0].salt, COMPONENT_LABEL)
    yield sealed("component-for-it", "a component with a manifest's bytes", as_component)

    def says(name, comment, plaintext, expect="manifest", made=made):
        payload = made.payload(manifest=made.manifest(plaintext))
        return vector(f"says-{name}", comment, made, payload, expect)

    first, second, third = made.entries

    def count(number, form=">I"):
        return struct.pack(form, number) + listing[4:]

    yield says("nothing", "an empty manifest", b"")
    yield says("no-component", "n is 0", bytes(4))
    yield says("no-component-note", "n is 0, and a note of 36 bytes", bytes(4) + drawn("note", 36))
    yield says("n-0", "n is 0, and three entries follow", count(0))
    yield says("n-more", "n is one more", count(4))
    yield says("n-less", "n is one less: the last entry is a note, and a component is too much", count(2), "length")
    yield says("n-65537", "n is over 2^16", count(65537))
    yield says("n-huge", "n is 2^32 - 1", count(2**32 - 1))
    yield says("n-little-endian", "bytes in the other order", count(3, "<I"))
    yield says("n-16-bits", "n in two bytes", listing[2:])
    yield says("cut", "a byte less", listing[:-1])
    yield says("cut-entry", "an entry less", listing[:-32])
    yield says("note-257", "a note of 257 bytes", listing + bytes(257))
    yield says("note-288", "a note of 288 bytes", listing + bytes(288))
    yield says("long", "a note of 1000 bytes", listing + bytes(1000))

    def lists(name, comment, entries, expect="manifest"):
        return says(name, comment, made.manifest_plaintext(entries), expect)

    yield lists("salt-twice", "a salt twice", [first, second, replace(third, salt=first.salt)])
    yield lists("entry-twice", "an entry twice", [first, first, third])
    yield lists("length-4-pib", "2^52 bytes", [replace(first, length=2**52), second, third])
    yield lists("length-huge", "2^64 - 1 bytes", [replace(first, length=2**64 - 1), second, third])
    halves = [replace(first, length=2**51), replace(second, length=2**51), third]
    yield lists("sum-4-pib", "2^51 bytes twice", halves)
    wraps = [replace(first, length=2**63), replace(second, length=2**63 + 3), third]
    yield lists("sum-wraps", "2^63 bytes twice, and 3", wraps)
    little = [replace(first, length=3 << 56), second, third]
    yield lists("length-little-endian", "bytes in the other order", little)


def no_core(made):
    """Sealed under the label alone."""
    keys = objects.ChunkKeys.__new__(objects.ChunkKeys)
    derive(keys, made.data_key, made.core, drawn("object manifest", 24), MANIFEST_LABEL)
    sealed = keys.aead.encrypt(keys.nonce(0), made.manifest_plaintext(), None)
    return drawn("object manifest", 24) + keys.commitment + sealed


def derive(keys, data_key, core, salt, context):
    """As `ChunkKeys` does, under a context that no object has."""
    aead, name = objects.SUITES[core[0]]
    info = b"c2sp.org/chunked-encryption@v1+" + name + b"\0" + salt + context
    blocks, block = b"", b""
    for counter in (1, 2):
        block = hmac.digest(data_key, block + info + bytes([counter]), "sha512")
        blocks += block
    keys.aead, keys.base_nonce, keys.commitment = aead(blocks[:32]), blocks[32:44], blocks[44:76]


# What the manifest says against what there is.


def entries():
    made = small()
    first, second, third = made.entries
    one, two, three = made.components()

    def says(name, comment, entries, expect, **how):
        payload = made.payload(manifest=made.manifest(made.manifest_plaintext(entries)))
        return vector(f"entry-{name}", comment, made, payload, expect, **how)

    yield says("longer", "a byte more than the component", [replace(first, length=4), second, third], "length")
    yield says("shorter", "a byte less than the component", [replace(first, length=2), second, third], "length")
    yield says("empty", "no byte of the component", [replace(first, length=0), second, third], "length")
    yield says("last-longer", "a byte more than the last", [first, second, replace(third, length=8)], "length")
    yield says("last-shorter", "a byte less than the last", [first, second, replace(third, length=6)], "length")
    moved = [replace(first, length=4), second, replace(third, length=6)]
    yield says("byte-moved-up", "a byte of the last counts for the first", moved, "chunk", at="component 0 chunk 0")
    moved = [replace(first, length=2), second, replace(third, length=8)]
    yield says("byte-moved-down", "a byte of the first counts for the last", moved, "chunk", at="component 0 chunk 0")
    exchanged = [replace(first, length=7), second, replace(third, length=3)]
    yield says("lengths-exchanged", "lengths of two components", exchanged, "chunk", at="component 0 chunk 0")
    exchanged = [replace(first, salt=third.salt), second, replace(third, salt=first.salt)]
    yield says("salts-exchanged", "salts of two components", exchanged, "component", at="component 0")
    yield says("order", "in another order", [third, second, first], "component", at="component 0")
    yield says("moved", "the first two exchanged", [second, first, third], "component", at="component 0")
    yield says(
        "salt-bit",
        "one bit of a salt",
        [replace(first, salt=flipped(first.salt, 0)), second, third],
        "component",
        at="component 0",
    )
    last = replace(third, salt=flipped(third.salt, 23))
    yield says(
        "last-salt-bit",
        "one bit of the last salt",
        [first, second, last],
        "component",
        plain=made.parts[0],
        at="component 2",
    )
    yield says("missing", "a component is not listed", [first, third], "length")
    more = Entry(drawn("more", 24), 0)
    yield says("more", "a component that is not there", [first, second, third, more], "length")
    header_salt = replace(first, salt=made.salt)
    yield says("header-salt", "the header's salt", [header_salt, second, third], "component", at="component 0")

    def has(name, comment, components, expect, **how):
        return vector(f"component-{name}", comment, made, made.payload(components), expect, **how)

    after_one = {"plain": made.parts[0]}
    yield has("order", "two components exchanged", [three, two, one], "component", at="component 0")
    yield has("moved", "the first two exchanged", [two, one, three], "component", at="component 0")
    yield has("dropped", "a component is gone", [one, three], "length")
    yield has("twice", "a component twice", [one, one, two, three], "length")
    empty = objects.seal_payload(b"", DATA_KEY, CORE, drawn("more", 24), COMPONENT_LABEL)
    yield has("inserted", "an empty component that is not listed", [one, empty, two, three], "length")
    again = Object([3, 0, 7], seed="again")
    yield has(
        "sealed-again",
        "an older sealing of the same length",
        [again.component(0), two, three],
        "component",
        at="component 0",
    )
    same = objects.seal_payload(made.parts[0], DATA_KEY, CORE, drawn("more", 24), COMPONENT_LABEL)
    yield has("other-salt", "the same plaintext, sealed again", [same, two, three], "component", at="component 0")
    yield has("byte-more", "a byte after a component", [one + b"\0", two, three], "length")
    yield has("byte-less", "a component without its last byte", [one[:-1], two, three], "length")
    chunks = one[:56] + three[56:75]
    yield has("chunk-of-another", "bytes of another's chunk", [chunks, two, three], "chunk", at="component 0 chunk 0")
    yield has(
        "byte-shifted",
        "a byte less before, a byte more after",
        [one[:-1], two + b"\0", three],
        "chunk",
        at="component 0 chunk 0",
    )
    for name, core, data_key, label in (
        ("other-data-key", CORE, OTHER_DATA_KEY, COMPONENT_LABEL),
        ("other-flags", PADDED, DATA_KEY, COMPONENT_LABEL),
        ("other-chunk-size", bytes([1, 16, 1]), DATA_KEY, COMPONENT_LABEL),
        ("other-suite", bytes([2, 14, 1]), DATA_KEY, COMPONENT_LABEL),
        ("as-manifest", CORE, DATA_KEY, MANIFEST_LABEL),
        ("as-object", CORE, DATA_KEY, objects.OBJECT_LABEL),
    ):
        other = made.component(2, core, data_key, label)
        expect = ("component", {**after_one, "at": "component 2"})
        yield has(name, "sealed under other keys", [one, two, other], expect[0], **expect[1])
        chunks = three[:56] + other[56:]
        where = {**after_one, "at": "component 2 chunk 0"}
        yield has(f"{name}-below", "the right salt and commitment before it", [one, two, chunks], "chunk", **where)
    for name, at, bit, at_text, expect in (
        ("salt-first-bit", 0, 7, "component 2", "component"),
        ("salt-last-bit", 23, 0, "component 2", "component"),
        ("commitment-first-bit", 24, 7, "component 2", "component"),
        ("commitment-last-bit", 55, 0, "component 2", "component"),
        ("chunk-first-bit", 56, 7, "component 2 chunk 0", "chunk"),
        ("tag-last-bit", -1, 0, "component 2 chunk 0", "chunk"),
    ):
        yield has(name, "one bit", [one, two, flipped(three, at, bit)], expect, **after_one, at=at_text)
    yield has(
        "empty-tag",
        "one bit of an empty component's tag",
        [one, flipped(two, -1), three],
        "chunk",
        **after_one,
        at="component 1 chunk 0",
    )
    yield has(
        "empty-commitment",
        "one bit of an empty component's commitment",
        [one, flipped(two, 24), three],
        "component",
        **after_one,
        at="component 1",
    )
    yield from other_kinds()


def other_kinds():
    """Each kind in a component's place, as long as the entry says, under a salt that it lists."""
    made = Object([3, 36])
    one, _ = made.components()
    listing = composite.encode_manifest(Manifest([made.entries[0]]))

    def stands(name, comment, sealed):
        entry = Entry(sealed[:24], 36)
        manifest = made.manifest(made.manifest_plaintext([made.entries[0], entry]))
        payload = made.payload([one, sealed], manifest=manifest)
        return vector(f"kind-{name}", comment, made, payload, "component", plain=made.parts[0], at="component 1")

    manifest = made.manifest(listing, salt=drawn("listing", 24))
    yield stands("manifest-for-component", "a manifest, listed as a component", manifest)
    plain = objects.seal_payload(made.parts[1], DATA_KEY, CORE, made.salt)
    yield stands("object-for-component", "a payload under the header's own keys, listed as a component", plain)
    entry = Entry(drawn("receipt", 24), 36)
    receipt = composite.encode_receipt(entry, b"1".ljust(42), DATA_KEY, CORE)
    yield stands("receipt-for-component", "a receipt of the same length", receipt)
    receipt = composite.encode_receipt(made.entries[0], b"1", DATA_KEY, CORE)
    payload = made.payload(manifest=receipt.ljust(108, b"\0"))
    yield vector("kind-receipt-for-manifest", "a receipt, and zeros", made, payload, "manifest")
    payload = made.payload(manifest=one.ljust(108, b"\0"))
    yield vector("kind-component-for-manifest", "a component, and zeros", made, payload, "manifest")


# Chunks of components, and their final ones.


def seams():
    made = Object([C, 5])
    one, two = made.components()

    def has(name, comment, components, expect, **how):
        return vector(f"seam-{name}", comment, made, made.payload(components), expect, **how)

    final = {"plain": made.parts[0], "at": "component 0 chunk 1"}
    yield has("empty-final-chunk", "one bit of an empty final chunk", [flipped(one, -1), two], "chunk", **final)

    # The bytes after a component's end are the next one's: lengths that do not fit it, in an object whose own does.
    long = Object([C + 5, 5])

    def lies(name, comment, lengths, made, span=None, **how):
        entries = [replace(entry, length=length) for entry, length in zip(made.entries, lengths)]
        payload = made.payload(manifest=made.manifest(made.manifest_plaintext(entries)))
        return vector(f"seam-{name}", comment, made, payload, "chunk", span=span, at="component 0 chunk 1", **how)

    full = long.parts[0][:C]
    yield lies("entry-cut", "the entry ends at a chunk's end, the component does not", [C, 10], long, plain=full)
    yield lies("entry-cut-range", "the same, a range over the seam", [C, 10], long, f"{C - 1}..{C + 1}")
    yield lies(
        "entry-long", "the component ends at a chunk's end, the entry does not", [C + 5, 0], made, plain=made.parts[0]
    )


# Where payloads end.


def ends():
    made = small()
    payload = made.payload()
    parts = b"".join(made.components())

    def cut(name, comment, payload, expect):
        return vector(f"end-{name}", comment, made, payload, expect)

    yield cut("nothing", "no payload", b"", "truncated manifest")
    for size in (1, 3, 4, 56, 72, 183):
        yield cut(f"cut-to-{size}", f"cut to {size} bytes", payload[:size], "truncated manifest")
    yield cut("cut-byte", "without its last byte", payload[:-1], "manifest")
    yield cut("cut-claim", "without the manifest's length", payload[:-4], "manifest")
    yield cut("cut-manifest", "the components, and no manifest", parts, "manifest")
    yield cut("first-byte-gone", "without its first byte", payload[1:], "length")
    yield cut("first-component-gone", "without its first component", payload[len(made.component(0)) :], "length")
    yield cut("byte-before", "a byte before the first component", b"\0" + payload, "length")
    yield cut("byte-before-manifest", "a byte before the manifest", made.payload(padding=b"\0"), "length")
    yield cut("zeros-before-manifest", "512 zeros before the manifest", made.payload(padding=bytes(512)), "length")
    yield cut(
        "byte-after-manifest", "a byte before the manifest's length", payload[:-4] + b"\0" + payload[-4:], "manifest"
    )
    yield cut("byte-after", "a byte after the end", payload + b"\0", "manifest")
    yield cut("zeros-after", "512 zeros after the end", payload + bytes(512), "manifest")
    yield cut("twice", "the whole payload twice", payload + payload, "length")
    tail = payload[len(parts) :]
    yield cut("manifest-twice", "the manifest twice", payload + tail, "length")
    yield cut("manifest-first", "the manifest before the components", tail + parts, "manifest")


# Padded objects.


def paddings():
    made = Object([3], PADDED)
    payload = made.payload()
    size = len(payload) - len(made.component(0)) - len(made.manifest()) - 4

    def has(name, comment, padding, expect, **how):
        return vector(f"padding-{name}", comment, made, made.payload(padding=padding), expect, **how)

    nonzero = {"expect": "padding"}
    yield has("first-bit", "the padding's first bit", flipped(bytes(size), 0, 7), **nonzero)
    yield has("middle", "a bit within the padding", flipped(bytes(size), size // 2, 3), **nonzero)
    yield has("last-bit", "the padding's last bit", flipped(bytes(size), size - 1), **nonzero)
    both = bytearray(made.payload(padding=flipped(bytes(size), 0, 7)))
    both[60] ^= 1
    yield vector(
        "padding-before-chunk", "the padding, and a chunk: the padding is read first", made, bytes(both), "padding"
    )
    yield has("none", "no padding", b"", "length")
    yield has("byte-less", "a byte less", bytes(size - 1), "length")
    yield has("byte-more", "a byte more", bytes(size + 1), "length")
    to_512 = size + 512 - len(payload) % 512
    yield has("to-512", "to a multiple of 512", bytes(to_512), "length")
    front = bytes(size) + made.component(0) + made.manifest() + struct.pack(">I", len(made.manifest()))
    yield vector("padding-first", "the padding before the component", made, front, "component padding")
    last = made.component(0) + made.manifest() + struct.pack(">I", len(made.manifest())) + bytes(size)
    yield vector("padding-last", "the padding at the end", made, last, "manifest")
    two = Object([3, 4], PADDED)
    yield vector("padding-short-component", "under 5 MiB, and not the last", two, expect="manifest")
    empty = Object([0, 4], PADDED)
    yield vector("padding-empty-component", "an empty component before the last", empty, expect="manifest")
    plain = replace_core(made, CORE)
    yield vector(
        "padding-of-unpadded", "an object that is not padded", plain, plain.payload(padding=bytes(size)), "length"
    )


def replace_core(made, core):
    return Object(made.lengths, core)


# Ranges.


def ranges():
    made = Object([3, 0, 4, 0, 2])
    plain, components = made.plain, made.components()
    end = len(plain)

    def read(name, comment, span, expect="success", components=None, made=made, payload=None, **how):
        payload = made.payload(components) if payload is None else payload
        start, stop = span.split("..")
        asked = made.plain[int(start or 0) : int(stop) if stop else None] if expect == "success" else b""
        return vector(f"range-{name}", comment, made, payload, expect, asked, span, **how)

    yield read("first-byte", "one byte", "0..1")
    yield read("last-byte", "one byte", f"{end - 1}..{end}")
    yield read("within", "within a component", "4..6")
    yield read("component", "a whole component", "3..7")
    yield read("over-seam", "over an empty component", "2..4")
    yield read("over-all", "from the first component into the last", f"1..{end - 1}")
    yield read("open", "to the end", "5..")
    yield read("all", "everything", "..")
    yield read("empty", "nothing, from a seam", "3..3")
    yield read("empty-at-end", "nothing, at the end", f"{end}..{end}")
    yield read("past-end", "a byte too many", f"{end - 1}..{end + 1}", "range")
    yield read("after-end", "begins after the end", f"{end + 1}..{end + 2}", "range")
    yield read("far", "an offset of 2^63", f"{2**63}..{2**63 + 1}", "range")
    padded_one = Object([9], PADDED)
    yield read("padded", "of a padded object", "4..", made=padded_one)
    dirty = flipped(padded_one.payload(), len(padded_one.component(0)))
    yield read("beside-padding", "the padding is not zero, and not read", "4..", made=padded_one, payload=dirty)

    def with_bit(index, at):
        return [flipped(part, at) if number == index else part for number, part in enumerate(components)]

    yield read("beside-damage", "another component is altered", "3..6", components=with_bit(0, 56))
    yield read("beside-other-salt", "the first 56 bytes are not read", "3..6", components=with_bit(2, 0))
    yield read(
        "of-damage", "a byte of an altered component", "4..5", "chunk", with_bit(2, -1), at="component 2 chunk 0"
    )
    yield read(
        "over-damaged-empty",
        "over an altered empty component",
        "2..4",
        "chunk",
        with_bit(1, -1),
        at="component 1 chunk 0",
    )
    yield read("beside-damaged-empty", "it ends before an altered empty component", "1..2", components=with_bit(1, -1))
    exchanged = [components[at] for at in (0, 3, 2, 1, 4)]
    yield read("over-exchanged", "two empty components exchanged", "2..4", "chunk", exchanged, at="component 1 chunk 0")
    other = Object([3, 0, 4, 0, 2], seed="again").components()
    yield read(
        "of-another-sealing",
        "of another sealing",
        "3..4",
        "chunk",
        [*components[:2], other[2], *components[3:]],
        at="component 2 chunk 0",
    )

    long = Object([C, 5])
    one, two = long.components()
    final = {"made": long, "components": [flipped(one, -1), two]}
    yield read("before-final-chunk", "an altered final chunk, and it ends before", f"{C - 9}..{C - 1}", **final)
    yield read(
        "over-final-chunk",
        "an altered empty final chunk at a seam",
        f"{C - 1}..{C + 1}",
        "chunk",
        **final,
        at="component 0 chunk 1",
    )
    yield read(
        "to-final-chunk", "the same, it ends at the seam", f"{C - 1}..{C}", "chunk", **final, at="component 0 chunk 1"
    )
    short = Object([5, C])
    one, two = short.components()
    final = {"made": short, "components": [one, flipped(two, -1)], "at": "component 1 chunk 1"}
    yield read("open-final-chunk", "an altered final chunk at the end", f"{C}..", "chunk", **final)

    payload = made.payload()
    yield read("manifest-altered", "one bit of the manifest", "0..1", "manifest", payload=flipped(payload, -21))
    yield read("byte-before", "a byte before the first component", "0..1", "length", payload=b"\0" + payload)
    yield read("byte-after", "a byte after the end", "0..1", "manifest", payload=payload + b"\0")
    yield read("component-gone", "a component is gone", "0..1", "length", components[:-1])
    yield read("cut", "cut to the components", "0..1", "manifest", payload=b"".join(components))
    yield read(
        "empty-byte-before", "no answer of a length that does not fit", "0..0", "length", payload=b"\0" + payload
    )


# Receipts and completions.


def case(name, comment, made, expect, **fields):
    header = objects.encode_detached(made.header()).hex()
    known = {"name": name, "comment": comment, "expect": expect.split(" "), "header": header}
    return {**known, "key": f"raw {KEK.hex()}", "data_key": made.data_key.hex(), **fields}


def receipts():
    made = small()
    entry, label = made.entries[0], b"part 7"
    body = entry.salt + struct.pack(">Q", entry.length) + composite.prefixed(label)
    good = composite.encode_receipt(entry, label, DATA_KEY, CORE)

    def sound(name, comment, entry, label, made=made):
        receipt = composite.encode_receipt(entry, label, made.data_key, made.core).hex()
        facts = {"salt": entry.salt.hex(), "plaintext_len": entry.length}
        return case(name, comment, made, "success", label=label.hex(), receipt=receipt, **facts)

    def wrong(name, comment, receipt, expect="receipt", label=label):
        return case(name, comment, made, expect, label=label.hex(), receipt=receipt.hex())

    def with_mac(body, key):
        return body + hmac.digest(key, body, "sha512")[:32]

    def key_of(context, data_key=DATA_KEY):
        return hmac.digest(data_key, context + b"\x01", "sha512")[:32]

    right = key_of(b"sealstone/receipt@v1" + CORE)
    assert with_mac(body, right) == good
    cases = [
        sound("good", "a sound one", entry, label),
        sound("good-no-label", "an empty label", entry, b""),
        sound("good-long-label", "a label of 300 bytes, which are no text", entry, bytes([255]) * 300),
        sound("good-empty", "of an empty component", made.entries[1], b"2"),
        sound("good-largest", "the largest component", replace(entry, length=2**52 - 1), b"3"),
        sound("good-padded", "of a padded object", entry, label, Object([3], PADDED)),
        sound("good-chacha", "another suite and chunk size", entry, label, Object([3], bytes([2, 20, 1]))),
        wrong("label-other", "the label of another part", good, "label", b"part 8"),
        wrong("label-longer", "a label that begins so", good, "label", b"part 70"),
        wrong("label-shorter", "a label that it begins with", good, "label", b"part "),
        wrong("label-none", "no label is expected", good, "label", b""),
        wrong("nothing", "no bytes", b""),
        wrong("cut", "a byte less", good[:-1]),
        wrong("cut-mac", "without its MAC", body),
        wrong("cut-label", "it ends in the label", good[:36]),
        wrong("long", "a byte more", good + b"\0"),
        wrong("mac-zero", "zeros for the MAC", body + bytes(32)),
        wrong("mac-whole", "all 64 bytes of the MAC", body + hmac.digest(right, body, "sha512")),
        wrong("mac-last-half", "the MAC's other half", body + hmac.digest(right, body, "sha512")[32:]),
        wrong("mac-sha-256", "a MAC by HMAC-SHA-256", body + hmac.digest(right, body, "sha256")),
        wrong("key-data-key", "under the data key itself", with_mac(body, DATA_KEY)),
        wrong("key-no-core", "the key's context has no core", with_mac(body, key_of(b"sealstone/receipt@v1"))),
        wrong(
            "key-other-core", "of an object with other flags", with_mac(body, key_of(b"sealstone/receipt@v1" + PADDED))
        ),
        wrong("key-component", "under another label's key", with_mac(body, key_of(COMPONENT_LABEL + CORE))),
        wrong("key-other-object", "of another object", composite.encode_receipt(entry, label, OTHER_DATA_KEY, CORE)),
        wrong("mac-no-label", "a MAC of salt and length alone", body + with_mac(body[:32], right)[32:]),
        wrong("label-len-more", "the label is a byte longer", with_mac(body[:33] + bytes([7]) + body[34:], right)),
        wrong("label-len-less", "the label is a byte shorter", with_mac(body[:33] + bytes([5]) + body[34:], right)),
    ]
    fields = (
        ("salt", 0),
        ("salt-end", 23),
        ("length", 31),
        ("length-top", 24),
        ("label-len", 33),
        ("label", 34),
        ("mac", 40),
        ("mac-end", -1),
    )
    return cases + [wrong(f"bit-{name}", "one bit", flipped(good, at)) for name, at in fields]


def completions():
    made, padded_one = small(), Object([0], PADDED)
    salts = [drawn(f"completion {at}", 24) for at in range(4)]

    def completion(name, comment, made, expect, parts, note=b""):
        """Of (entry, label, label that is expected)."""
        listed = [{"label": wanted.hex(), "receipt": receipt.hex()} for receipt, wanted in parts]
        return case(name, comment, made, expect, parts=listed, note=note.hex())

    def of(made, lengths, salts=salts):
        entries = [Entry(salt, length) for salt, length in zip(salts, lengths)]
        labels = [str(at + 1).encode() for at in range(len(lengths))]
        signed = [
            composite.encode_receipt(entry, label, made.data_key, made.core) for entry, label in zip(entries, labels)
        ]
        return list(zip(signed, labels))

    def sound(name, comment, made, lengths, note=b""):
        manifest = Manifest([Entry(salt, length) for salt, length in zip(salts, lengths)], note)
        composite.check_manifest(manifest, made.core)
        whole, components = composite.total_len(manifest, made.core), composite.components_len(manifest, made.core)
        facts = {
            "plaintext_len": manifest.plaintext_len,
            "components_len": components,
            "padding_len": whole - components - composite.tail_len(manifest, made.core),
            "payload_len": whole,
        }
        return {**completion(name, comment, made, "success", of(made, lengths), note), **facts}

    three = of(made, [5, 0, 6])
    exchanged = [(three[1][0], b"1"), (three[0][0], b"2"), three[2]]
    again = [three[0], (composite.encode_receipt(Entry(salts[0], 5), b"2", DATA_KEY, CORE), b"2")]
    elsewhere = of(small(data_key=OTHER_DATA_KEY), [5])
    return [
        sound("good-one", "one empty component", made, [0]),
        sound("good-three", "three", made, [5, 0, 6]),
        sound("good-note", "the longest note", made, [C, C - 1], drawn("note", 256)),
        sound("good-largest", "4 PiB - 1", made, [2**51, 2**51 - 1]),
        sound("good-padded-empty", "512 bytes", padded_one, [0], drawn("note", 256)),
        sound("good-padded-two", "5 MiB, and nothing", padded_one, [PART, 0], drawn("note", 256)),
        sound("good-padded-uneven", "parts of several lengths", padded_one, [PART + 1, 3 * PART - 1, PART, 7]),
        sound("good-padded-short-last", "only the last is short", padded_one, [PART, 1]),
        completion("none", "no component", made, "manifest", []),
        completion("label-exchanged", "two receipts exchanged", made, "label", exchanged),
        completion("label-repeated", "one receipt for two parts", made, "label", [three[0], (three[0][0], b"2")]),
        completion("salt-twice", "one sealing under two labels", made, "manifest", again),
        completion("of-another-object", "a receipt of another object", made, "receipt", elsewhere),
        completion("of-plain-flags", "receipts of a padded object", made, "receipt", of(padded_one, [5])),
        completion("mac-altered", "one bit of a MAC", made, "receipt", [three[0], (flipped(three[1][0], -1), b"2")]),
        completion("length-altered", "one bit of a length", made, "receipt", [(flipped(three[0][0], 31), b"1")]),
        completion("length-4-pib", "2^52 bytes, and a right MAC", made, "manifest", of(made, [2**52])),
        completion("length-huge", "2^64 - 1 bytes, and a right MAC", made, "manifest", of(made, [2**64 - 1])),
        completion("sum-wraps", "2^63 bytes twice, and 3", made, "manifest", of(made, [2**63, 2**63 + 3])),
        completion("sum-4-pib", "2^52 bytes in all", made, "manifest", of(made, [2**51, 2**51])),
        completion("note-257", "a note of 257 bytes", made, "manifest", three, bytes(257)),
        completion(
            "padded-short-first",
            "a byte under 5 MiB, and not the last",
            padded_one,
            "manifest",
            of(padded_one, [PART - 1, 0]),
        ),
        completion(
            "padded-short-middle", "the second is short", padded_one, "manifest", of(padded_one, [PART, 0, PART])
        ),
        completion(
            "padded-empty-first", "an empty one before the last", padded_one, "manifest", of(padded_one, [0, PART])
        ),
    ]


def padded():
    cases = []
    for log2 in (14, 16, 18, 20):
        chunk = 1 << log2
        around = [0, chunk, PART, PART + chunk, 9999 * PART, 10_000 * PART, 30_000 * PART]
        lengths = sorted({at + step for at in around for step in (-1, 0) if at + step >= 0} | {1, 2**52 - 1})
        image = {composite.padded_len(length, chunk): length for length in lengths}
        # Next to them, and those that are in no image.
        near = {length + step for length in image for step in (-128, -16, -1, 0, 1)} | {0}
        for length in sorted(at for at in near if at >= 0):
            try:
                found = composite.unpadded_len(length, chunk)
            except objects.Refused:
                found = None
            assert image.get(length, found) == found
            cases.append({"chunk_size": chunk, "payload_len": length, "plaintext_len": found})
    return cases


if __name__ == "__main__":
    main()
