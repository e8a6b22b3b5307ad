"""Runs inside the page, under Pyodide: unpacks the engine's tests and runs them; what cannot run there is skipped.

tests/test_browser_python.py puts it into a cell, after a line FILES = [...] and with suite.zip next to the page.
"""

import io
import os
import sys
import zipfile

from js import XMLHttpRequest

IMPOSSIBLE = {  # part of an error's text -> why
    "No module named": "a library that is not in the page",
    "safetensors library": "no safetensors",
    "needs ml_dtypes": "no ml_dtypes",
    "can't start new thread": "no threads",
    "does not support processes": "no processes",
    "DID NOT WARN": "NumPy raises no floating-point warnings under WebAssembly",
    "int32": "the test's own NumPy integers have 32 bits",
}

request = XMLHttpRequest.new()
request.open("GET", "suite.zip", False)
request.responseType = "arraybuffer"
request.send()
zipfile.ZipFile(io.BytesIO(request.response.to_bytes())).extractall("suite")
os.chdir("suite")
sys.path.insert(0, ".")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402


class Suite:
    """Counts, and turns failures for an IMPOSSIBLE reason into skips."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def pytest_collection(self):
        settings.register_profile("few", settings.get_profile("default"), max_examples=3)
        settings.load_profile("few")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        self.passed += call.when == "call" and report.passed
        if report.failed:
            text = str(call.excinfo.value)
            reason = next((reason for part, reason in IMPOSSIBLE.items() if part in text), None)
            if reason is None:
                self.failed.append(f"{item.nodeid}: {text[:300]}")
            else:
                report.outcome, report.longrepr = "skipped", (item.nodeid, 0, reason)


suite = Suite()
options = ["-q", "-s", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore", "-m", "not slow", "-o", "markers=slow: not here"]
pytest.main([*options, *(f"tests/test_{name}.py" for name in FILES)], plugins=[suite])  # noqa: F821
print(f"\nSUITE {suite.passed} passed, {len(suite.failed)} failed", *suite.failed, sep="\n")
