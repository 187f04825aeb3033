"""The example models and the MovieLens package, by onnxruntime's account."""

import json
import pathlib
import sys
import tempfile
import unittest

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "python")]

from examples import models  # noqa: E402
from examples.models.check import check_model, session  # noqa: E402
from norn import export  # noqa: E402
from norn import package as packages  # noqa: E402

MOVIELENS = REPOSITORY / "examples" / "movielens" / "repository" / "movielens" / "1"


class ExampleModels(unittest.TestCase):
    def test_every_form_of_every_model_agrees_and_spreads_its_scores(self):
        for name in models.NAMES:
            with self.subTest(model=name):
                self.assertEqual(list(check_model(name, "small", (1, 7, 64, 1000), 1, 2)), [])

    def test_ids_stay_inside_their_tables(self):
        for name in models.NAMES:
            feeds = models.inputs(name, "small", 500, seed=3)
            for tensor, array in feeds.items():
                if array.dtype == np.int64 and tensor != "hashed":
                    self.assertGreaterEqual(array.min(), 0, f"{name} {tensor}")
        sparse = models.inputs("dlrm", "small", 4000, seed=3)["sparse"]
        np.testing.assert_array_less(sparse.max(axis=0), models.config("dlrm", "small").rows)


class MovieLensPackage(unittest.TestCase):
    def test_the_committed_package_is_whole_and_scores(self):
        package = packages.Package(MOVIELENS)
        tables = {attribute.s.decode() for node in package.model().graph.node
                  for attribute in node.attribute if attribute.name == "table"}
        self.assertEqual(tables, {"user", "item", "occupation", "age", "year", "liked",
                                  "disliked", "genre"})
        rows = {name: len(package.table(name)["rows"]) for name in tables}
        self.assertEqual((rows["user"], rows["item"], rows["liked"]), (943, 1682, 1683))
        with tempfile.TemporaryDirectory() as scratch:
            twin = export.to_standard_ops(MOVIELENS, pathlib.Path(scratch) / "twin.onnx")[0]
            oracle = session(twin, 2)
            rng = np.random.default_rng(0)
            feeds = {"user_id": rng.integers(0, 943, 200), "item_id": rng.integers(0, 1682, 200),
                     "gender": rng.integers(0, 2, 200), "occupation": rng.integers(0, 21, 200),
                     "age_band": rng.integers(0, 16, 200), "year_band": rng.integers(0, 20, 200),
                     "liked": rng.integers(0, 1683, (200, 50)),
                     "disliked": rng.integers(0, 1683, (200, 50)),
                     "genres": rng.integers(0, 20, (200, 6)),
                     "user_dense": rng.standard_normal((200, 3), np.float32),
                     "item_dense": rng.standard_normal((200, 3), np.float32)}
            scores = oracle.run(["score"], feeds)[0]
        self.assertEqual(scores.shape, (200,))
        self.assertTrue(((scores > 0) & (scores < 1)).all())
        self.assertGreater(scores.std(), 0.05)
        trained = json.loads((MOVIELENS.parents[2] / "training.json").read_text())
        self.assertGreaterEqual(trained["auc"], 0.80)

    def test_every_table_file_is_read_by_the_model(self):
        files = {path.stem for path in (MOVIELENS / "tables").glob("*.safetensors")}
        named = {attribute.s.decode() for node in packages.Package(MOVIELENS).model().graph.node
                 for attribute in node.attribute if attribute.name == "table"}
        self.assertEqual(files, named)


if __name__ == "__main__":
    unittest.main()
