"""Settings of the client and of an account, checked when they are read."""
