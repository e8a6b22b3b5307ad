"""A real `minitorch serve` on a free port, and folders of every kind to serve."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

from models import cli, prompting
from models.finetuning.report import finish
from tests import finetune_cases, gpt_cases, seq2seq_cases

ROOT = Path(__file__).parents[1]
TASKS = ("classify", "tag", "qa", "choice", "relation")


def folders(folder):
    """Name -> folder, one of every kind that the commands write."""
    found = {}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for task in TASKS:
            (folder / task).mkdir(parents=True)
            run = finetune_cases.run(task, folder / task, epochs=1)
            run.train()
            found[task] = folder / task / "out"
        found["mask"] = folder / "classify" / "start"
        (folder / "numbers").mkdir()
        rows = "".join(f"{text}\t{other}\t{i / 7}\n" for i, (text, other) in enumerate([("good film", "bad plot")] * 20))
        (folder / "numbers" / "pairs.tsv").write_text("text\ttext2\tscore\n" + rows)
        own = {name: str(folder / "numbers" / "pairs.tsv") for name in ("train", "dev")}
        run = finetune_cases.run("classify", folder / "numbers", model=found["mask"], epochs=1, **own)
        run.train()
        found["numbers"] = folder / "numbers" / "out"
        found["int8"] = folder / "int8"
        cli.main(["compress", f"--model={found['classify']}", f"--output={found['int8']}", "--int8=dynamic", "--embeddings"])
        for adapt in ("lora", "prefix"):
            (folder / adapt).mkdir()
            run = finetune_cases.run("classify", folder / adapt, model=found["mask"], epochs=1, adapt=adapt)
            run.train()
            found[adapt] = folder / adapt / "out"
        s = prompting.Settings(model=str(found["mask"]), words="good:pos,bad:neg", calibrate="contextual", threads=1)
        prompting.Prompt.untrained(s).save(folder / "cloze")
        found |= {"cloze": folder / "cloze", "gpt": gpt_cases.checkpoint(folder / "gpt"), "seq2seq": folder / "pairs" / "out"}
        (folder / "pairs").mkdir()
        seq2seq_cases.run(folder / "pairs", epochs=1).train()
    return found


def reported(folder, n=60):
    """A classifier with its report, which is the reference of drift."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        run = finetune_cases.run("classify", folder, n=n, epochs=1)
        run.data.dev = run.trainer.dev = run.data.train  # examples enough for a test of drift
        run.trainer.dev_features = run.trainer.features
        run.train()
        finish(run)
    return folder / "out"


class Server:
    """``with Server("--model", folder) as server:`` a process, stopped at the end."""

    def __init__(self, *options, **environment):
        command = [sys.executable, "-m", "models.cli", "serve", "--port", "0", *map(str, options)]
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, text=True, **pipes)
        self.said = []
        while line := self.process.stdout.readline():
            self.said.append(line)
            if found := re.search(r"http://[\w.]+:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError(self.process.communicate()[1])
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        for _ in range(600):
            with contextlib.suppress(OSError):
                return self.get("/health")
            time.sleep(0.05)
        raise AssertionError("the server does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.out, self.err = self.process.communicate(timeout=60)

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def post(self, path, content, **headers):
        """(status, JSON)"""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        status, _, answer = self.request("POST", path, body, {"content-type": "application/json", **headers})
        return status, json.loads(answer)

    def get(self, path, **headers):
        """(status, text)"""
        status, _, answer = self.request("GET", path, None, headers)
        return status, answer.decode()
