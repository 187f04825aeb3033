"""The embedding store's figures, for docs/benchmarks/store.md.

    python -m bench.store host --rows 10000000 --dim 64        the host tier on one core
    python -m bench.store tier --rows 4000000                  RocksDB with a quarter of the memory beside the host tier
    python -m bench.store served-tier --rows 4000000           the same, a ranker served over HTTP
    python -m bench.store follow --rows 1000000 --dim 64       publish to served, restart, switch of versions
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "peers"), str(ROOT / "python")]
BLOCK = 1 << 18  # rows


def mix(numbers):
    """norn_hash_u64."""
    numbers = numbers.astype(np.uint64)
    with np.errstate(over="ignore"):
        numbers ^= numbers >> np.uint64(30)
        numbers *= np.uint64(0xbf58476d1ce4e5b9)
        numbers ^= numbers >> np.uint64(27)
        numbers *= np.uint64(0x94d049bb133111eb)
        numbers ^= numbers >> np.uint64(31)
    return numbers


def write_table(path, rows, dim):
    """float32 rows that repeat only every BLOCK rows, under keys norn_hash_u64(i + 1)."""
    sizes = {"rows": rows * dim * 4, "keys": rows * 8}
    header = json.dumps({"rows": {"dtype": "F32", "shape": [rows, dim], "data_offsets": [0, sizes["rows"]]},
                         "keys": {"dtype": "I64", "shape": [rows],
                                  "data_offsets": [sizes["rows"], sizes["rows"] + sizes["keys"]]}}).encode()
    header += b" " * (-(8 + len(header)) % 64)
    block = np.random.default_rng(1).standard_normal((BLOCK, dim), np.float32)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for at in range(0, rows, BLOCK):
            file.write((block[:min(BLOCK, rows - at)] + np.float32(at / BLOCK)).tobytes())
        for at in range(0, rows, BLOCK):
            file.write(mix(np.arange(at + 1, min(at + BLOCK, rows) + 1)).tobytes())


def write_package(folder, rows, dim):
    (folder / "tables").mkdir(parents=True)
    node = helper.make_node("EmbeddingBag", ["keys", "offsets"], ["y"], domain="ai.norn", table="t", dim=dim, mode="sum")
    graph = helper.make_graph([node], "bag", [helper.make_tensor_value_info("keys", TensorProto.INT64, ["N"]),
                                              helper.make_tensor_value_info("offsets", TensorProto.INT64, ["B1"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", dim])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.norn", 1)],
                                ir_version=10), folder / "model.onnx")
    write_table(folder / "tables" / "t.safetensors", rows, dim)


def host(options):
    folder = pathlib.Path(tempfile.mkdtemp(dir=options.scratch))
    try:
        write_package(folder, options.rows, options.dim)
        program = options.build / "bin" / "norn_bench_store_host"
        return subprocess.run([program, folder, str(options.rows)], check=False).returncode
    finally:
        shutil.rmtree(folder)


def write_ranker(folder, rows, dim, fields=26):
    """score[B] of ids [B, 26] in one table: lookups, then layers of 512, 256 and 1."""
    write_package(folder, rows, dim)
    rng, widths = np.random.default_rng(2), [fields * dim, 512, 256, 1]
    nodes = [helper.make_node("Embedding", ["ids"], ["rows"], domain="ai.norn", table="t", dim=dim),
             helper.make_node("Reshape", ["rows", "flat"], ["x0"])]
    weights = [onnx.numpy_helper.from_array(np.array([0, fields * dim], np.int64), "flat")]
    for i, (wide, out) in enumerate(zip(widths, widths[1:])):
        weights.append(onnx.numpy_helper.from_array(rng.normal(0, wide ** -0.5, (wide, out)).astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Relu" if out > 1 else "Sigmoid", [f"y{i}"], [f"x{i + 1}"]))
    graph = helper.make_graph(nodes, "ranker", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", fields])],
                              [helper.make_tensor_value_info(f"x{len(widths) - 1}", TensorProto.FLOAT, ["B", 1])], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("ai.norn", 1)],
                                ir_version=10), folder / "model.onnx")


def zipf_keys(rng, rows, shape):
    """Ranks by Zipf 0.99, as norn_bench_store_host draws them."""
    most = (rows + 1) ** 0.01
    rank = ((rng.random(shape) * (most - 1) + 1) ** 100).astype(np.uint64) - np.uint64(1)
    return mix(np.minimum(rank, np.uint64(rows - 1)) + np.uint64(1)).view(np.int64)


def served_tier(options):
    """A ranker over HTTP, 64 rows of 26 Zipf keys a request: rows in memory, and in RocksDB with a quarter."""
    import served
    import tritonclient.http
    folder = pathlib.Path(tempfile.mkdtemp(dir=options.scratch))
    version, rng = folder / "repository" / "m" / "1", np.random.default_rng(3)
    memory = max(1, options.rows * options.dim * 4 // 4 >> 20)
    try:
        write_ranker(version, options.rows, options.dim)
        bodies = [zipf_keys(rng, options.rows, (64, 26)) for _ in range(20000)]
        for name, settings in (("host memory", {}),
                               (f"RocksDB, {memory} MB", {"tier": "rocksdb:rows", "tier_memory_mb": memory})):
            (version / "norn.json").write_text(json.dumps(settings))
            server = served.Server(folder / "repository", ready_seconds=300)
            done, stop, times = [0, 0], time.monotonic() + 30, [[], []]

            def ask(me):
                client = tritonclient.http.InferenceServerClient(server.http)
                tensor, at = tritonclient.http.InferInput("ids", [64, 26], "INT64"), me
                while time.monotonic() < stop:
                    tensor.set_data_from_numpy(bodies[at % len(bodies)])
                    begin = time.monotonic()
                    client.infer("m", [tensor])
                    at += 2
                    if begin > stop - 15:  # the first half warms up
                        done[me] += 1
                        times[me].append(time.monotonic() - begin)

            threads = [threading.Thread(target=ask, args=(me,)) for me in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            server.stop()
            all_times = times[0] + times[1]
            print(f"{name}: {sum(done) / 15:.0f} requests/s of 64 rows x 26 keys, p50 {quantile(all_times, 0.5) * 1e3:.2f} ms, "
                  f"p99 {quantile(all_times, 0.99) * 1e3:.2f} ms", flush=True)
    finally:
        shutil.rmtree(folder)
    return 0


def tier(options):
    """Zipf 0.99: all rows in memory, and in RocksDB with a quarter of what they take."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=options.scratch)) / "m"
    try:
        write_package(folder / "1", options.rows, options.dim)
        memory = max(1, options.rows * options.dim * 4 // 4 >> 20)
        for name, settings in (("host memory", {}),
                               (f"RocksDB, {memory} MB", {"tier": "rocksdb:rows", "tier_memory_mb": memory})):
            (folder / "1" / "norn.json").write_text(json.dumps(settings))
            print(f"{name}: ", flush=True)
            subprocess.run([options.build / "bin" / "norn_bench_store_host", "--zipf", folder / "1", str(options.rows)],
                           check=True)
    finally:
        shutil.rmtree(folder.parent)
    return 0


class Served:
    """A server of one model with table `t`, and the trainer's side of it."""

    def __init__(self, options):
        import served  # with the tests: a `norn serve` process
        from norn.publish import Publisher
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=options.scratch))
        self.dim = options.dim
        package = self.folder / "package"
        write_package(package, BLOCK, options.dim)
        self.keys = mix(np.arange(1, options.rows + 1)).view(np.int64)
        rows = np.zeros((options.rows, options.dim), np.float32) + 1
        self.publisher = Publisher(self.folder / "repository" / "m", {"t": (self.keys, rows)})
        self.model = package / "model.onnx"
        self.publisher.full(self.model)
        self.start = lambda: served.Server(self.folder / "repository", "--follow")
        self.server = self.start()
        self.rng = np.random.default_rng(1)

    def client(self):
        import tritonclient.http
        return tritonclient.http.InferenceServerClient(self.server.http)

    def ask(self, client, keys):
        import tritonclient.http
        inputs = [tritonclient.http.InferInput("keys", [len(keys)], "INT64"),
                  tritonclient.http.InferInput("offsets", [len(keys) + 1], "INT64")]
        inputs[0].set_data_from_numpy(keys)
        inputs[1].set_data_from_numpy(np.arange(len(keys) + 1, dtype=np.int64))
        return client.infer("m", inputs).as_numpy("y")

    def metric(self, name):
        for line in self.server.get("/metrics", "metrics")[1].decode().splitlines():
            if line.startswith(name + "{"):
                return float(line.split()[-1])
        return None

    def close(self):
        self.server.stop()
        shutil.rmtree(self.folder)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def publish_to_served(run, count, rounds):
    """Seconds from the call of delta until an answer has the last of its rows."""
    client, times = run.client(), []
    for round_ in range(rounds):
        keys = run.rng.choice(run.keys, count, replace=False)
        value = np.float32(2 + round_ / 1000)
        rows = np.full((count, run.dim), value)
        begin = time.perf_counter()
        run.publisher.delta(rows={"t": (keys, rows)})
        while run.ask(client, keys[-1:])[0, 0] != value:
            pass
        times.append(time.perf_counter() - begin)
    print(f"publish to served, {count} rows of {run.dim * 4} bytes: p50 {quantile(times, 0.5) * 1e3:.1f} ms, "
          f"p99 {quantile(times, 0.99) * 1e3:.1f} ms ({rounds} steps)")


