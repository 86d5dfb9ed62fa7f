"""Compiled work on pixels and ranks: serial, releasing the GIL, cached on disk, the same bits on any number of threads.

Faces validate and allocate; the private kernels below them know arrays only. Sums are kept in float64, and a pixel that
is not a number makes the numbers that read it NaN.
"""

import numba

__all__ = ["compiled"]

#: Decorator of every kernel. Contraction to fused multiply-add is the one liberty the compiler has: NaN stays NaN.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
