#!/usr/bin/env python3
"""Every published crate can be packaged, and its package has a README and both licences.

    packages.py

What `cargo package` builds from the package is not built here: the tests have built it.
"""

import json
import pathlib
import subprocess
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
NEEDED = {"README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.toml"}


def main():
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    crates = [package for package in metadata["packages"] if package["publish"] != []]
    packaged = ["cargo", "package", "--locked", "--allow-dirty", "--no-verify"]
    for crate in crates:
        packaged += ["-p", crate["name"]]
    subprocess.run(packaged, cwd=ROOT, check=True)
    faults = [fault for crate in crates for fault in faults_of(crate, pathlib.Path(metadata["target_directory"]))]
    print(f"{len(crates)} packages: {', '.join(crate['name'] for crate in crates)}")
    if faults or not crates:
        raise SystemExit("\n".join(faults))


def faults_of(crate, target):
    name = f"{crate['name']}-{crate['version']}"
    with tarfile.open(target / "package" / f"{name}.crate") as package:
        files = {member.name.removeprefix(f"{name}/"): member for member in package.getmembers()}
    faults = [f"{name} has no {needed}" for needed in sorted(NEEDED - files.keys())]
    faults += [f"{name}: {path} is empty" for path in sorted(NEEDED & files.keys()) if files[path].size == 0]
    faults += [f"{name}: {key} is missing in its Cargo.toml" for key in ("description", "license") if not crate[key]]
    return faults


main()
