"""Inject lensed arcs into real galaxies, physically clean or with a planted fault."""

__all__ = ["inject_blocks"]


def __getattr__(name):
    if name == "inject_blocks":
        from gen5astro.inject.blocks import inject_blocks

        return inject_blocks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
