"""Kernels: the numerics of hot operations. Each has a name, a definition and faster implementations.

dispatch.py   which of them runs, and how to replace one by your own
loops/        loops for float32 on the CPU, compiled by numba where it is installed
cpu.py        fast NumPy for float32, where it is not; matrix products on the CPU
lists.py      the definitions of the norm of all gradients, of scaling and of adding them
updates.py    Adam's arithmetic, in place
cuda/         the same kernels in CUDA C, for CuPy arrays
cublas.py     matrix products of CuPy arrays
philox.py     dropout masks: computed where they are needed, not stored
The definitions are next to their gradients in ops/. ``use`` replaces a kernel by a function of your own:

    with kernels.use(gelu=my_gelu):
        model(ids)

A kernel that saves something for its gradient returns it after the result; NAME_backward takes it. A kernel returns fresh
arrays and never modifies its arguments, except ``adam`` and the ``*_all`` kernels other than ``norm_all``, which work in place.
``kernels.reference`` holds every definition, ``kernels.KERNELS`` every kernel, by name.
Read before: devices.py. Read next: dispatch.py.
"""

from . import cpu as cpu
from .dispatch import KERNELS as KERNELS
from .dispatch import as_array as as_array
from .dispatch import hand_for as hand_for
from .dispatch import kernel as kernel
from .dispatch import prepare as prepare
from .dispatch import reference as reference
from .dispatch import use as use
