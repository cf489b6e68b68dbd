"""How much of Newton's correction is taken: one file for each way."""
