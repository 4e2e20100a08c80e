"""What the log says where one row, account or receiver failed, and the others go on."""

from __future__ import annotations

import logging
import traceback

from .msisdn import mask_msisdns_in
from .redaction import without_secrets

logger = logging.getLogger("mpesa_integrations")


def log_failure(event: str, error: BaseException, /, **about: object) -> None:
    """Log an error that was caught, with its traceback, and phone numbers masked.

    A database may name a whole row in its error, so it is not left to the logger to write.

    Args:
        event: the line's first word, as `callback.not_decided`.
        error: what was caught.
        about: what a person finds the row by, as `third_party_reference`.
    """
    where = " ".join(f"{name}={value}" for name, value in about.items())
    told = without_secrets(mask_msisdns_in("".join(traceback.format_exception(error))))
    logger.error("%s %s problem=%s\n%s", event, where, type(error).__name__, told.rstrip())
