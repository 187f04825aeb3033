"""Which test runs which line: gcov's counters, one folder a test, read when a mutant asks."""
import functools
import json
import pathlib
import shutil
import threading

from mutation.suites import all_suites, measure
from mutation.tree import checked


class Coverage:
    def __init__(self, tree, python, jobs):
        self.tree, self.folder = tree, tree.work / "counters"
        self.reading = threading.Lock()  # two mutants of one file ask at once
        record = self.folder / "record.json"
        if not record.exists() or json.loads(record.read_text())["version"] != tree.version:
            self._collect(python, jobs, record)

    def _collect(self, python, jobs, record):
        """Every test once, each with counters of its own. (Folders are named by number: names have slashes.)"""
        where = self.tree.work / "coverage"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.tree.build("coverage", jobs)
        suites = all_suites(self.tree, "coverage", python)
        for number, suite in enumerate(suites):
            (self.folder / str(number)).mkdir(parents=True)
            (self.folder / str(number) / "name").write_text(suite.name)
        measure(suites, "coverage", where / "bin" / "norn", where / "lib", jobs,
                lambda number: {"GCOV_PREFIX": str(self.folder / str(number))})
        record.write_text(json.dumps({"version": self.tree.version}))

    @functools.lru_cache(maxsize=None)
    def lines(self, path):
        """{test: lines that it runs} and the set of all lines that can run."""
        words, directory, output = self.tree.commands["coverage"][path]
        del words
        counters = pathlib.Path(directory, output).with_suffix(".gcda")
        runs, known = {}, set()
        for folder in (path.parent for path in self.folder.glob("*/name")):
            data = pathlib.Path(f"{folder}{counters}")
            if not data.is_file():
                continue
            notes = data.with_suffix(".gcno")
            if not notes.exists():
                notes.symlink_to(counters.with_suffix(".gcno"))
            report = json.loads(checked(["gcov", "--json-format", "--stdout", data]).splitlines()[0])
            own = [line for file in report["files"] if file["file"].endswith(path) for line in file["lines"]]
            known.update(line["line_number"] for line in own)
            runs[(folder / "name").read_text()] = {line["line_number"] for line in own if line["count"]}
        return runs, known

    def tests_of(self, site):
        """Tests that run a site's line, or, when its statement began before, the last line that has code.

        A table has no code: then every test that runs anything of the file."""
        with self.reading:
            runs, known = self.lines(site.path)
        before = [number for number in known if number <= site.line]
        if not before or not site.runs:
            return {name for name, lines in runs.items() if lines or not known}
        return {name for name, lines in runs.items() if max(before) in lines}
