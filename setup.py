"""The C extension; everything else about the package is in setup.cfg."""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "gen5astro._core",
            sources=sorted(glob("ext/*.c")),
            depends=sorted(glob("ext/*.h")),
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            # As a vector, the four lanes of the digest would be slower: few processors multiply 64-bit lanes.
            extra_compile_args=["-std=c99", "-O3", "-fno-tree-slp-vectorize", "-Wall", "-Wextra"],
            py_limited_api=True,
        )
    ]
)
