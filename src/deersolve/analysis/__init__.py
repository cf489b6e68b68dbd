"""What is asked of a solution: derivatives, branches, Lyapunov exponents."""
