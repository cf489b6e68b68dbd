"""``python -m deersolve.testing``: the table of the built-in rules."""

import sys

from .table import rule_table

if __name__ == "__main__":
    sys.stdout.write(rule_table() + "\n")
