"""A long trajectory window by window."""
