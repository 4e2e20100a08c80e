"""What holds for the whole suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No test is about time: a busy machine must not fail one, nor the first draw of a text, for which
# Hypothesis makes its table of characters.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
