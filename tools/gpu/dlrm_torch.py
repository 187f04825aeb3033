"""DLRM in PyTorch, eager mode captured in a CUDA graph: the peer of `norn_graph_time`.

    python tools/gpu/dlrm_torch.py 1 64 256 [--precision tf32|fp32] [--rows 40000]

26 tables of 128, bottom 13-512-256-128, pairwise dots, top 479-1024-1024-512-256-1, sigmoid. Weights
and ids are random; inputs lie on the device. Prints `batch microseconds` lines: the median over rounds of
the mean of back-to-back replays, as norn_graph_time does.
"""

import argparse
import statistics

import torch

TABLES, DIM, BOTTOM, TOP = 26, 128, (13, 512, 256, 128), (479, 1024, 1024, 512, 256, 1)
LAUNCHES, ROUNDS = 50, 9


def mlp(sizes):
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        layers.append(torch.nn.Linear(n_in, n_out))
        layers.append(torch.nn.Sigmoid() if n_out == 1 else torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


class Dlrm(torch.nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.emb = torch.nn.ModuleList(torch.nn.Embedding(rows, DIM) for _ in range(TABLES))
        self.bottom, self.top = mlp(BOTTOM), mlp(TOP)
        i, j = torch.tril_indices(TABLES + 1, TABLES + 1, -1)
        self.register_buffer("pairs", i * (TABLES + 1) + j)

    def forward(self, dense, sparse):
        x = self.bottom(dense)
        vectors = torch.stack([x] + [table(sparse[:, i]) for i, table in enumerate(self.emb)], 1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        return self.top(torch.cat([x, torch.index_select(dots, 1, self.pairs)], 1))


def time_batch(model, rows, batch):
    dense = torch.rand(batch, 13, device="cuda")
    sparse = torch.randint(rows, (batch, TABLES), device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(dense, sparse)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(dense, sparse)
    times = []
    for _ in range(ROUNDS + 1):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(LAUNCHES):
            graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / LAUNCHES)
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("batches", type=int, nargs="+")
    parser.add_argument("--precision", choices=("tf32", "fp32"), default="tf32")
    parser.add_argument("--rows", type=int, default=40000)
    options = parser.parse_args()
    allowed = options.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.manual_seed(1)
    with torch.inference_mode():
        model = Dlrm(options.rows).cuda().eval()
        for batch in options.batches:
            print(batch, f"{time_batch(model, options.rows, batch):.2f}", flush=True)


if __name__ == "__main__":
    main()
