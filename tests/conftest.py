"""What all tests share: the devices they run on, how hypothesis draws, and the seeds.

HYPOTHESIS_PROFILE=thorough pytest ...    draws many more examples, different ones each time
pytest --hypothesis-seed=N                repeats what a thorough run found
CHROMIUM=PATH pytest ...                  pages are tested in that browser
EMULATE_CUDA=1 pytest ...                 the device "cuda" is tests/emulated_cupy.py: kernels run on the processor, slowly
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import minitorch
from tests import emulated_cupy

if os.environ.get("EMULATE_CUDA"):
    emulated_cupy.install()

_shared = {
    "deadline": None,  # a machine that is busy is no failure
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
settings.register_profile("default", derandomize=True, max_examples=12, database=None, **_shared)
settings.register_profile("thorough", max_examples=300, print_blob=True, **_shared)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def device(request):
    """Every test that asks for ``device`` runs on the CPU and, where there is one, on a GPU."""
    if request.param == "cuda" and not minitorch.cuda_is_available():
        pytest.skip("no GPU: CuPy is not installed, or finds no GPU with a working driver")
    return request.param


@pytest.fixture(scope="module")
def browser():
    """A real browser: headless Chromium by Playwright (CHROMIUM: the path of another one); without one the test is skipped."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        try:
            path = os.environ.get("CHROMIUM")
            opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--headless=shell"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium here: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture(scope="session", autouse=True)
def _kernels():
    """The CPU's loops are loaded, and the first time compiled, before a test measures or limits anything."""
    minitorch.kernels.prepare()


@pytest.fixture(autouse=True)
def _seed():
    """Each test starts from the same random numbers, in whatever order the tests run."""
    minitorch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries that a test calls may draw from it)
