"""minitorch serve: keys, full queues, deadlines, clients that leave or dawdle, reloads, processes, what is refused at start."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

import minitorch
from models import bert
from tests import finetune_cases, gpt_cases
from tests import serving_cases as cases

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package)

KEYS = "first-key-with-enough-letters", "second-key-with-enough-letters"
FOREVER = {"inputs": "The ", "parameters": {"max_new_tokens": 50_000, "seed": 1}}  # hours of writing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small masked LM."""
    return finetune_cases.checkpoint(tmp_path_factory.mktemp("limits") / "bert")


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A GPT that never comes to an end by itself."""
    return gpt_cases.checkpoint(tmp_path_factory.mktemp("limits") / "gpt", eos_token_id=None)


def stats(server):
    return json.loads(server.get("/stats")[1])


def wait_for(condition, seconds=30):
    """Until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(scope="module")
def guarded(folder):
    """A server with keys that waits for a second."""
    keys = folder.parent / "keys"
    keys.write_text(f"# of the shop\n{KEYS[0]}\n\n{KEYS[1]}  # of the desk\n")
    options = ("--keys", keys, "--cors", "https://example.org", "--timeout", "1")
    with cases.Server("--model", f"m={folder}", *options) as server:
        yield server


def test_keys(guarded):
    """Of a file: in either header; without one nothing of a model is told."""
    server = guarded
    body = {"inputs": "a film"}
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"x-api-key": KEYS[0][:-1]},
        {"authorization": f"Basic {KEYS[0]}"},
    ):
        status, answer = server.post("/embed", body, **headers)
        assert (status, answer["error"]) == (
            401,
            "this server asks for a key: send it as the header Authorization: Bearer KEY",
        )
        assert server.get("/info", **headers)[0] == server.get("/metrics", **headers)[0] == 401
        assert server.post("/admin/reload", {}, **headers)[0] == 401
    assert server.post("/embed", body, authorization=f"Bearer {KEYS[0]}")[0] == 200
    assert server.post("/embed", body, **{"x-api-key": KEYS[1]})[0] == 200
    assert [server.get(path)[0] for path in ("/health", "/ready", "/", "/docs")] == [200] * 4
    origin = {"origin": "https://example.org", "access-control-request-method": "POST"}
    assert server.request("OPTIONS", "/embed", None, origin)[1]["access-control-allow-origin"] == "https://example.org"
    other = server.request("OPTIONS", "/embed", None, {**origin, "origin": "https://example.com"})
    assert other[1]["access-control-allow-origin"] is None


@pytest.fixture(scope="module")
def narrow(writer):
    """A server with one worker and room for one text that waits."""
    with cases.Server("--model", writer, "--workers", "1", "--queue", "1", "--timeout", "3") as server:
        yield server
    assert server.err == ""


def test_a_full_queue_says_when_to_come_again(narrow):
    """429 with Retry-After; one that waits too long is told."""
    server = narrow
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.post, "/answer", FOREVER)
        wait_for(lambda: stats(server)["busy"] == 1)
        second = pool.submit(server.post, "/answer", FOREVER)
        wait_for(lambda: stats(server)["waiting"] == 1)
        assert server.get("/ready")[0] == 503
        body, kind = json.dumps(FOREVER).encode(), {"content-type": "application/json"}
        status, headers, answer = server.request("POST", "/answer", body, kind)
        assert (status, int(headers["retry-after"]) >= 1) == (429, True)
        assert json.loads(answer)["error_type"] == "overloaded"
        for late in (first, second):
            status, answer = late.result()
            assert (status, "no answer within 3 s" in answer["error"]) == (503, True)
    wait_for(lambda: (stats(server)["busy"], stats(server)["waiting"]) == (0, 0))


def test_a_client_that_leaves_is_not_computed(narrow):
    """The worker is free again, though the text would have taken hours; also of a stream."""
    stream = {"prompt": "The ", "max_tokens": 50_000, "stream": True}
    for path, body in (("/answer", FOREVER), ("/v1/completions", stream)):
        connection = http.client.HTTPConnection("127.0.0.1", narrow.port)
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        wait_for(lambda: stats(narrow)["busy"] == 1)
        if "stream" in body:
            assert connection.getresponse().read(6) == b"data: "
        connection.close()
        wait_for(lambda: stats(narrow)["busy"] == 0)


