"""Mixed load on minitorch serve: right answers among cancels, garbage, slow clients, oversized bodies and wrong keys.

30 s, or as many as SOAK_SECONDS in the environment says.
"""

import contextlib
import http.client
import json
import os
import random
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests import serving_cases as cases
from tests.test_serving import TEXTS, close, expected

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package)

SECONDS = float(os.environ.get("SOAK_SECONDS", "30"))
KEY = "a-key-of-24-characters-0"
KIND = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}


class Load:
    """Clients of several manners, until the time is over; whatever is wrong is collected."""

    def __init__(self, server, wanted):
        self.server, self.wanted = server, wanted
        self.until = time.monotonic() + SECONDS
        self.wrong, self.counts = [], dict.fromkeys(("right", "busy", "refused", "left"), 0)
        self.lock = threading.Lock()

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def client(self, manner, seed):
        chance = random.Random(f"{manner.__name__}{seed}")
        while time.monotonic() < self.until:
            try:
                manner(self, chance)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(f"{manner.__name__}: {type(error).__name__} {error}")

    def good(self, chance):
        """One text or some, of a random model: the right answer, or a plain no if the queue is full."""
        model = chance.choice(list(self.wanted))
        some = [chance.randrange(len(self.wanted[model])) for _ in range(chance.choice((1, 1, 1, 2, 8)))]
        options = {"parameters": {"max_new_tokens": 6, "seed": 3}} if model == "gpt" else {}
        body = {"model": model, "inputs": [TEXTS[model][i] for i in some], **options}
        status, answer = self.server.post("/answer", body, **KIND)
        if status in (429, 503):
            self.count("busy")
        elif status == 200 and close(answer["answers"], [self.wanted[model][i] for i in some]):
            self.count("right")
        else:
            self.wrong.append(f"{model} {some}: {status} {str(answer)[:300]}")

    def leaves(self, chance):
        """Asks, and closes the connection before the answer, or in the middle of a stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        body = {"model": "gpt", "prompt": "The ", "max_tokens": 2000, "stream": chance.random() < 0.5}
        connection.request("POST", "/v1/completions", json.dumps(body), KIND)
        time.sleep(chance.random() * 0.2)
        connection.close()
        self.count("left")

    def refused(self, chance):
        """A request that must be refused, with words."""
        path, body, headers, status = chance.choice(
            [
                ("/answer", b"\xff{", KIND, 400),
                ("/answer", b"[[[", KIND, 400),
                ("/answer", b'{"model": "classify", "inputs": ""}', KIND, 422),
                ("/answer", b'{"model": "none", "inputs": "a"}', KIND, 404),
                ("/predict", b"x" * (3 << 20), KIND, 413),
                ("/predict", b'{"inputs": "a"}', {**KIND, "authorization": "Bearer no"}, 401),
                ("/predict", b'{"inputs": "a"}', {"authorization": f"Bearer {KEY}"}, 415),
                ("/" + "x" * chance.randrange(1, 3000), b"{}", KIND, 404),
            ]
        )
        found, _, answer = self.server.request("POST", path, body, headers)
        if found != status or not json.loads(answer)["error"]:
            self.wrong.append(f"{path[:20]} {body[:40]}: {found} instead of {status}")
        self.count("refused")

    def garbage(self, chance):
        """Bytes that are no HTTP, halves of requests, headers one by one."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as dialled:
            start = b"POST /answer HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
            data = chance.choice([chance.randbytes(200), start, start + b"\r\n{", b"GET /" + b"a" * 70_000])
            for i in range(0, len(data), max(1, len(data) // 4)):
                dialled.sendall(data[i : i + max(1, len(data) // 4)])
                time.sleep(chance.random() * 0.05)

    manners = (good, good, good, leaves, refused, garbage)


def resident(pid):
    """Megabytes."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_mixed_load(tmp_path):
    """No wrong answer, no 500, no stuck request, flat memory, nothing on standard error."""
    models = cases.folders(tmp_path)
    wanted = {kind: expected(kind, models[kind], TEXTS[kind]) for kind in TEXTS if kind != "qa"}  # whose ids count the request
    options = [option for name, folder in models.items() for option in ("--model", f"{name}={folder}")]
    with cases.Server(*options, "--queue", "64", MINITORCH_API_KEYS=KEY) as server:
        load = Load(server, wanted)
        clients = [threading.Thread(target=load.client, args=(m, i)) for i, m in enumerate(Load.manners)]
        for thread in clients:
            thread.start()
        memory = []
        while time.monotonic() < load.until:
            time.sleep(SECONDS / 30)
            memory.append(resident(server.process.pid))
        for thread in clients:
            thread.join(timeout=120)
        assert not any(thread.is_alive() for thread in clients)
        cases_of = json.loads(server.get("/stats", **KIND)[1])
        metrics = server.get("/metrics", **KIND)[1]
        for _ in range(300):
            if (cases_of["busy"], cases_of["waiting"]) == (0, 0):
                break
            time.sleep(0.1)
            cases_of = json.loads(server.get("/stats", **KIND)[1])
    assert (cases_of["busy"], cases_of["waiting"]) == (0, 0)
    assert load.wrong == []
    assert 'status="500"' not in metrics
    assert min(load.counts["right"], load.counts["refused"], load.counts["left"]) > SECONDS / 3
    third = len(memory) // 3
    assert max(memory[-third:]) < max(memory[:third]) * 1.1 + 10, memory
    assert (server.process.returncode, server.err) == (0, "")
    print(load.counts, [round(m) for m in memory])
