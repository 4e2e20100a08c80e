"""The developer portal of the local gateway: what a developer does at the real one, on a laptop."""
