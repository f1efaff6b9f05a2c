"""Checks the oldest Rust that `rust-version` in Cargo.toml promises.

No dependency may need a newer one. Then the workspace is checked with that version, if it is installed. If it is not,
clippy looks for uses of newer parts of the standard library: that finds less, and the last line says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

WORKSPACE = ["--workspace", "--all-targets", "--locked", "--quiet"]
Version = tuple[int, ...]


def main() -> int:
    """Exit code 0 if nothing speaks against the declared version."""
    packages = json.loads(output("cargo", "metadata", "--format-version=1", "--locked"))["packages"]
    declared = declared_version(packages)
    if too_new := [each for each in packages if needs(each) > padded(parsed(declared))]:
        for package in too_new:
            print(f"{package['name']} {package['version']} needs Rust {package['rust_version']}", file=sys.stderr)
        print(f"error: rust-version in Cargo.toml is {declared}", file=sys.stderr)
        return 1
    print(f"All {len(packages)} packages of Cargo.lock accept Rust {declared}.", flush=True)
    toolchain = toolchain_of(declared)
    if toolchain is None:
        run("cargo", "clippy", *WORKSPACE, "--", "--deny=clippy::incompatible_msrv", "--allow=warnings")
        print(f"Rust {declared} is not installed: clippy found no newer part of the standard library.")
        print(f"Nothing was compiled with {declared}. `rustup toolchain install {declared}` makes that possible.")
        return 0
    run("cargo", *toolchain, "check", *WORKSPACE)
    print(f"Rust {declared} compiles all crates ({output('rustc', *toolchain, '--version').strip()}).")
    return 0


def declared_version(packages: list[dict[str, Any]]) -> str:
    """What our own crates declare: all the same."""
    versions = {package["rust_version"] for package in packages if package["source"] is None}
    if len(versions) != 1 or None in versions:
        sys.exit(f"error: the crates of the workspace declare different versions of Rust: {versions}")
    return versions.pop()


def toolchain_of(declared: str) -> list[str] | None:
    """The argument that chooses an installed toolchain of this version, `[]` for the active one, or None."""
    choices: list[list[str]] = [[]]
    if shutil.which("rustup"):
        names = output("rustup", "toolchain", "list", "--quiet").split()
        choices += [[f"+{name}"] for name in names]
    for choice in choices:
        version = output("rustc", *choice, "--version").split()[1]
        if "-" not in version and parsed(version)[:2] == parsed(declared)[:2]:
            return choice
    return None


def needs(package: dict[str, Any]) -> Version:
    """The version of Rust that a package declares, or none."""
    return padded(parsed(package["rust_version"] or "0"))


def parsed(version: str) -> Version:
    """`1.89` as (1, 89)."""
    return tuple(map(int, version.split(".")))


def padded(version: Version) -> Version:
    """1.89 and 1.89.0 are the same version."""
    return version + (0,) * (3 - len(version))


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(*command: str) -> None:
    """Run a command in the open; its failure is ours."""
    print(f"$ {' '.join(command)}", flush=True)
    code = subprocess.run(command).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
