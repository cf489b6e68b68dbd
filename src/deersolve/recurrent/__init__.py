"""Recurrences as people write them: ``scan`` of a step."""
