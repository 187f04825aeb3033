#!/usr/bin/env python3
"""Refuse an #include across an undeclared edge between the folders of src/, and circles between rooms.

usage: edges.py SOURCE_DIR EDGES_FILE

EDGES_FILE has a line `folder: direct depends` for each module (CMake writes it from norn_module), and a line
`folder.tests: more` where tests beside the code see more; all tests may include testing/. Depends are transitive.
A line `folder/room: neighbours` says which other folders in its own a room may include; these are not transitive, and
tests may include any. Every folder may include itself and include/norn; include/norn only itself.
A file is a header with its source; files that include each other, over others too, must lie in one
folder, which also holds for folders within a module (serve/http and serve).
"""
import graphlib
import pathlib
import re
import sys

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
SOURCES = {".c", ".h", ".cu", ".cuh", ".inc"}


def read_edges(path):
    direct = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if line.strip():
            name, _, depends = line.partition(":")
            direct[name.strip()] = depends.split()
    return direct


def reachable(direct, name, path=()):
    if name in path:
        raise ValueError("the declared edges have a cycle: " + " -> ".join((*path, name)))
    found = {name}
    for depend in direct.get(name, []):
        found |= reachable(direct, depend, (*path, name))
    return found


def check_file(path, shown, folder, allowed, folders):
    problems = []
    text = path.read_text(errors="replace")
    for match in INCLUDE.finditer(text):
        target = match.group(1)
        line = text.count("\n", 0, match.start()) + 1
        first = target.split("/")[0]
        where = f"{shown}:{line}: includes \"{target}\""
        if ".." in target.split("/"):
            problems.append(f"{where}: write the path from src/, without '..'")
        elif first == "norn":
            continue
        elif first not in folders:
            problems.append(f"{where}: not in src/ or include/norn; write \"folder/file.h\"")
        elif first not in allowed:
            problems.append(f"{where}: src/{folder}/CMakeLists.txt declares no edge to '{first}'"
                            if folder else f"{where}: include/norn may include nothing else")
    return problems


def check_rooms(source, direct):
    """Includes from room to room of one module that are not declared, where any are."""
    divided = {name.split("/")[0] for name in direct if "/" in name}
    for path in sorted((source / "src").rglob("*")):
        module, *inside = path.relative_to(source / "src").parts
        if module not in divided or len(inside) < 2 or path.suffix not in SOURCES or is_test(path):
            continue
        room = inside[0]
        if f"{module}/{room}" not in direct:
            yield f"src/{module}/{room}: src/{module}/CMakeLists.txt says nothing of this room"
            continue
        for target in INCLUDE.findall(path.read_text(errors="replace")):
            other = target.split("/")
            if len(other) > 2 and other[0] == module and other[1] not in (room, *direct[f"{module}/{room}"]):
                yield f"{path.relative_to(source)}: includes \"{target}\": src/{module}/CMakeLists.txt declares no edge from {room} to {other[1]}"


def circles(source):
    """Files of several folders that include each other, tests left out."""
    graph = {}
    for path in sorted((source / "src").rglob("*")):
        if path.suffix not in SOURCES or not path.is_file() or is_test(path):
            continue
        own = path.relative_to(source / "src").with_suffix("").as_posix()
        found = {target.rsplit(".", 1)[0] for target in INCLUDE.findall(path.read_text(errors="replace"))}
        graph.setdefault(own, set()).update(found - {own})
    while True:
        try:
            tuple(graphlib.TopologicalSorter(graph).static_order())
            return
        except graphlib.CycleError as error:
            circle = error.args[1]
        if len({name.rsplit("/", 1)[0] for name in circle}) > 1:
            yield circle
        graph[circle[1]].discard(circle[0])  # the sorter names a circle against the arrows


def is_test(path):
    return path.stem.endswith(("_test", "_fuzz"))


def check(source, direct):
    source = pathlib.Path(source)
    folders = {p.name for p in (source / "src").iterdir() if p.is_dir()}
    problems = []
    trees = [(source / "include", None, set())]
    for name in sorted(folders):
        if name not in direct:
            if not (source / "src" / name / "CMakeLists.txt").exists():
                continue  # not in the build yet
            problems.append(f"src/{name}: its CMakeLists.txt calls no norn_module")
            continue
        trees.append((source / "src" / name, name, reachable(direct, name)))
    for_tests = {name: {"testing"}.union(*(reachable(direct, more) for more in direct.get(f"{name}.tests", [])))
                 for name in folders}
    files = 0
    for root, folder, allowed in trees:
        for path in sorted(root.rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                files += 1
                more = for_tests[folder] if folder and is_test(path) else set()
                problems += check_file(path, path.relative_to(source), folder, allowed | more, folders)
    problems += check_rooms(source, direct)
    problems += [f"src: a circle between folders: {' -> '.join(reversed(circle))}" for circle in circles(source)]
    return files, problems


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    files, problems = check(sys.argv[1], read_edges(sys.argv[2]))
    for problem in problems:
        print(problem)
    print(f"{files} files, {len(problems)} includes across undeclared edges or around a circle")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
