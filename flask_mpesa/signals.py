"""The signals that are sent about an app's payments, whose sender is the app; docs/signals.md."""

from mpesa_integrations.signals import *  # noqa: F403
from mpesa_integrations.signals import __all__  # noqa: F401
