"""What freshness is worth: MovieLens trained online and published every so many ratings.

    python -m examples.movielens.online --offline         # the log, read back and scored with numpy
    python -m examples.movielens.online --norn build/release/bin/norn    # served: norn serve --follow

Half of the ratings, in the order of time, are trained on before; the other half come as events. Each
is scored by what is served, and only then learnt: prequential AUC. Touched rows and the shift go
through a real Publisher, log and reader, as one step a publish. Writes the plot and the figures.
"""

import argparse
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "python"))

from norn import manifest, tables  # noqa: E402
from norn.delta_log import FileLog, Position  # noqa: E402
from norn.publish import Publisher  # noqa: E402

from . import data as movielens  # noqa: E402
from . import plot  # noqa: E402
from .factors import Factors, write_model  # noqa: E402

NEVER = 0
EVERY = (NEVER, 5000, 1000, 100, 10)
EPOCHS = 4
MODEL = "factors"


def events(data):
    """(user, item, label), in the order of time."""
    order = np.argsort(data.time, kind="stable")
    return data.user[order], data.item[order], data.label[order]


def train(user, item, label, users, items, seed):
    """A model of the ratings before the cut."""
    model, rng = Factors(users, items, seed), np.random.default_rng(seed)
    liked = label.mean()
    model.shift[:] = np.log(liked / (1 - liked))
    for _ in range(EPOCHS):
        order = rng.permutation(len(user))
        model.learn(user[order], item[order], label[order])
    return model


# ---- who serves: the log read back, or the server

class Offline:
    """A version folder and its log, read with norn's Python reader and scored with numpy."""

    def __init__(self, folder):
        version = manifest.verify(folder / "1")
        self.model = object.__new__(Factors)
        self.model.user, self.model.item = (
            np.array(tables.load(folder / "1" / "tables" / f"{name}.safetensors").rows)
            for name in ("user", "item"))
        self.model.shift = np.zeros(1, np.float32)
        cut = Position.from_json(version["cut"])
        self.reader = FileLog(folder / "log").reader(cut, version["tables"])

    def follow(self, _trained):
        while (step := self.reader.next()) is not None:
            for table, keys, rows, _ in step.rows():
                getattr(self.model, table)[keys] = rows
            for name, array in step.dense().items():
                getattr(self.model, name)[:] = array

    def score(self, user, item):
        return self.model.score(user, item)

    def close(self):
        self.reader.__exit__()


class Served:
    """`norn serve --follow` asked through tritonclient."""

    TOLERANCE, PATIENCE = 1e-5, 10

    def __init__(self, folder, norn):
        import tritonclient.http

        self.protocol = tritonclient.http
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        self.process = subprocess.Popen(
            [norn, "serve", "--repository", str(folder.parent), "--follow", "--host", "127.0.0.1",
             "--http-port", str(port), "--grpc-port", "0", "--metrics-port", "0",
             "--lame-duck-ms", "0"],
            stderr=subprocess.DEVNULL)
        self.client = self.protocol.InferenceServerClient(f"127.0.0.1:{port}")
        self.waits_ms = []
        end = time.monotonic() + 60
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise SystemExit("online: norn serve --follow did not become ready")
            time.sleep(0.02)

    def _ready(self):
        try:
            return self.client.is_model_ready(MODEL)
        except OSError:
            return False

    def follow(self, trained):
        """Until the server answers as the trainer's model does."""
        user = np.arange(0, len(trained.user), 7)
        item = np.arange(len(user)) * 13 % len(trained.item)
        user, item = np.append(user, trained.last[0]), np.append(item, trained.last[1])
        wanted, begin = trained.score(user, item), time.monotonic()
        while np.abs(self.score(user, item) - wanted).max() > self.TOLERANCE:
            if time.monotonic() - begin > self.PATIENCE:
                raise SystemExit(f"online: after {self.PATIENCE} s the server does not answer as the "
                                 "trainer's model does")
        self.waits_ms.append(1000 * (time.monotonic() - begin))

    def score(self, user, item):
        tensors = []
        for name, ids in (("user_id", user), ("item_id", item)):
            tensor = self.protocol.InferInput(name, [len(ids)], "INT64")
            tensor.set_data_from_numpy(np.ascontiguousarray(ids, np.int64))
            tensors.append(tensor)
        return self.client.infer(MODEL, tensors).as_numpy("score")

    def close(self):
        self.process.terminate()
        self.process.wait()


