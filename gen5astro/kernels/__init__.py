"""Compiled work on pixels and ranks: serial, releasing the GIL, cached on disk, the same bits on any number of threads.

Faces validate and allocate; the private kernels below them know arrays only. Sums are kept in float64, and a pixel
that is not a number makes the numbers that read it NaN. Contraction to fused multiply-add is the one liberty that the
compiler has.
"""
