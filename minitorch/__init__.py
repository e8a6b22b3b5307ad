"""minitorch: a deep-learning engine, small enough to read end to end, tested enough to rely on.

Read in this order: devices, dtypes, grad_mode, graph (the graph and the backward pass), ops/ (each operation with its
gradient), tensor, nn/ (layers), optim/, data/. The debugging tools are in tools/; look them up when you need them.
Names, arguments and defaults are PyTorch's.
"""

from . import amp as amp
from . import autograd as autograd
from . import cuda as cuda
from . import data as data
from . import distributed as distributed
from . import linalg as linalg
from . import nn as nn
from . import optim as optim
from . import utils as utils
from .amp import autocast as autocast
from .amp import get_autocast_dtype as get_autocast_dtype
from .amp import is_autocast_enabled as is_autocast_enabled
from .blas import get_num_threads as get_num_threads
from .blas import set_num_threads as set_num_threads
from .creation import *
from .devices import cuda_is_available as cuda_is_available
from .devices import device as device
from .dtypes import *
from .dtypes import __getattr__ as __getattr__
from .dtypes import bool_ as bool
from .dtypes import float_ as float
from .dtypes import int_ as int
from .grad_mode import enable_grad as enable_grad
from .grad_mode import inference_mode as inference_mode
from .grad_mode import is_grad_enabled as is_grad_enabled
from .grad_mode import no_grad as no_grad
from .grad_mode import set_grad_enabled as set_grad_enabled
from .kernels.cublas import get_float32_matmul_precision as get_float32_matmul_precision
from .kernels.cublas import set_float32_matmul_precision as set_float32_matmul_precision
from .kernels.deterministic import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from .kernels.deterministic import use_deterministic_algorithms as use_deterministic_algorithms
from .ops import *
from .random import *
from .serialization import load as load
from .serialization import save as save
from .tensor import Tensor as Tensor
from .tools.anomaly import detect_anomaly as detect_anomaly
from .tools.drawing import draw_graph as draw_graph
from .tools.profiler import live_tensors as live_tensors
from .tools.profiler import profile as profile

__version__ = "0.1.0"
