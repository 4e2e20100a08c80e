"""The café's commands: `python -m example_sites.flask_shop serve`, and every command of Flask's."""

import logging.config

from flask.cli import FlaskGroup

from .app import create_app

if __name__ == "__main__":
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"plain": {"format": "café: {message}", "style": "{"}},
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
            "loggers": {"example_sites": {"handlers": ["console"], "level": "INFO"}},
        }
    )
    FlaskGroup(create_app=create_app, load_dotenv=False)()
