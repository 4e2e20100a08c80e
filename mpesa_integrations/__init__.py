"""The public face of the library: client, configuration, results, codes and errors."""

__version__ = "0.1.0"