def knows_follow(norn):
    """Does `norn serve` know --follow?"""
    said = subprocess.run([norn, "serve", "--help"], capture_output=True, text=True)
    return "--follow" in said.stdout + said.stderr


# ---- one schedule

def stream(trained, user, item, label, every, serve):
    """Scores of all events, published `every` so many of them; and what was published."""
    model = trained.copy()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / MODEL
        publisher = Publisher(folder, {"user": model.user, "item": model.item})
        publisher.full(write_model)
        publisher.delta(dense={"shift": model.shift})  # the file holds none
        served = serve(folder)
        try:
            model.last = user[0], item[0]
            served.follow(model)
            scores, rows = [], 0
            for begin in range(0, len(user), every or len(user)):
                part = slice(begin, begin + (every or len(user)))
                scores.append(served.score(user[part], item[part]))
                model.learn(user[part], item[part], label[part])
                if every:
                    publisher.touch("user", user[part])
                    publisher.touch("item", item[part])
                    rows += len(publisher.tracker)
                    publisher.delta(dense={"shift": model.shift})
                    model.last = user[part][-1], item[part][-1]
                    served.follow(model)
        finally:
            served.close()
        size = sum(path.stat().st_size for path in folder.rglob("*.ndl"))
    return np.concatenate(scores), {"publishes": len(scores) if every else 0, "rows": rows,
                                    "log_bytes": size, "waits_ms": getattr(served, "waits_ms", [])}


def run(user, item, label, users, items, schedules, seed, serve):
    """[{every, all, known, new, publishes, …}]: AUC by schedule."""
    half = len(user) // 2
    trained = train(user[:half], item[:half], label[:half], users, items, seed)
    known = np.isin(user[half:], user[:half])
    results = []
    for every in schedules:
        scores, facts = stream(trained, user[half:], item[half:], label[half:], every, serve)
        aucs = {name: movielens.auc(label[half:][rows], scores[rows])
                for name, rows in (("all", known | True), ("known", known), ("new", ~known))}
        waits = facts.pop("waits_ms")
        if waits:
            facts |= {"served_ms_p50": round(float(np.percentile(waits, 50)), 2),
                      "served_ms_p99": round(float(np.percentile(waits, 99)), 2)}
        results.append({"every": every, "seed": seed, **{k: round(v, 4) for k, v in aucs.items()},
                        **facts})
        name = f"every {every}" if every else "never"
        print(f"seed {seed}  {name:12} AUC {aucs['all']:.4f}  known users {aucs['known']:.4f}  new "
              f"users {aucs['new']:.4f}  {facts}", flush=True)
    return results


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offline", action="store_true", help="read the log with Python, no server")
    parser.add_argument("--norn", default=str(HERE.parents[1] / "build/release/bin/norn"))
    parser.add_argument("--data", type=pathlib.Path, help="folder of ml-100k.inter and the others")
    parser.add_argument("--every", default=",".join(map(str, EVERY)), metavar="N,N",
                        help="publish after so many events; 0: never (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/freshness"),
                        help="writes OUT.svg and OUT.json (default %(default)s)")
    options = parser.parse_args(argv)
    if not options.offline and not knows_follow(options.norn):
        raise SystemExit(f"online: {options.norn} serve does not know --follow; use --offline")
    serve = Offline if options.offline else lambda folder: Served(folder, options.norn)
    data = movielens.load(options.data)
    schedules = [int(every) for every in options.every.split(",")]
    results = []
    for seed in range(options.seeds):
        results += run(*events(data), len(data.users["id"]), len(data.items["id"]), schedules, seed,
                       serve)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    mean = {name: [float(np.mean([r[name] for r in results if r["every"] == every]))
                   for every in schedules] for name in ("all", "known", "new")}
    ticks = [f"every {every:,}" if every else "never" for every in schedules]
    title = "Prequential AUC, MovieLens 100K, by how often is published"
    options.out.with_suffix(".svg").write_text(plot.lines(title, ticks, {
        "known users": mean["known"], "all": mean["all"], "new users": mean["new"]}))


if __name__ == "__main__":
    main()
