"""What batching brings a server: throughput against one request after the other, and the latency under load.

    python -m benchmarks.serving [--model FOLDER] [--seconds 10] [--rounds 3] [--output FOLDER]

A BERT of MiniLM's size (6 layers, 384 wide, 12 heads; random weights unless --model names a folder) embeds texts of 8 to 63
tokens. The contestants are processes of the same server: `minitorch serve` as it is, the same with batches of one, and of up to
512 tokens, and the same with the forward pass of Hugging Face's transformers on PyTorch, where these are installed. They take
turns, round by round.

One after the other: a client sends its next request when the last is answered. At the top: as many clients as serve most. At
70 % of that: requests come at random times (Poisson), whether the server is ready or not, and a latency counts from the time at
which a request was due, so that waiting is not hidden. The client runs on the same machine and costs a few per cent of it.
Before anything is timed, all contestants must give the same vectors.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text
from models import bert

from .machine import cores, describe

CONTESTANTS = {
    "minitorch": [],
    "minitorch, batches of one": ["--batch-tokens", "1"],
    "minitorch, 512 tokens": ["--batch-tokens", "512"],
    "transformers": ["--torch"],
}
CLIENTS = (4, 8, 16, 32)
WORDS = "the function returns a value of its argument when it is called with an object that has no such name".split()  # noqa: SIM905
SIZE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}


def make_model(folder: Path) -> Path:
    """A BERT of MiniLM's size with random weights."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS)]
    tokens += [f"word{i}" for i in range(30522 - len(tokens))]
    tokenizer = bert.Tokenizer({token: i for i, token in enumerate(tokens)})
    bert.BertModel(bert.BertConfig(vocab_size=len(tokens), **SIZE), add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_texts(n: int = 512) -> list[str]:
    """Of 8 to 63 tokens, [CLS] and [SEP] included, all lengths alike."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, int(rng.integers(6, 62)))) for _ in range(n)]


def serve(folder: str) -> None:
    """What the contestant `transformers` runs: the same server, in which another library computes the rows."""
    import torch
    import transformers

    from models.cli import main as command
    from models.serving import answerers, folders

    torch.set_num_threads(1)
    theirs = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()

    class Theirs(answerers.Vectors):
        def rows(self, features: Any) -> list[Any]:
            batch = {k: torch.tensor(v.numpy()) for k, v in self.tokenizer.batch([(f.ids, f.types) for f in features]).items()}
            with torch.inference_mode():
                hidden = theirs(**batch).last_hidden_state
                keep = batch["attention_mask"].unsqueeze(-1)
                return list(((hidden * keep).sum(1) / keep.sum(1)).numpy())

    folders.Vectors = Theirs  # type: ignore[misc]
    sys.exit(command(["serve", "--port", "0", "--model", f"m={folder}"]))


@contextlib.contextmanager
def server(folder: Path, options: list[str]) -> Iterator[tuple[int, int]]:
    """(pid, port) of a contestant."""
    command = [sys.executable, "-m", "models.cli", "serve", "--port", "0", "--model", f"m={folder}", *options]
    if options == ["--torch"]:
        command = [sys.executable, "-m", "benchmarks.serving", "--torch", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://[\d.]+:(\d+)", line):
                yield process.pid, int(found[1])
                break
        else:
            raise SystemExit(f"{' '.join(command)} did not start")
    finally:
        process.terminate()
        process.wait()


class Client:
    """A connection that is kept."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, text: str) -> Any:
        self.connection.request("POST", "/embed", json.dumps({"inputs": text}), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"status {response.status}: {body[:200]!r}")
        return json.loads(body)[0]


def closed(port: int, clients: int, seconds: float, texts: list[str]) -> tuple[float, list[float]]:
    """(requests per second, latencies): each client sends its next request when the last is answered."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    def run(number: int) -> None:
        ask, i = Client(port), number
        while (begun := time.perf_counter()) < until:
            ask(texts[i % len(texts)])
            latencies.append(time.perf_counter() - begun)
            i += clients

    at_once([lambda n=n: run(n) for n in range(clients)])
    return len(latencies) / seconds, latencies


def open_loop(port: int, rate: float, seconds: float, texts: list[str], clients: int = 32) -> list[float]:
    """Latencies, from when a request is due, of requests that come at random times, ``rate`` per second."""
    rng = np.random.default_rng(1)
    due: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
    latencies: list[float] = []

    def run() -> None:
        ask = Client(port)
        while (item := due.get()) is not None:
            ask(item[1])
            latencies.append(time.perf_counter() - item[0])

    def send() -> None:
        at, end, i = time.perf_counter(), time.perf_counter() + seconds, 0
        while (at := at + float(rng.exponential(1 / rate))) < end:
            time.sleep(max(0.0, at - time.perf_counter()))
            due.put((at, texts[i % len(texts)]))
            i += 1
        for _ in range(clients):
            due.put(None)

    at_once([send, *[run] * clients])
    return latencies


def at_once(jobs: list[Callable[[], None]]) -> None:
    """Each in a thread."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cpu_seconds(pid: int) -> float:
    """Of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int, port: int, seconds: float, texts: list[str]) -> dict[str, float]:
    """One round of a contestant."""
    closed(port, 8, 1.0, texts)  # warm
    alone, latencies = closed(port, 1, seconds, texts)
    best: dict[str, float] = {"top": 0.0}
    for clients in CLIENTS:
        before = cpu_seconds(pid)
        rate, _ = closed(port, clients, seconds, texts)
        if rate > best["top"]:
            best = {"top": rate, "clients": clients, "cpu_ms": 1000 * (cpu_seconds(pid) - before) / (rate * seconds)}
    loaded = open_loop(port, 0.7 * best["top"], 2 * seconds, texts)
    ms = {"alone_p50": percentile(latencies, 50), "alone_p99": percentile(latencies, 99), "p50": percentile(loaded, 50)}
    return {"alone": alone, **best, **ms, "p99": percentile(loaded, 99)}


def percentile(seconds: list[float], q: float) -> float:
    """In milliseconds."""
    return 1000 * float(np.percentile(seconds, q))


def check(ports: dict[str, int], texts: list[str]) -> None:
    """The same vectors from all."""
    vectors = {name: np.array([Client(port)(text) for text in texts[:8]]) for name, port in ports.items()}
    first = next(iter(vectors.values()))
    for name, found in vectors.items():
        if not np.allclose(found, first, atol=1e-4):
            raise SystemExit(f"{name} gives other vectors, by up to {np.abs(found - first).max():.1g}")


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Medians of the rounds; ratios are those within the rounds."""
    columns = (
        f"{'alone':>9}{'p50':>8}{'p99':>8}{'top':>9}{'/ alone':>9}{'CPU ms':>8}{'at 70 %: p50':>14}{'p99':>8}"
        f"{'/ p50 alone':>13}{'/ p99 alone':>13}"
    )
    lines = [" " * 28 + columns]
    for name, rounds in results.items():
        m = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        gain = statistics.median(r["top"] / r["alone"] for r in rounds)
        tails = [statistics.median(r["p99"] / r[f"alone_{q}"] for r in rounds) for q in ("p50", "p99")]
        lines.append(
            f"{name:28}{m['alone']:7.1f}/s{m['alone_p50']:8.1f}{m['alone_p99']:8.1f}{m['top']:7.1f}/s{gain:9.2f}{m['cpu_ms']:8.1f}"
            f"{m['p50']:14.1f}{m['p99']:8.1f}{tails[0]:13.2f}{tails[1]:13.2f}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder to embed with (default: random weights of MiniLM's size)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of each of the six measurements of a round (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/serving"))
    parser.add_argument("--torch", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch:
        serve(args.torch)
    there = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    contestants = {name: options for name, options in CONTESTANTS.items() if there or name != "transformers"}
    texts, results = make_texts(), {name: [] for name in contestants}
    print(f"about {len(contestants) * args.rounds * (2 + 7 * args.seconds) / 60:.0f} minutes", flush=True)
    with tempfile.TemporaryDirectory() as made, contextlib.ExitStack() as stack:
        folder = args.model or make_model(Path(made))
        running = {name: stack.enter_context(server(folder, options)) for name, options in contestants.items()}
        check({name: port for name, (_, port) in running.items()}, texts)
        for number in range(args.rounds):
            for name, (pid, port) in running.items():
                results[name].append(measure(pid, port, args.seconds, texts))
                print(
                    f"round {number + 1}, {name}: {json.dumps({k: round(v, 1) for k, v in results[name][-1].items()})}",
                    flush=True,
                )
    machine = describe()
    busy = f"the system's load in the last 15 minutes, this included: {os.getloadavg()[2]:.1f}"
    head = f"{machine['processor']}, {cores()} cores; {args.rounds} rounds of {args.seconds:g} s; {busy}\n\n"
    print("\n" + head + table(results))
    args.output.mkdir(parents=True, exist_ok=True)
    write_text(args.output / "serving.txt", head + table(results))
    write_text(args.output / "serving.json", json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
