"""Ask a running `norn serve` for films, and check what it says.

    python -m examples.movielens.demo --http localhost:8000 --grpc localhost:8001 --user 196

Shows the ten unseen films that a user would like most, scores the held-out ratings through the
server, compares every score with onnxruntime on the model's standard-operator twin, and times a
short closed loop. Exits with 1 if a check fails.
"""

import argparse
import json
import logging
import pathlib
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import tritonclient.grpc
import tritonclient.http

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "python"))

from norn import export  # noqa: E402

from . import data as movielens  # noqa: E402

MODEL = "movielens"
PACKAGE = HERE / "repository" / MODEL / "1"
RELATIVE = 1e-5    # the most that a score may differ from onnxruntime's
CHUNK = 1024       # held-out ratings a request


class Remote:
    """The model behind one protocol of the server."""

    def __init__(self, protocol, address):
        self.protocol = protocol
        self.client = protocol.InferenceServerClient(address)

    def request(self, inputs):
        tensors = []
        for name, array in inputs.items():
            kind = "INT64" if array.dtype == np.int64 else "FP32"
            tensor = self.protocol.InferInput(name, list(array.shape), kind)
            tensor.set_data_from_numpy(np.ascontiguousarray(array))
            tensors.append(tensor)
        return tensors

    def send(self, tensors):
        return self.client.infer(MODEL, tensors).as_numpy("score")

    def score(self, inputs):
        return self.send(self.request(inputs))


class Oracle:
    """onnxruntime on the package with its `ai.norn` operators rewritten into standard ones."""

    def __init__(self, package):
        with tempfile.TemporaryDirectory() as scratch:
            twin = export.to_standard_ops(package, pathlib.Path(scratch) / "twin.onnx")[0]
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            self.session = onnxruntime.InferenceSession(str(twin), options,
                                                        providers=["CPUExecutionProvider"])

    def score(self, inputs):
        rows = max(len(array) for array in inputs.values())
        full = {name: np.ascontiguousarray(np.broadcast_to(array, (rows, *array.shape[1:])))
                for name, array in inputs.items()}
        return self.session.run(["score"], full)[0]


def relative_error(scores, wanted):
    return float(np.max(np.abs(scores - wanted) / np.abs(wanted)))


def one_user_all_films(features, user):
    """One row for the user's inputs, a row a film for the others: the server repeats the user."""
    films = np.arange(len(features.data.items["id"]))
    return features.user_inputs(np.array([user])) | features.item_inputs(films)


def show_films(features, user, scores, top):
    data = features.data
    seen = data.item[data.user == user]
    unseen = np.setdiff1d(np.arange(len(scores)), seen)
    users, items = data.users, data.items
    print(f"\nUser {users['id'][user]}: {users['age'][user]:.0f} years, "
          f"{data.vocabulary['occupation'][users['occupation'][user]]}, {len(seen)} films rated")
    best_rated = data.item[(data.user == user) & (data.rating == 5) & data.train][:3]
    print(f"gave five stars to: {', '.join(items['title'][row] for row in best_rated) or '-'}")
    print(f"\n   the {top} unseen films that this user would like most")
    for place, row in enumerate(unseen[np.argsort(-scores[unseen], kind="stable")][:top], 1):
        genres = ", ".join(data.vocabulary["genre"][g] for g in items["genres"][row] if g)
        title = f"{items['title'][row]} ({items['year'][row]:.0f})"
        print(f"   {place:2}. {scores[row]:.4f}  {title:54.54} {genres}")
    print(flush=True)


def score_held_out(features, remote, oracle):
    """(scores of the server, scores of onnxruntime, labels) of the held-out ratings."""
    data = features.data
    rows = np.flatnonzero(~data.train)
    ours, theirs = [], []
    for begin in range(0, len(rows), CHUNK):
        inputs = features.inputs(rows[begin:begin + CHUNK])
        ours.append(remote.score(inputs))
        theirs.append(oracle.score(inputs))
    return np.concatenate(ours), np.concatenate(theirs), data.label[rows]


def closed_loop(remote, inputs, seconds):
    """Latencies in milliseconds of one client that waits for each answer."""
    tensors = remote.request(inputs)
    for _ in range(20):
        remote.send(tensors)
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        remote.send(tensors)
        took.append(1e3 * (time.perf_counter() - began))
    return np.array(took)


def show_speed(features, user, remotes, seconds):
    everything = one_user_all_films(features, user)
    print("   one client in Python, closed loop      p50 ms   p99 ms   requests/s    scores/s")
    for films in (100, len(features.data.items["id"])):
        inputs = {name: array[:films] if name in movielens.ITEM_INPUTS else array
                  for name, array in everything.items()}
        for name, remote in remotes.items():
            took = closed_loop(remote, inputs, seconds)
            rate = len(took) / took.sum() * 1e3
            print(f"   {name}, 1 user x {films:4} films           {np.percentile(took, 50):8.2f} "
                  f"{np.percentile(took, 99):8.2f} {rate:12.0f} {rate * films:11.0f}", flush=True)


class Checks:
    def __init__(self):
        self.failed = 0

    def expect(self, good, text):
        self.failed += not good
        print(f"   {'ok    ' if good else 'FAILED'}  {text}", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--http", default="localhost:8000", metavar="HOST:PORT")
    parser.add_argument("--grpc", default="localhost:8001", metavar="HOST:PORT")
    parser.add_argument("--user", default="196", help="user id of the data set (default 196)")
    parser.add_argument("--top", type=int, default=10, help="films to show (default 10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each timed loop")
    parser.add_argument("--data", type=pathlib.Path, help="folder of ml-100k.inter and the others")
    return parser.parse_args()


def main():
    options = parse()
    logging.getLogger("tritonclient").setLevel(logging.ERROR)
    print("reading MovieLens 100K", flush=True)
    data = movielens.load(options.data)
    features = movielens.Features(data)
    if options.user not in data.users["id"]:
        sys.exit(f"demo: no user '{options.user}'; ids are 1 to {len(data.users['id'])}")
    user = data.users["id"].index(options.user)
    oracle = Oracle(PACKAGE)
    http = Remote(tritonclient.http, options.http)
    grpc = Remote(tritonclient.grpc, options.grpc)

    inputs = one_user_all_films(features, user)
    scores = http.score(inputs)
    show_films(features, user, scores, options.top)

    checks = Checks()
    error = relative_error(scores, oracle.score(inputs))
    checks.expect(error <= RELATIVE, f"HTTP scores equal ONNX Runtime's: largest relative "
                                     f"difference {error:.1e} over {len(scores)} films")
    error = relative_error(grpc.score(inputs), scores)
    checks.expect(error <= 1e-6, f"gRPC scores equal HTTP's: {error:.1e}")
    ours, theirs, label = score_held_out(features, grpc, oracle)
    error = relative_error(ours, theirs)
    checks.expect(error <= RELATIVE, f"held-out ratings: {error:.1e} over {len(ours)}, "
                                     f"{CHUNK} a request")
    trained = json.loads((HERE / "training.json").read_text())["auc"]
    served = movielens.auc(label, ours)
    checks.expect(abs(served - trained) < 1e-4,
                  f"held-out AUC through the server {served:.4f} (training said {trained:.4f})")
    print()
    show_speed(features, user, {"HTTP": http, "gRPC": grpc}, options.seconds)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
