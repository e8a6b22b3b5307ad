"""``minitorch serve --model FOLDER ...``: options, sockets, processes, signals. Read before: app.py."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib.util
import ipaddress
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import startup
from ..errors import BadInput, count, short
from ..training.loop import available_cores

EXTRA = "serving needs starlette, uvicorn and prometheus_client: pip install -e '.[serve]'"
QUICK, MOST = 10.0, 3  # a process that ends so soon after its start, so many times, is not started again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand's options."""
    add = parser.add_argument
    add(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="a folder that any of the commands wrote, or a published BERT or GPT-2; may be repeated",
    )
    add("--base", default="", help="of adapters: their checkpoint, if that is no longer where it was")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: all of this machine's (default: %(default)s)")
    add("--port", type=int, default=8000, help="0: a free one, which is printed (default: %(default)s)")
    add("--processes", type=int, default=1, help="processes that share the port and the cores (default: %(default)s)")
    add("--workers", type=int, default=0, help="worker threads of each process (default: one per core)")
    add("--batch-tokens", type=int, metavar="N", help="tokens of a batch at most (default: 96 on a CPU, 16384 on a GPU)")
    add("--queue", type=int, default=512, metavar="N", help="texts that may wait; more get status 429 (default: %(default)s)")
    add(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for a request's head, its body, and its answer (default: %(default)s)",
    )
    add("--max-body", type=float, default=2.0, metavar="MB", help="size of a request (default: %(default)s)")
    add("--max-texts", type=int, default=256, metavar="N", help="texts of a request (default: %(default)s)")
    add(
        "--max-tokens",
        type=int,
        default=65536,
        metavar="N",
        help="tokens of a request, read or to be written (default: %(default)s)",
    )
    add(
        "--keys", metavar="FILE", default="", help="API keys, one a line; or in the variable MINITORCH_API_KEYS, joined by commas"
    )
    add("--cors", metavar="ORIGINS", default="", help="web pages of these origins may ask, joined by commas (default: none)")
    add(
        "--reload", type=float, default=0.0, metavar="SECONDS", help="look so often whether a folder has changed (default: never)"
    )
    add("--log", metavar="FILE", default="", help="a JSON line per answer: time, model, latency, length, label, confidence")
    add("--log-texts", action="store_true", help="the texts, too, in --log")
    add("--device", default="cpu", help="cpu or cuda (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; what was accepted by then is answered."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "prometheus_client")):
        raise BadInput(EXTRA)
    check(args)
    from .folders import named
    from .keys import Keys

    named(args.model)
    keys, listener = Keys(args.keys), listen(args.host, args.port)
    with contextlib.closing(listener):
        if not keys and not is_local(args.host):
            print(f"note: without keys everybody who reaches {args.host} may ask (--keys FILE)", file=sys.stderr)
        return serve(args, listener) if args.processes == 1 else supervise(args, listener)


def check(args: argparse.Namespace) -> None:
    """BadInput for values that cannot work."""
    if not args.model:
        raise BadInput("--model FOLDER is missing: what is to be served")
    for name, most in {
        "processes": 64,
        "batch_tokens": 1 << 20,
        "queue": 1 << 20,
        "max_texts": 1 << 16,
        "max_tokens": 1 << 24,
    }.items():
        if (value := getattr(args, name)) is not None and not 1 <= value <= most:
            raise BadInput(f"--{name.replace('_', '-')} must be from 1 to {most}, not {value}")
    for name, least, high in (
        ("timeout", 0.1, 3600),
        ("max_body", 0.001, 1024),
        ("reload", 0, 86400),
        ("workers", 0, 256),
        ("port", 0, 65535),
    ):
        if not least <= (value := getattr(args, name)) <= high:
            raise BadInput(f"--{name.replace('_', '-')} must be from {least:g} to {high:g}, not {value:g}")
    if args.log_texts and not args.log:
        raise BadInput("--log-texts says what --log FILE keeps: give it, too")
    if args.log:
        try:
            with open(args.log, "a"):
                pass
        except OSError as error:
            raise BadInput(f"--log {args.log}: cannot be written ({error.strerror})") from None
    for origin in filter(None, args.cors.split(",")):
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise BadInput(f"--cors {short(origin)}: an origin begins with http:// or https://, as https://example.org")


