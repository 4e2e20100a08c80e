"""Optional parts, each for a package of others."""
