#!/usr/bin/env python3
"""The edge check refuses what it must: run on small trees made here."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import edges  # noqa: E402

DIRECT = {"base": [], "tensor": ["base"], "graph": ["tensor"]}


class Edges(unittest.TestCase):
    def problems(self, files, direct=DIRECT):
        with tempfile.TemporaryDirectory() as root:
            tree = {"src/base/a.h": "", "src/tensor/b.h": "", "src/graph/c.h": "",
                    "include/norn/n.h": ""}
            for name, text in (tree | files).items():
                path = pathlib.Path(root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return edges.check(root, direct)[1]

    def test_a_transitive_edge_is_allowed(self):
        self.assertEqual(self.problems({"src/graph/c.c": '#include "base/a.h"\n#include "norn/n.h"\n'}), [])

    def test_an_upward_include_is_refused_with_its_line(self):
        found = self.problems({"src/base/a.c": '#include "base/a.h"\n# include "graph/c.h"\n'})
        self.assertEqual(len(found), 1)
        self.assertIn("src/base/a.c:2", found[0])
        self.assertIn("no edge to 'graph'", found[0])

    def test_a_public_header_includes_only_public_headers(self):
        self.assertEqual(len(self.problems({"include/norn/m.h": '#include "base/a.h"\n'})), 1)

    def test_a_path_without_its_folder_and_a_path_with_dots_are_refused(self):
        self.assertEqual(len(self.problems({"src/base/a.c": '#include "a.h"\n'})), 1)
        self.assertEqual(len(self.problems({"src/graph/c.c": '#include "../base/a.h"\n'})), 1)

    def test_a_cycle_of_declared_edges_is_refused(self):
        with self.assertRaises(ValueError):
            self.problems({}, {"base": ["graph"], "tensor": ["base"], "graph": ["tensor"]})

    def test_files_of_two_rooms_that_include_each_other_are_refused(self):
        there = {"src/base/http/x.h": '#include "base/y.h"\n', "src/base/z.h": ""}
        back = {"src/base/y.h": '#include "base/z.h"\n', "src/base/y.c": '#include "base/http/x.h"\n'}
        self.assertEqual(self.problems(there | {"src/base/y.h": ""}), [])
        found = self.problems(there | back)
        self.assertEqual(len(found), 1)
        self.assertIn("a circle between folders: ", found[0])
        self.assertRegex(found[0], "(base/y -> base/http/x -> base/y|base/http/x -> base/y -> base/http/x)$")

    def test_a_room_includes_only_the_neighbours_that_it_says(self):
        rooms = DIRECT | {"base/http": ["io"], "base/io": []}
        files = {"src/base/http/x.h": '#include "base/io/y.h"\n#include "base/a.h"\n', "src/base/io/y.h": "", "src/base/io/y_test.c": '#include "base/http/x.h"\n'}
        self.assertEqual(self.problems(files, rooms), [])
        found = self.problems(files | {"src/base/io/w.c": '#include "base/http/x.h"\n'}, rooms)
        self.assertEqual(len(found), 1)
        self.assertIn("declares no edge from io to http", found[0])
        found = self.problems(files | {"src/base/new/z.h": ""}, rooms)
        self.assertIn("says nothing of this room", found[0])

    def test_files_of_one_room_may_include_each_other(self):
        self.assertEqual(self.problems({"src/base/x.h": '#include "base/y.h"\n', "src/base/y.c": '#include "base/x.h"\n', "src/base/y.h": ""}), [])


if __name__ == "__main__":
    unittest.main()
