"""Where y lives: points, their differences, conditions and fluxes, and the shifters on them."""