def test_slow_and_broken_clients(guarded):
    """A body that does not come is given up; half a request, garbage and a reset leave the server as it was."""

    def dial(data):
        made = socket.create_connection(("127.0.0.1", guarded.port), timeout=30)
        made.sendall(data)
        return made

    header = f"Host: x\r\nX-API-Key: {KEYS[0]}\r\nContent-Type: application/json\r\n".encode()
    start = b"POST /embed HTTP/1.1\r\n" + header + b"Content-Length: 100\r\n\r\n{"
    with dial(start) as slow:
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    for data in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /embed HTTP/9.9\r\n\r\n", start):
        dial(data).close()
    chunked = start.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked").replace(b"\n{", b"\n5\r\n{}   \r\n0\r\n\r\n")
    with dial(chunked) as made:
        assert made.recv(100).startswith(b"HTTP/1.1 422")
    assert guarded.post("/embed", {"inputs": "a film"}, **{"x-api-key": KEYS[0]})[0] == 200
    whole = start.replace(b"100\r\n\r\n{", b'20\r\n\r\n{"inputs": "a film"}')
    for before in (b"", b"POST /em", whole):  # a client that sends nothing, half a head, half a head after an answer
        with dial(before) as made:
            if before == whole:
                answer = made.recv(10_000)
                assert answer.startswith(b"HTTP/1.1 200")
                while not answer.endswith(b"]]"):  # the body may come later than its head
                    answer += made.recv(10_000)
                made.sendall(b"POST /embed HTTP/1.1\r\nHost:")
            assert made.recv(100).startswith(b"HTTP/1.1 408")
            assert made.recv(100) == b""
    with dial(b"POST /embed HTTP/1.1\r\n") as made, pytest.raises(OSError):  # noqa: PT012
        while True:  # a header line at a time, for ever
            time.sleep(0.1)
            made.sendall(b"X: y\r\n")


def test_weights_that_give_nan_are_told(tmp_path):
    """Finite, but too large: 424, not a wrong answer."""
    _, model = bert.load(finetune_cases.checkpoint(tmp_path / "nan"))
    with minitorch.no_grad():
        for layer in model.bert.encoder.layer:
            for part in (layer.attention.output.LayerNorm, layer.intermediate.dense, layer.output.dense):
                part.weight.copy_(part.weight * 1e17)  # 1e17³ is beyond float32
    model.save_pretrained(tmp_path / "nan")
    with cases.Server("--model", tmp_path / "nan") as server:
        status, answer = server.post("/embed", {"inputs": "a film"})
    assert (status, "its weights are damaged" in answer["error"]) == (424, True)


def test_reload_drops_no_request(tmp_path):
    """Requests all the while: each gets an answer of the old version or of the new one, never a mixture or an error."""
    old = finetune_cases.checkpoint(tmp_path / "m")
    new = finetune_cases.checkpoint(tmp_path / "new", initializer_range=0.3)
    with cases.Server("--model", old) as server:
        seen, stop = {}, threading.Event()

        def ask():
            while not stop.is_set():
                headers = {"content-type": "application/json"}
                status, headers, body = server.request("POST", "/embed", b'{"inputs": "a good film"}', headers)
                assert status == 200
                seen.setdefault(headers["x-model-version"], set()).add(tuple(round(x, 4) for x in json.loads(body)[0]))

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            wait_for(lambda: seen)
            shutil.copy(new / "model.safetensors", old / "model.safetensors")
            status, answer = server.post("/admin/reload", {})
            wait_for(lambda: len(seen) == 2)
            stop.set()
            for each in asking:
                each.result()
        assert (status, answer[0]["version"] != answer[0]["before"], len(seen)) == (200, True, 2)
        assert [len(vectors) for vectors in seen.values()] == [1, 1]
        assert seen.keys() == {answer[0]["version"], answer[0]["before"]}
        (old / "model.safetensors").write_bytes(b"damaged")
        status, refused = server.post("/admin/reload", {"model": "m"})
        assert (status, f"version {answer[0]['version']} goes on" in refused["error"]) == (409, True)
        assert server.post("/embed", {"inputs": "a good film"})[0] == 200
        assert server.post("/admin/reload", {"model": "x"})[0] == 404


def test_a_changed_folder_is_loaded_by_itself(tmp_path):
    old = finetune_cases.checkpoint(tmp_path / "m")
    new = finetune_cases.checkpoint(tmp_path / "new", initializer_range=0.3)
    with cases.Server("--model", old, "--reload", "0.1") as server:
        before = json.loads(server.get("/info")[1])["model_sha"]
        shutil.copy(new / "model.safetensors", old / "model.safetensors")
        wait_for(lambda: json.loads(server.get("/info")[1])["model_sha"] != before)
        now = json.loads(server.get("/info")[1])["model_sha"]
        (old / "model.safetensors").write_bytes(b"damaged")
        time.sleep(0.5)
        assert json.loads(server.get("/info")[1])["model_sha"] == now
    assert server.err.count("cannot be loaded") == 1  # and not at every look


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="one process on Windows")
def test_several_processes_share_a_port(folder, writer):
    """One that is killed costs what it held; another takes its place. Numbers are those of all; a reload reaches all."""
    options = ("--model", f"m={folder}", "--model", f"g={writer}", "--processes", "2", "--workers", "1", "--timeout", "20")
    with cases.Server(*options) as server:

        def versions():
            return {json.loads(server.get("/info")[1])["models"][0]["loaded"] for _ in range(30)}

        wait_for(lambda: len(versions()) == 2)
        before = versions()
        assert server.post("/admin/reload", {"model": "m"})[0] == 200
        wait_for(lambda: not versions() & before)

        def servers():
            own = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
            return [int(pid) for pid in own if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]

        killed = servers()[0]
        os.kill(killed, signal.SIGKILL)
        lost = 0
        for _ in range(40):
            try:
                assert server.post("/embed", {"inputs": "a film", "model": "m"})[0] == 200
            except (OSError, http.client.HTTPException):
                lost += 1
        assert lost <= 2
        wait_for(lambda: killed not in servers() and len(servers()) == 2)  # the parent looks ten times per second
        wait_for(lambda: 'route="/embed",status="200"' in server.get("/metrics")[1])
    assert server.process.returncode == 0
    assert "has ended (-9); another takes its place" in server.err


