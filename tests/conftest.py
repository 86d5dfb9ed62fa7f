"""What every test shares: examples that are the same on every run."""

import os

from hypothesis import settings

settings.register_profile("thorough", max_examples=500, deadline=None)
settings.register_profile("default", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