def restart(run):
    step = run.metric("norn_delta_step")
    run.server.process.kill()
    run.server.process.wait()
    begin = time.perf_counter()
    run.server = run.start()
    print(f"restart after kill -9: ready and at step {run.metric('norn_delta_step'):.0f} (it was at {step:.0f}) after "
          f"{time.perf_counter() - begin:.2f} s, {len(run.keys)} rows loaded and the log applied")


def switch(run, switches):
    """Latency of small requests while versions change, and while they do not."""
    stop, times, failed = threading.Event(), [], []

    def ask():
        client = run.client()
        while not stop.is_set():
            keys = run.rng.choice(run.keys, 64)
            begin = time.perf_counter()
            try:
                run.ask(client, keys)
            except Exception as error:
                failed.append(error)
            times.append((begin, time.perf_counter() - begin))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(5)
    quiet = [took for _, took in times]
    begin, seconds = time.perf_counter(), []
    for _ in range(switches):
        version = run.publisher.full(run.model)
        number = getattr(version, "number", version)
        published = time.perf_counter()
        while f"version {number} is ready" not in run.server.log.read_text():
            time.sleep(0.01)
        seconds.append(time.perf_counter() - published)
    stop.set()
    thread.join()
    busy = [took for when, took in times if when > begin]
    print(f"{switches} switches of version under load: {len(failed)} of {len(busy)} requests failed; p50 "
          f"{quantile(busy, 0.5) * 1e3:.2f} ms ({quantile(quiet, 0.5) * 1e3:.2f} before), p99 "
          f"{quantile(busy, 0.99) * 1e3:.2f} ms ({quantile(quiet, 0.99) * 1e3:.2f} before); from READY to served "
          f"{quantile(seconds, 0.5):.2f} s")


def follow(options):
    run = Served(options)
    try:
        publish_to_served(run, 100, 200)
        publish_to_served(run, 10_000, 50)
        publish_to_served(run, min(1_000_000, options.rows), 3)
        restart(run)
        switch(run, 5)
    finally:
        run.close()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["host", "tier", "served-tier", "follow"])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--scratch", help="where to put the table (default: the system's temporary folder)")
    options = parser.parse_args()
    return {"host": host, "tier": tier, "served-tier": served_tier, "follow": follow}[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
