"""Linear algebra of many small systems: G at every point, scans, bands, Krylov methods, a sparse LU."""
