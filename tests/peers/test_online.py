"""The MovieLens example of freshness, on ratings made up so that what is liked changes with time."""

import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from examples.movielens import factors, online, plot  # noqa: E402
from norn import export  # noqa: E402
from norn.publish import Publisher  # noqa: E402

NORN = os.environ.get("NORN", str(ROOT / "build/release/bin/norn"))
USERS, ITEMS, COUNT = 60, 10, 4000


def ratings():
    """Even films are liked before the cut, odd ones after it, when new users come too."""
    rng = np.random.default_rng(4)
    after = np.arange(COUNT) >= COUNT // 2
    user, item = rng.integers(0, USERS - 10, COUNT), rng.integers(0, ITEMS, COUNT)
    user[after] = rng.integers(0, USERS, after.sum())
    liked = (item % 2 == after) ^ (rng.random(COUNT) < 0.1)
    return user, item, liked.astype(np.float32)


class Freshness(unittest.TestCase):
    def test_the_fresher_the_better_and_what_is_served_is_what_was_trained(self):
        served = []

        class Watched(online.Offline):
            def follow(self, trained):
                super().follow(trained)
                served.append((self.model.copy(), trained.copy()))
        results = online.run(*ratings(), USERS, ITEMS, (0, 500, 50), 0, Watched)
        aucs = [result["all"] for result in results]
        self.assertEqual([result["publishes"] for result in results], [0, 4, 40])
        self.assertGreater(aucs[1], aucs[0] + 0.1)
        self.assertGreater(aucs[2], aucs[1] + 0.05)
        self.assertEqual(len(served), 1 + 1 + 4 + 1 + 40)
        for found, trained in served:
            np.testing.assert_array_equal(found.user, trained.user)
            np.testing.assert_array_equal(found.item, trained.item)
            np.testing.assert_array_equal(found.shift, trained.shift)

    def test_the_model_scores_as_numpy_does(self):
        model = factors.Factors(USERS, ITEMS, 1)
        user, item, label = ratings()
        model.learn(user[:500], item[:500], label[:500])
        model.shift[:] = 0  # the initializer's; a delta carries another
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            Publisher(folder / "factors", {"user": model.user, "item": model.item}).full(
                factors.write_model)
            export.to_standard_ops(folder / "factors" / "1", folder / "twin.onnx")
            session = export.check.open_standard(folder / "twin.onnx")
            scores, = session.run(None, {"user_id": user[500:], "item_id": item[500:]})
        np.testing.assert_allclose(scores, model.score(user[500:], item[500:]), rtol=1e-5)

    @unittest.skipUnless(os.access(NORN, os.X_OK) and online.knows_follow(NORN),
                         "there is no norn that follows")
    def test_the_server_gives_the_scores_of_the_log_read_back(self):
        offline = online.run(*ratings(), USERS, ITEMS, (250,), 0, online.Offline)
        served = online.run(*ratings(), USERS, ITEMS, (250,), 0,
                            lambda folder: online.Served(folder, NORN))
        self.assertEqual(served[0]["publishes"], 8)
        for name in ("all", "known", "new"):
            self.assertAlmostEqual(served[0][name], offline[0][name], delta=2e-4)

    def test_a_norn_that_does_not_follow_is_said(self):
        with unittest.mock.patch.object(online, "knows_follow", return_value=False):
            with self.assertRaisesRegex(SystemExit, "does not know --follow; use --offline"):
                online.main([])


class Plot(unittest.TestCase):
    def test_a_plot_has_a_point_for_each_value_in_its_place(self):
        svg = plot.lines("a < b", ["x", "y", "z"], {"one": [0.5, 0.6, 0.7], "two": [0.5, 0.5, 0.52]})
        root = xml.etree.ElementTree.fromstring(svg)
        space = "{http://www.w3.org/2000/svg}"
        points = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{space}circle")]
        self.assertEqual(len(points), 6)
        self.assertTrue(points[0][1] > points[1][1] > points[2][1])
        self.assertAlmostEqual(points[1][0] - points[0][0], points[2][0] - points[1][0], delta=0.2)
        texts = [text.text for text in root.iter(f"{space}text")]
        self.assertIn("a < b", texts)
        self.assertTrue(all(50 <= y <= 350 for _, y in points))


if __name__ == "__main__":
    unittest.main()
