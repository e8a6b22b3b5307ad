"""Methods: the operations that a Tensor has as methods and operators, one line each. Look them up as you need them.

For ``x.exp()`` open the file that the section names.
Read before: ops/elementwise.py. Read next: tensor.py.
"""

from __future__ import annotations

from typing import Any

from . import ops


class Methods:
    """``x.NAME(...)`` calls ``ops.NAME(x, ...)``, and ``x + y`` calls ``ops.add``. Tensor inherits all of it."""

    __slots__ = ()

    # ------------------------------------------ operations: ops/elementwise.py, comparisons.py, extra_elementwise.py
    __add__ = __radd__ = add = ops.add
    __sub__ = sub = subtract = ops.sub
    __rsub__ = ops.rsub
    __mul__ = __rmul__ = mul = multiply = ops.mul
    __truediv__ = div = divide = ops.div
    true_divide = ops.true_divide
    __floordiv__ = floor_divide = ops.floor_divide
    __mod__ = remainder = ops.remainder
    __pow__ = pow = ops.pow
    __neg__ = neg = negative = ops.neg
    __pos__ = positive = ops.positive
    __abs__ = abs = absolute = ops.abs
    __and__ = __rand__ = bitwise_and = ops.bitwise_and
    __or__ = __ror__ = bitwise_or = ops.bitwise_or
    __xor__ = __rxor__ = bitwise_xor = ops.bitwise_xor
    __invert__ = bitwise_not = ops.bitwise_not
    __lt__ = lt = less = ops.lt
    __le__ = le = less_equal = ops.le
    __gt__ = gt = greater = ops.gt
    __ge__ = ge = greater_equal = ops.ge
    eq = ops.eq
    ne = not_equal = ops.ne
    equal = ops.equal

    __rtruediv__ = ops.elementwise.rdiv

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Any:
        return ops.remainder(other, self)

    def __rpow__(self, other: Any) -> Any:
        return ops.pow(other, self)

    def __eq__(self, other: Any) -> Any:
        return ops.eq(self, other) if ops.comparisons.is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return ops.ne(self, other) if ops.comparisons.is_operand(other) else NotImplemented

    square = ops.square
    float_power = ops.float_power
    sqrt = ops.sqrt
    rsqrt = ops.rsqrt
    reciprocal = ops.reciprocal
    exp = ops.exp
    exp2 = ops.exp2
    expm1 = ops.expm1
    log = ops.log
    log2 = ops.log2
    log10 = ops.log10
    log1p = ops.log1p
    tanh = ops.tanh
    sigmoid = ops.sigmoid
    sin = ops.sin
    cos = ops.cos
    tan = ops.tan
    sinh = ops.sinh
    cosh = ops.cosh
    erf = ops.erf
    erfc = ops.erfc
    sign = ops.sign
    floor = ops.floor
    ceil = ops.ceil
    trunc = ops.trunc
    round = ops.round
    frac = ops.frac
    maximum = ops.maximum
    minimum = ops.minimum
    clamp = clip = ops.clamp
    clamp_min = ops.clamp_min
    clamp_max = ops.clamp_max
    lerp = ops.lerp
    addcmul = ops.addcmul
    addcdiv = ops.addcdiv
    masked_fill = ops.masked_fill
    nan_to_num = ops.nan_to_num
    isnan = ops.isnan
    isinf = ops.isinf
    isfinite = ops.isfinite
    isposinf = ops.isposinf
    isneginf = ops.isneginf
    isclose = ops.isclose
    allclose = ops.allclose
    logical_and = ops.logical_and
    logical_or = ops.logical_or
    logical_xor = ops.logical_xor
    logical_not = ops.logical_not

    def where(self, condition: Any, other: Any) -> Any:
        """self where condition is True, else other"""
        return ops.where(condition, self, other)

    # ----------------------------------------------------------- operations: ops/reductions.py, extra_reductions.py
    sum = ops.sum
    sum_to_size = ops.sum_to_size
    nansum = ops.nansum
    mean = ops.mean
    nanmean = ops.nanmean
    var = ops.var
    std = ops.std
    prod = ops.prod
    amax = ops.amax
    amin = ops.amin
    max = ops.max
    min = ops.min
    argmax = ops.argmax
    argmin = ops.argmin
    logsumexp = ops.logsumexp
    norm = ops.norm
    cumsum = ops.cumsum
    cumprod = ops.cumprod
    sort = ops.sort
    argsort = ops.argsort
    topk = ops.topk
    any = ops.any
    all = ops.all
    count_nonzero = ops.count_nonzero
    # ----------------------------------------------------------------- operations: ops/shaping.py, extra_shaping.py
    reshape = ops.reshape
    view = ops.view
    flatten = ops.flatten
    unflatten = ops.unflatten
    ravel = ops.ravel
    permute = ops.permute
    transpose = ops.transpose
    swapaxes = ops.swapaxes
    swapdims = ops.swapdims
    t = ops.t
    movedim = ops.movedim
    moveaxis = ops.moveaxis
    unsqueeze = ops.unsqueeze
    squeeze = ops.squeeze
    expand = ops.expand
    expand_as = ops.expand_as
    broadcast_to = ops.broadcast_to
    view_as = ops.view_as
    reshape_as = ops.reshape_as
    repeat = ops.repeat
    tile = ops.tile
    split = ops.split
    tensor_split = ops.tensor_split
    chunk = ops.chunk
    unbind = ops.unbind
    flip = ops.flip
    roll = ops.roll
    tril = ops.tril
    triu = ops.triu
    diagonal = ops.diagonal
    diag = ops.diag
    diag_embed = ops.diag_embed
    contiguous = ops.contiguous
    clone = ops.clone
    T = property(ops.shaping.T)
    mT = property(ops.shaping.mT)
    # --------------------------------------------------------------- operations: ops/indexing.py, extra_indexing.py
    __getitem__ = ops.indexing.getitem
    select = ops.select
    narrow = ops.narrow
    index_select = ops.index_select
    gather = ops.gather
    scatter = ops.scatter
    scatter_add = ops.scatter_add
    index_add = ops.index_add
    take_along_dim = ops.take_along_dim
    take = ops.take
    repeat_interleave = ops.repeat_interleave
    masked_select = ops.masked_select
    nonzero = ops.nonzero
    argwhere = ops.argwhere
    # ------------------------------------------------------------------- operations: ops/linalg.py, extra_linalg.py
    __matmul__ = ops.matmul

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    matmul = ops.matmul
    mm = ops.mm
    bmm = ops.bmm
    mv = ops.mv
    dot = ops.dot
    vdot = ops.vdot
    inner = ops.inner
    outer = ops.outer
    addmm = ops.addmm
    addmv = ops.addmv
    baddbmm = ops.baddbmm
    trace = ops.trace
    # -------------------------------------------------------------------------------------- operations: ops/nn.py
    relu = ops.relu
    softmax = ops.softmax
    log_softmax = ops.log_softmax
    xlogy = ops.xlogy
