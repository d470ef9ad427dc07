"""Settings of the tests of formats."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow now and then: the time of a single example says nothing.
settings.register_profile("formats", deadline=None)
settings.load_profile("formats")
