"""pretix's own settings for tests."""

from pretix.testutils.settings import *  # noqa: F403

LOGGING = {"version": 1, "disable_existing_loggers": False}
CELERY_TASK_EAGER_PROPAGATES = True
FETCH_ECB_RATES = False  # else pretix's cron asks a bank for them
