"""torch.autograd's names: gradients for users. The graph and the backward pass themselves are in graph.py.

Read next: functional.py, function.py.
"""

from ..grad_mode import enable_grad as enable_grad
from ..grad_mode import inference_mode as inference_mode
from ..grad_mode import no_grad as no_grad
from ..grad_mode import set_grad_enabled as set_grad_enabled
from ..graph import Node as Node
from ..graph import backward as backward
from ..graph import grad as grad
from ..graph import op as op
from ..tools.anomaly import detect_anomaly as detect_anomaly
from ..tools.gradcheck import gradcheck as gradcheck
from ..tools.gradcheck import gradgradcheck as gradgradcheck
from . import functional as functional
from .function import Function as Function
from .function import once_differentiable as once_differentiable
