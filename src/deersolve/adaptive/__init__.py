"""Initial value problems to a tolerance: the march that finds the grid, and what is made of it."""
