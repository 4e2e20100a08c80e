"""A whole business under fire; `make fire`."""
