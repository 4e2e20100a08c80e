"""What the library costs, each time against the same work by hand, measured side by side."""
