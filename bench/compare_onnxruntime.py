"""Time Norn and ONNX Runtime side by side on the six full-size models.

    python -m bench.compare_onnxruntime --norn build/release/bin/norn

Both get the same models and the same number of threads, and eight sets of random inputs that take
turns, with few hot ids and many rare ones. Rounds alternate between the two, so that noise on the
machine hits both; a figure is the median over rounds of each round's median latency. Norn is timed
by `norn bench` (a process that loads a compiled plan and runs it over and over), ONNX Runtime in
this process through its IO binding, inputs and outputs bound once.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

# They slow numpy down, and are no setting of either side.
for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)

import onnxruntime  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "python")]

from examples import models  # noqa: E402
from examples.models.write import write_model  # noqa: E402

SEED = 1
INPUT_SETS = 8  # as many as `norn bench` takes turns with


class OrtSide:
    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options,
                                                    providers=["CPUExecutionProvider"])

    def bind(self, name, batch):
        return [self._bind(models.inputs(name, "full", batch, SEED + i))
                for i in range(INPUT_SETS)]

    def _bind(self, feeds):
        binding = self.session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for output in self.session.get_outputs():
            binding.bind_output(output.name)
        return binding

    def time(self, bindings, seconds):
        """The median latency in microseconds of runs back to back for `seconds`."""
        took, end = [], time.perf_counter() + seconds
        for binding in bindings:
            self.session.run_with_iobinding(binding)
        while time.perf_counter() < end or len(took) < 5:
            binding = bindings[len(took) % len(bindings)]
            began = time.perf_counter_ns()
            self.session.run_with_iobinding(binding)
            took.append(time.perf_counter_ns() - began)
        return statistics.median(took) / 1e3


class NornSide:
    def __init__(self, norn, plan, threads):
        self.command = [str(norn), "bench", str(plan), "--threads", str(threads), "--json",
                        "--input-sets", str(INPUT_SETS), "--seed", str(SEED)]

    def time(self, batch, seconds):
        command = [*self.command, "--batch", str(batch), "--duration", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"compare: {' '.join(command)}\n{done.stderr.strip()}")
        report = json.loads(done.stdout)
        return float(report["run"]["p50_us"])


def prepare(norn, name, folder, most):
    """(ONNX file, plan for batches up to `most`); the file is made once and kept."""
    path = folder / "models" / f"{name}.onnx"
    if not path.exists():
        print(f"  making {path.name}", flush=True)
        write_model(folder / "models", name, "full", "torchscript", SEED)
    plan = folder / "plans" / f"{name}.norn"
    plan.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(norn), "compile", str(path), "-o", str(plan), "--max-batch", str(most)],
                   check=True, stdout=subprocess.DEVNULL)
    return path, plan


def compare(options, name):
    """Rows (model, batch, norn us, onnxruntime us) of one model."""
    path, plan = prepare(options.norn, name, options.work, max(options.batches))
    ort = OrtSide(path, options.threads)
    norn = NornSide(options.norn, plan, options.threads)
    for batch in options.batches:
        bindings = ort.bind(name, batch)
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(norn.time(batch, options.seconds))
            theirs.append(ort.time(bindings, options.seconds))
        row = (name, batch, statistics.median(ours), statistics.median(theirs))
        print(f"  {name:10} batch {batch:5}  norn {row[2]:9.1f} us  onnxruntime {row[3]:9.1f} us"
              f"  {row[3] / row[2]:5.2f} x", flush=True)
        yield row


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True,
                              cwd=REPOSITORY).stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def processor():
    text = subprocess.run(["lscpu"], capture_output=True, text=True).stdout
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    flags = fields.get("Flags", "").split()
    isa = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if flag in flags]
    return f"{fields.get('Model name', platform.processor()).strip()} ({', '.join(isa)})"


def markdown(options, rows):
    """The report: one table of ratios, one of latencies."""
    names = list(dict.fromkeys(row[0] for row in rows))
    ratio = {(name, batch): theirs / ours for name, batch, ours, theirs in rows}
    head = "| model | " + " | ".join(f"batch {batch}" for batch in options.batches)
    lines = [
        "# Norn and ONNX Runtime on the CPU",
        "",
        f"- date: {datetime.date.today().isoformat()}, commit "
        f"{first_line(['git', 'rev-parse', '--short', 'HEAD'])}",
        f"- processor: {processor()}, {os.cpu_count()} logical cores; "
        f"{options.threads} threads each",
        f"- onnxruntime {onnxruntime.__version__}, CPU provider, default optimisation, IO binding",
        f"- models: `examples/models --size full`; {INPUT_SETS} sets of inputs take turns, "
        "few ids hot and many rare",
        f"- {options.rounds} rounds of {options.seconds:g} s each, alternating; "
        "median of the rounds' medians",
        f"- command: `python -m bench.compare_onnxruntime {shown(options.argv)}`",
        "",
        "## How many times faster Norn is",
        "",
        f"{head} | all |",
        "|---|" + "---:|" * (len(options.batches) + 1),
    ]
    for name in names:
        values = [ratio[name, batch] for batch in options.batches]
        cells = [f"{value:.2f}" for value in [*values, geometric_mean(values)]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    means = [geometric_mean([ratio[name, batch] for name in names]) for batch in options.batches]
    cells = [f"**{value:.2f}**" for value in [*means, geometric_mean(ratio.values())]]
    lines += ["| geometric mean | " + " | ".join(cells) + " |", "",
              "## Median latency, µs: Norn / ONNX Runtime", "",
              f"{head} |", "|---|" + "---:|" * len(options.batches)]
    latency = {(name, batch): f"{ours:.0f} / {theirs:.0f}" for name, batch, ours, theirs in rows}
    for name in names:
        lines.append(f"| {name} | " + " | ".join(latency[name, b] for b in options.batches) + " |")
    return "\n".join(lines) + "\n"


def shown(argv):
    """The arguments that bear on the figures: not where files are."""
    kept = [i for i, word in enumerate(argv)
            if word not in ("--norn", "--report", "--work")
            and (i == 0 or argv[i - 1] not in ("--norn", "--report", "--work"))]
    return " ".join(argv[i] for i in kept)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.compare_onnxruntime",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norn", type=pathlib.Path,
                        default=REPOSITORY / "build" / "release" / "bin" / "norn")
    parser.add_argument("--models", default=",".join(models.SIX), metavar="A,B")
    parser.add_argument("--batches", default="1,16,64,256,1024", metavar="N,N")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each side in each round")
    parser.add_argument("--work", type=pathlib.Path, default=REPOSITORY / "build" / "bench",
                        metavar="DIR", help="keeps models (1.1 GB) and plans")
    parser.add_argument("--report", type=pathlib.Path, metavar="FILE",
                        help="Markdown; default docs/benchmarks/onnxruntime-DATE.md")
    options = parser.parse_args(argv)
    options.argv = argv
    options.models = options.models.split(",")
    options.batches = [int(batch) for batch in options.batches.split(",")]
    today = datetime.date.today().isoformat()
    options.report = options.report or (
        REPOSITORY / "docs" / "benchmarks" / f"onnxruntime-{today}.md")
    return options


def main(argv=None):
    options = parse(sys.argv[1:] if argv is None else argv)
    if not options.norn.exists():
        sys.exit(f"compare: {options.norn} is not there; build it or name it with --norn")
    rows = []
    for name in options.models:
        rows += compare(options, name)
    text = markdown(options, rows)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text)
    total = geometric_mean([theirs / ours for _, _, ours, theirs in rows])
    print(f"geometric mean: Norn is {total:.2f} times as fast as ONNX Runtime; {options.report}")


if __name__ == "__main__":
    main()
