"""The functions of scipy.integrate, by the methods of the package."""
