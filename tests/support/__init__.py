"""What tests of several folders use: one thing a file, and nothing that only one folder needs."""
