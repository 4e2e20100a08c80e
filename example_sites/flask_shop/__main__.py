"""The café's commands: `python -m example_sites.flask_shop serve`, and every command of Flask's."""

import logging.config

from flask.cli import FlaskGroup

from .app import create_app


def _is_news(record: logging.LogRecord) -> bool:
    # That no production gateway is used is what this example is about.
    return not record.msg.startswith("config.doubtful")


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "café: {message}", "style": "{"}},
    "filters": {"news": {"()": lambda: _is_news}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "filters": ["news"],
        }
    },
    "loggers": {
        "example_sites": {"handlers": ["console"], "level": "INFO"},
        "mpesa_integrations": {"handlers": ["console"], "level": "WARNING"},
    },
}

if __name__ == "__main__":
    logging.config.dictConfig(LOGGING)
    FlaskGroup(create_app=create_app, load_dotenv=False)()