def test_a_port_in_use(folder, capsys):
    from models.cli import main

    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--model", str(folder), "--port", str(port)]) == 2
    cure = "--port N takes another one, --port 0 a free one"
    assert capsys.readouterr().err == f"minitorch serve: error: port {port} of 127.0.0.1 is in use: {cure}\n"


def test_what_cannot_be_served_is_one_line(folder, tmp_path, capsys):
    from models.cli import main

    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "short").write_text("abc\n")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "config.json").write_text('{"model_type": "t5"}')
    m = ["--model", str(folder)]
    for options, text in [
        ([], "--model FOLDER is missing"),
        (["--model", f"{tmp_path}/absent"], "no such folder"),
        (["--model", f"{tmp_path}/empty"], "no config.json here, so this is not a saved model"),
        (["--model", f"{tmp_path}/file"], "a file; give the folder"),
        (["--model", f"{tmp_path}/adapter"], "an adapter without finetune.json"),
        (["--model", f"{tmp_path}/t5"], "a model of type 't5'"),
        ([*m, *m], "two models are called 'bert'"),
        (["--model", f"a b={folder}"], "'a b' is no name for an address"),
        (["--model", "m="], "the folder is missing"),
        ([*m, "--keys", f"{tmp_path}/absent"], "absent: no such file"),
        ([*m, "--keys", f"{tmp_path}/short"], "must have 16 characters or more"),
        ([*m, "--host", "not a host"], "no such address"),
        ([*m, "--host", "192.0.2.1"], "Cannot assign requested address"),
        ([*m, "--port", "70000"], "--port must be from 0 to 65535, not 70000"),
        ([*m, "--queue", "0"], "--queue must be from 1 to"),
        ([*m, "--timeout", "nan"], "--timeout must be from 0.1 to 3600, not nan"),
        ([*m, "--log", f"{tmp_path}"], "cannot be written (Is a directory)"),
        ([*m, "--log-texts"], "--log FILE"),
        ([*m, "--cors", "example.org"], "an origin begins with http://"),
        ([*m, "--device", "tpu"], "unknown device"),
    ]:  # fmt: skip
        assert main(["serve", "--port", "0", *options]) == 2
        said = capsys.readouterr().err
        assert (text in said, said.count("\n")) == (True, 1), said


def test_a_missing_extra_is_named(folder, monkeypatch, capsys):
    import importlib.util

    from models.cli import main

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else found(name, *more))
    assert main(["serve", "--model", str(folder)]) == 2
    assert "pip install -e '.[serve]'" in capsys.readouterr().err
