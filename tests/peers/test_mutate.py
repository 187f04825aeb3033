"""tools/mutate on a project of one file: what is tested is caught, what is not survives, and by name."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

from mutation import known, sites  # noqa: E402

CMAKE = """
cmake_minimum_required(VERSION 3.22)
project(small C)
enable_testing()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NORN_SANITIZE)
    add_compile_options(-fsanitize=${NORN_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${NORN_SANITIZE})
endif()
add_library(small SHARED src/small/small.c)
set_target_properties(small PROPERTIES OUTPUT_NAME norn)
add_executable(check src/small/check.c)
target_link_libraries(check small)
add_test(NAME small/check COMMAND check)
"""
SOURCE = """\
/* a comment: 1 < 2 */
int sum(const int *x, int n);
int nobody(int a, int b);
static const char *const text = "3 + 4";
int sum(const int *x, int n) {
    int total = 0;
    for (int i = 0; i < n; i++) total += x[i];
    return total + (text[0] == '3');
}
int nobody(int a, int b) {
    return a - b;
}
"""
CHECK = """\
#include <stdlib.h>
int sum(const int *x, int n);
int main(void) {
    int *x = calloc(7, sizeof *x), bad;
    x[0] = 5, x[6] = 2;
    bad = sum(x, 7) != 8;
    free(x);
    return bad;
}
"""


class Sites(unittest.TestCase):
    def changes(self, text):
        return {(site.kind, *sites.difference(site, text)) for site in sites.sites_of("a.c", text)}

    def test_words_types_and_pointers_stay(self):
        for text in ("// i < n\n", '/* 1 + 2 */\n', "#define N 4\n",
                     'static const char *a = "x - y";\n', "int *f(const char *a, int *b);\n"):
            self.assertEqual(self.changes(text), set(), text)

    def test_operators_constants_conditions_arguments_and_statements_change(self):
        text = "int f(int a, int b) {\n    if (a < b) a = g(a, b);\n    return a + 1;\n}\n"
        old = "if (a < b) a = g(a, b);"
        found = self.changes(text)
        for kind, before, after in (("operator", old, "if (a <= b) a = g(a, b);"),
                                    ("condition", old, "if (!(a < b)) a = g(a, b);"),
                                    ("arguments", old, "if (a < b) a = g(b, a);"),
                                    ("statement", old, "if (a < b) ;"),
                                    ("constant", "return a + 1;", "return a + 2;"),
                                    ("operator", "return a + 1;", "return a - 1;"),
                                    ("return", "return a + 1;", "return 0;")):
            self.assertIn((kind, before, after), found)

    def test_the_lesser_of_two_equals_is_either(self):
        def operators(line):
            return {new for kind, _, new in self.changes(f"int f(int a, int b) {{\n    {line}\n}}\n") if kind == "operator"}
        for line in ("x = a < b ? a : b;", "return a->x < b[i] ? b[i] : a->x;", "if (a < b) a = b;", "if (a < 1) a = 1;"):
            self.assertEqual(operators(line), {line.replace("<", ">")}, line)
        for line in ("x = a < b ? a : c;", "x = c.a < b ? a : b;", "x = c - a < b ? a : b;", "x = a < b ? a : b + 1;",
                     "if (a < b) a = c;", "x = a < b[1] ? a : b;"):
            self.assertIn(line.replace("<", "<="), operators(line), line)

    def test_more_room_is_no_change_and_less_is(self):
        for text, less in (("float sum[4];\n", {"float sum[3];"}),
                           ("char *p[4][6];\n", {"char *p[3][6];", "char *p[4][5];"}),
                           ("static int f(void) {\n    NORN_TRY(NORN_NEW_ARRAY(a, n + 2, &x));\n}\n",
                            {"NORN_TRY(NORN_NEW_ARRAY(a, n + 1, &x));"})):
            self.assertEqual({new for kind, _, new in self.changes(text) if kind == "constant"}, less)
        for index in ("return x[2];", "y = x[2];", "a = b * x[2];", "*x[2] = y;", "x[2] = y;", "f(x[2]);"):
            found = {new for kind, _, new in self.changes(f"int f(int *x) {{\n    {index}\n}}\n") if kind == "constant"}
            self.assertEqual(found, {index.replace("2", "3"), index.replace("2", "1")})

    def test_a_constant_that_is_only_speed_is_known_by_its_name(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("# words\na.c ~ speed ~ GRAIN ~ * ~ work of a piece\na.c ~ same ~ x = 1; ~ x = 2; ~ never read\n")
            file.flush()
            tuning = known.Known(pathlib.Path(file.name))
        old = "enum { LIMIT = 4, GRAIN = 64 * 1024 };"
        self.assertTrue(tuning.is_tuning("a.c", old, old.replace("1024", "1023")))
        self.assertTrue(tuning.is_tuning("a.c", old, old.replace("*", "+")))
        self.assertFalse(tuning.is_tuning("a.c", old, old.replace("4,", "5,")))
        self.assertFalse(tuning.is_tuning("b.c", old, old.replace("1024", "1023")))
        self.assertFalse(tuning.is_tuning("a.c", "x = 1;", "x = 2;"))
        self.assertTrue(tuning.reason("a.c", "x = 1;", "x = 2;").excused)
        self.assertIsNone(tuning.reason("a.c", "x = 1;", "x = 3;"))

    def test_a_loop_head_is_no_statement(self):
        text = "void f(int n) {\n    for (int i = 0; i < n; i++) g();\n}\n"
        self.assertIn(("statement", "for (int i = 0; i < n; i++) g();", "for (int i = 0; i < n; i++) ;"),
                      self.changes(text))
        self.assertFalse([c for c in self.changes(text) if c[0] == "statement" and "i < n" not in c[2]])

    def test_a_change_is_one_line_and_nothing_else(self):
        for site in sites.sites_of("a.c", SOURCE):
            changed = sites.apply(site, SOURCE)
            before, after = SOURCE.splitlines(), changed.splitlines()
            self.assertEqual(len(before), len(after))
            self.assertEqual([i + 1 for i, (a, b) in enumerate(zip(before, after)) if a != b], [site.line])


@unittest.skipUnless(all(map(shutil.which, ("cmake", "ninja", "gcov", "git"))), "needs cmake, ninja, gcov and git")
class Tool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        root = pathlib.Path(cls.scratch.name)
        (root / "src" / "small").mkdir(parents=True)
        (root / "CMakeLists.txt").write_text(CMAKE)
        (root / ".gitignore").write_text("build/\n")
        (root / "src" / "small" / "small.c").write_text(SOURCE)
        (root / "src" / "small" / "check.c").write_text(CHECK)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        command = [sys.executable, str(REPOSITORY / "tools" / "mutate"), "--root", str(root), "--python", "/none",
                   "--path", "small.c", "--count", "99", "--seed", "4"]
        cls.runs = [subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
                    for _ in range(2)]
        cls.output = cls.runs[0].stdout + cls.runs[0].stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def survivors(self):
        return self.output.split(" survived:")[1]

    def test_a_change_that_a_test_sees_is_caught_and_says_by_whom(self):
        self.assertRegex(self.output, r"small\.c:8 operator: small/check ", self.output)
        self.assertNotIn("- return total + (text[0] == '3');\n  + return total - (text[0] == '3');", self.survivors())

    def test_reading_one_past_the_end_is_caught_by_the_sanitizer(self):
        self.assertNotIn("+ for (int i = 0; i <= n; i++) total += x[i];", self.survivors())

    def test_a_line_that_no_test_runs_survives_and_is_named(self):
        self.assertIn("small.c:11 operator, no tests run it\n  - return a - b;\n  + return a + b;", self.output)
        self.assertEqual(self.runs[0].returncode, 1)

    def test_a_seed_makes_the_same_changes_again(self):
        named = [re.findall(r"^ +\d+ (\S+ \w+): (\S+)", run.stdout, re.M) for run in self.runs]
        self.assertEqual(named[0], named[1])
        self.assertGreater(len(named[0]), 10)


if __name__ == "__main__":
    unittest.main()
