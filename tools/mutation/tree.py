"""A scratch copy of the working tree and three builds of it; mutants never touch either.

A mutant is one object compiled from a changed copy of one file, and one libnorn.so (or one norn) linked
with it. Test programs of these builds link libnorn.so, so LD_LIBRARY_PATH puts a mutant under all of
them, and nothing else is built again.
"""
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess

COMMON = ["-DNORN_TESTS_SHARED=ON", "-DNORN_WITH_CUDA=OFF", "-DNORN_WERROR=OFF",
          "-DCMAKE_LINK_DEPENDS_NO_SHARED=ON", "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--enable-new-dtags"]
BUILDS = {  # no debug information: objects are compared
    "plain": ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O2"],
    "asan": ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O1", "-DNORN_SANITIZE=address,undefined"],
    "coverage": ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0 --coverage -fprofile-update=atomic"],
}
COUNTED = ("src", "include", "tests", "cmake", "bench", "examples", "python")  # a change here is a new version
# Types that do not fit are no mutant: a compiler sees them.
STRICT = ["-w", "-Werror=incompatible-pointer-types", "-Werror=int-conversion",
          "-Werror=implicit-function-declaration"]


class BuildError(RuntimeError):
    pass


def checked(command, **more):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            errors="replace", check=False, **more)
    if result.returncode:
        raise BuildError(f"{shlex.join(map(str, command))}:\n{(result.stdout + result.stderr)[-3000:]}")
    return result.stdout


def same_bytes(a, b):
    return b.is_file() and a.stat().st_size == b.stat().st_size and a.read_bytes() == b.read_bytes()


class Tree:
    def __init__(self, root, work):
        self.root, self.work, self.copy = root, work, work / "tree"
        self.commands, self.links = {}, {}

    def refresh(self):
        """Make the copy what the working tree is: tracked files and new ones that git does not ignore."""
        listed = checked(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=self.root)
        names = {name for name in listed.split("\0") if name and (self.root / name).is_file()}
        digest = hashlib.sha256()
        for name in sorted(names):
            source, target = self.root / name, self.copy / name
            if name.split("/")[0] in COUNTED:
                digest.update(name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
            if not same_bytes(source, target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)  # the time is now: build systems see a change
        for path in self.copy.rglob("*"):
            inside = path.relative_to(self.copy)
            if path.is_file() and inside.parts[0] != "build" and str(inside) not in names:
                path.unlink()
        self.version = digest.hexdigest()[:16]

    def write_cases(self, python):
        """ONNX's cases, where the tests of the copy look for them."""
        writer = self.copy / "tests" / "peers" / "conformance_cases.py"
        if writer.exists():
            for kind, more in (("cases", []), *((kind, [f"--{kind}"]) for kind in ("dynamic", "unknown", "rows", "broken", "near"))):
                checked([python, writer, *more, self.copy / "build" / f"conformance-{kind}"])

    def build(self, kind, jobs):
        where = self.work / kind
        if not (where / "build.ninja").exists():
            checked(["cmake", "-S", self.copy, "-B", where, "-G", "Ninja", *COMMON, *BUILDS[kind]])
        checked(["ninja", "-C", where, f"-j{jobs}"])
        entries = json.loads((where / "compile_commands.json").read_text())
        self.commands[kind] = {os.path.relpath(e["file"], self.copy): self._compile_of(e) for e in entries}
        for target in ("lib/libnorn.so", "bin/norn"):
            if (where / target).exists():
                lines = checked(["ninja", "-C", where, "-t", "commands", target]).splitlines()
                self.links[kind, target] = [line for line in lines if f"-o {target}" in line][-1]

    @staticmethod
    def _compile_of(entry):
        words = shlex.split(entry["command"])
        first = next(i for i, word in enumerate(words)
                     if pathlib.Path(word).name in ("cc", "gcc", "clang", "x86_64-linux-gnu-gcc"))
        return words[first:], entry["directory"], words[words.index("-o") + 1]

    def files(self, pattern):
        """Sources that become part of the library or the program, and that this processor can run."""
        paths = (str(path.relative_to(self.copy)) for path in (self.copy / "src").rglob("*.c"))
        cannot_run = () if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else ("_avx512.c",)
        return sorted(path for path in paths
                      if path in self.commands["plain"] and not path.startswith(("src/cuda/", "src/testing/"))
                      and not (cannot_run and path.endswith(cannot_run))
                      and not path.endswith(("_test.c", "_fuzz.c")) and pathlib.PurePath(path).match(pattern))

    def text(self, path):
        return (self.copy / path).read_text()

    # ---- one mutant

    def compile(self, kind, path, text, folder):
        """The object of a changed file, or None when it does not compile."""
        words, directory, output = self.commands[kind][path]
        source, made = folder / "source" / path, folder / f"{kind}.o"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        words = [str(source) if os.path.join(directory, w) == str(self.copy / path) else w for w in words]
        words[words.index(output)] = str(made)
        command = [*words, *STRICT, f"-ffile-prefix-map={folder / 'source'}=."]
        done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return made if done.returncode == 0 else None

    def link(self, kind, path, made, folder):
        """Environment and program in which the object takes the place of the file's own."""
        target = "bin/norn" if path.startswith("src/cli/") else "lib/libnorn.so"
        where, out = self.work / kind, folder / kind / target
        out.parent.mkdir(parents=True, exist_ok=True)
        output = self.commands[kind][path][2]
        line = self.links[kind, target].replace(f"-o {target}", f"-o {out}")
        if output in line.split():
            line = line.replace(output, str(made))
        else:  # in an archive: an object before it has every symbol already
            line = line.replace(f"-o {out}", f"{made} -o {out}")
        checked(["sh", "-c", line], cwd=where)
        library = folder / kind / "lib" if target.startswith("lib/") else where / "lib"
        return library, out if target == "bin/norn" else where / "bin" / "norn"
