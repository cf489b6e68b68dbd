"""The iteration: the discrete equation, steps, windows, the certificate, and the derivative of the result."""
