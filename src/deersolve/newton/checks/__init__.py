"""What is looked at before a solve, and why it failed or is not to be trusted."""
