#!/usr/bin/env python3
"""Every published crate can be packaged, and its package has a README and both licences.

Does not build the packages: the tests have built the same sources.
"""

import subprocess
import tarfile

from common import ROOT, metadata, target

NEEDED = {"README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.toml"}


def main():
    crates = [package for package in metadata("--no-deps")["packages"] if package["publish"] != []]
    packages = [word for crate in crates for word in ("-p", crate["name"])]
    subprocess.run(["cargo", "package", "--locked", "--allow-dirty", "--no-verify", *packages], cwd=ROOT, check=True)
    faults = [fault for crate in crates for fault in faults_of(crate)]
    print(f"{len(crates)} packages: {', '.join(crate['name'] for crate in crates)}")
    if faults or not crates:
        raise SystemExit("\n".join(faults))


def faults_of(crate):
    name = f"{crate['name']}-{crate['version']}"
    with tarfile.open(target() / "package" / f"{name}.crate") as package:
        files = {member.name.removeprefix(f"{name}/"): member for member in package.getmembers()}
    faults = [f"{name} has no {needed}" for needed in sorted(NEEDED - files.keys())]
    faults += [f"{name}: {path} is empty" for path in sorted(NEEDED & files.keys()) if files[path].size == 0]
    faults += [f"{name}: {key} is missing in its Cargo.toml" for key in ("description", "license") if not crate[key]]
    return faults


main()
