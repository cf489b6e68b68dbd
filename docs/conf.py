"""Sphinx configuration: ``sphinx-build docs build/docs``."""

project = "deersolve"
author = "the deersolve authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "alabaster"
exclude_patterns = ["images", "_build"]
