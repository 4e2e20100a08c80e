"""The plugin in the released pretix, against the local gateway."""
