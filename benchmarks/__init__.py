"""How fast the pixel work is beside the field's own tools: ``python -m benchmarks``.

Every class is a benchmark that asv can run as well: ``setup`` makes the input, ``time_gen5astro`` is ours, the other
``time_*`` methods are the peers named in ``peers``. All of them return what they computed, and the tests compare it.
"""
