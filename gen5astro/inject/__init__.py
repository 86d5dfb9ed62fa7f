"""Inject lensed arcs into real galaxies, physically clean or with a planted fault."""