def is_local(host: str) -> bool:
    """Is it an address that other machines cannot reach?"""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket of the address, before anything is loaded: BadInput if the port is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):
        raise BadInput(
            f"--host {short(host)}: no such address; 127.0.0.1 is this machine alone, 0.0.0.0 all its addresses"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a stop the address is free at once
        listener.bind(address)
        listener.listen(1024)  # who asks while the models are read waits, and is not refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BadInput(f"port {port} of {host} is in use: --port N takes another one, --port 0 a free one") from None
        raise BadInput(f"--host {host} --port {port}: {error.strerror}") from None
    return listener


def serve(args: argparse.Namespace, listener: socket.socket, up: Any = None) -> int:
    """One process: load, answer, stop. ``up``: an event for the parent process, which is told of reloads."""
    import uvicorn

    import minitorch

    from ..training.settings import usable_device
    from .app import make_app
    from .batching import Batcher
    from .connections import patient
    from .folders import load, named, share
    from .keys import Keys
    from .log import Log
    from .metrics import Metrics
    from .server import Limits, Server

    device = usable_device(args.device)
    minitorch.kernels.prepare()
    models = {name: load(name, folder, device, args.base) for name, folder in named(args.model).items()}
    share(models.values())
    metrics, log = Metrics(), Log(args.log, args.log_texts)
    workers = args.workers or max(1, (available_cores() if device == "cpu" else 1) // args.processes)
    batcher = Batcher(workers, args.batch_tokens, args.queue, metrics.batch)
    limits = Limits(int(args.max_body * (1 << 20)), args.max_texts, args.max_tokens, args.timeout)
    server = Server(models, batcher, limits, metrics, log, device)
    if up is not None:
        server.tell = lambda: os.kill(os.getppid(), signal.SIGHUP)
    app = make_app(server, Keys(args.keys), args.cors, args.reload)
    grace = int(args.timeout) + 5
    config = uvicorn.Config(
        app,
        http=patient(args.timeout),
        log_level="error",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=grace,
        lifespan="on",
        backlog=1024,
    )
    sys.setswitchinterval(2e-4)  # a worker needs Python's lock between any two products, and a request's parts hold it for 1 ms
    gc.collect()
    gc.freeze()  # or Python would look through all of it several times a minute, for 70 ms in which no text is computed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more when all is answered
    if up is None:
        announce(models, listener, f"{count(workers, 'worker')}")
    else:
        up.set()
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def announce(models: dict[str, Any], listener: socket.socket, how: str) -> None:
    """Which models, where."""
    for name, served in models.items():
        print(f"{name}: {served.kind}, version {served.version}, from {served.folder}")
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"serving on http://{shown}:{port} with {how}; Ctrl-C stops", flush=True)


# ------------------------------------------------------------------------------------------------- several processes


def child(args: argparse.Namespace, listener: socket.socket, up: Any, parent: int) -> None:
    """What one of several processes runs."""
    startup.prepare()
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent passes Ctrl-C on; until the models are there, nothing is reloaded
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    try:
        sys.exit(serve(args, listener, up))
    except BadInput as error:
        print(f"minitorch serve: error: {error}", file=sys.stderr)
        sys.exit(2)


def end_with(parent: int) -> None:
    """Stop when the parent has been killed: nobody else would."""
    while True:
        time.sleep(1)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def supervise(args: argparse.Namespace, listener: socket.socket) -> int:
    """Start the processes, start one again that dies, pass signals on. The parent answers nothing itself."""
    if os.name == "nt":
        raise BadInput("--processes needs a system where processes share a socket; here one process serves with several workers")
    context = multiprocessing.get_context("spawn")
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda which, _: asked.append(which))
    with tempfile.TemporaryDirectory(prefix="minitorch-serve-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder

        def begin() -> tuple[Any, float, Any]:
            up = context.Event()
            process = context.Process(target=child, args=(args, listener, up, os.getpid()))
            process.start()
            return process, time.monotonic(), up

        first = begin()
        while not first[2].wait(0.1):  # its errors are those of all
            if not first[0].is_alive() or signal.SIGTERM in asked or signal.SIGINT in asked:
                first[0].terminate()
                first[0].join()
                return first[0].exitcode if first[0].exitcode in (1, 2) else stopped(asked)
        processes = [first, *(begin() for _ in range(args.processes - 1))]
        port = listener.getsockname()[1]
        print(f"serving on http://{args.host}:{port} with {args.processes} processes; Ctrl-C stops", flush=True)
        return mind(processes, begin, asked)


def mind(processes: list[Any], begin: Callable[[], Any], asked: list[int]) -> int:
    """Until a signal to stop: keep as many processes alive."""
    from prometheus_client import multiprocess

    quick = 0
    while not {signal.SIGTERM, signal.SIGINT} & set(asked):
        if signal.SIGHUP in asked:
            asked.clear()
            for process, _, _ in processes:
                os.kill(process.pid, signal.SIGHUP)
        for i, (process, since, _) in enumerate(processes):
            if not process.is_alive():
                multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
                quick = quick + 1 if time.monotonic() - since < QUICK else 0
                if quick >= MOST:
                    asked.append(signal.SIGTERM)
                    print("minitorch serve: error: processes end right after their start; see above", file=sys.stderr)
                    break
                print(
                    f"minitorch serve: process {process.pid} has ended ({process.exitcode}); another takes its place",
                    file=sys.stderr,
                )
                processes[i] = begin()
        time.sleep(0.1)
    for process, _, _ in processes:
        process.terminate()
    for process, _, _ in processes:
        process.join()
    return 2 if quick >= MOST else stopped(asked)


def stopped(asked: list[int]) -> int:
    """The status after SIGTERM; Ctrl-C ends this command as it ends others."""
    if signal.SIGINT in asked:
        raise KeyboardInterrupt
    return 0
