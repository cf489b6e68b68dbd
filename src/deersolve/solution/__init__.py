"""What solve returns, and how it is shown."""
