"""Two emulated hosts on one Linux machine: network namespaces with addresses of their own, joined by a throttled link.

    with hosts(rate="1gbit") as where:
        subprocess.run([*where, "-n", "2", program])

Needs root, ``ip`` and ``tc``, and raises Refused where it may not run. mpiexec runs on the first host, and reaches the other by a
stand-in for ssh that enters its namespace.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

DEVICE = "eth0"  # on both
# The MPI must not notice that both hosts share memory.
NETWORK = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": DEVICE, "MPIR_CVAR_NOLOCAL": "1", "FI_PROVIDER": "tcp"}

WAIT = """
import sys, time
end = time.monotonic() + 10
while open("/sys/class/net/eth0/operstate").read().strip() != "up":
    if time.monotonic() > end:
        sys.exit("its network device does not come up")
    time.sleep(0.05)
"""


class Refused(RuntimeError):
    """This machine does not allow it; the text says why."""


def run(*words: str) -> None:
    """A command of the system."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"`{' '.join(words)}` says: {done.stderr.strip()[:200]}")


@contextlib.contextmanager
def hosts(rate: str = "1gbit", mpiexec: str = "mpiexec") -> Iterator[list[str]]:
    """mpiexec and its arguments for two hosts with a link of this rate; the hosts vanish with the block."""
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            raise Refused(f"there is no program {tool}")
    mark = f"mt{os.getpid() % 100000}"
    names = [f"{mark}a", f"{mark}b"]
    before = {name: os.environ.get(name) for name in NETWORK}
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", DEVICE, "netns", names[0], "type", "veth", "peer", "name", DEVICE, "netns", names[1])
        for i, name in enumerate(names, 1):
            inside = ("ip", "netns", "exec", name)
            run(*inside, "ip", "addr", "add", f"10.77.0.{i}/24", "dev", DEVICE)
            for device in (DEVICE, "lo"):
                run(*inside, "ip", "link", "set", device, "up")
            run(*inside, "tc", "qdisc", "add", "dev", DEVICE, "root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms")
        for name in names:  # the system may take a second to say that a device is up, and MPI uses no other
            run("ip", "netns", "exec", name, sys.executable, "-c", WAIT)
        os.environ.update(NETWORK)
        with tempfile.TemporaryDirectory() as folder:
            ssh = Path(folder) / "ssh"
            ssh.write_text(SSH.format(first=names[0], second=names[1]))
            ssh.chmod(0o755)
            launcher = ["-launcher", "ssh", "-launcher-exec", str(ssh), "-hosts", "10.77.0.1,10.77.0.2"]
            yield ["ip", "netns", "exec", names[0], mpiexec, *launcher]
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


SSH = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
case "$1" in 10.77.0.1) host={first};; *) host={second};; esac
shift
exec ip netns exec "$host" sh -c "$*"
"""
