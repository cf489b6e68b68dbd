"""Solutions with named axes, as xarray has them, and guesses from such data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backends import backend_of
from ..backends.given import COMPLEX, REAL, state
from ..backends.pairs import as_complex, is_complex
from ..errors import InputError, mismatch
from .status import Status, tally

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from .solution import Solution

AXES = ("t", "s", "r", "q")
STEP, COMPONENT = "step", "component"


def library() -> Any:
    """Return xarray."""
    try:
        import xarray
    except ModuleNotFoundError as error:
        raise InputError("xarray is not installed. Try: pip install 'deersolve[xarray]'") from error
    return xarray


# ------------------------------------------------------------------------------- from a solution


def to_xarray(sol: Solution, components: Sequence[Any] | None, batch: Mapping[str, Any] | None) -> Dataset:
    """Label a solution: see :meth:`Solution.to_xarray`."""
    import numpy as np

    xarray, backend, stats = library(), backend_of(sol.y), sol.stats
    if not backend.is_concrete((sol.y, sol.status)):
        raise mismatch("to_xarray", "a solution that holds numbers", "a traced one", "Label what jit or vmap returns.")
    status = backend.to_numpy(sol.status)
    elements = _elements(status.shape, batch)
    grid, coordinates = _grid(sol, tuple(elements))
    dims = (*elements, *grid, COMPONENT)
    try:
        names = np.arange(sol.y.shape[-1]) if components is None else np.asarray(components)
    except ValueError:
        names = np.empty(0)  # lists of different lengths
    if names.shape != (sol.y.shape[-1],):
        raise mismatch("components", f"n = {sol.y.shape[-1]} names", f"{components!r}")
    flags = {"flag_values": [int(s) for s in Status], "flag_meanings": " ".join(s.name for s in Status)}
    fields: dict[str, Any] = {
        "y": (dims, backend.to_numpy(sol.y)),
        "status": (tuple(elements), status, flags),
        **{k: (tuple(elements), backend.to_numpy(getattr(stats, k))) for k in ("steps", "error", "residual")},
    }
    if sol.y_corrected is not None:
        fields["y_corrected"] = (dims, backend.to_numpy(sol.y_corrected))
    for name in ("discretisation_error", "is_asymptotic"):
        if getattr(stats, name) is not None:
            fields[name] = (tuple(elements), backend.to_numpy(getattr(stats, name)))
    if stats.local_error is not None:
        fields["local_error"] = ((*elements, grid[0]), backend.to_numpy(stats.local_error))
    history = backend.to_numpy(stats.history)
    known = np.flatnonzero(~np.isnan(history.reshape(-1, history.shape[-1])).all(axis=0))
    if len(known):
        fields["history"] = ((*elements, "newton_step"), history[..., : known[-1] + 1])
    where = {**elements, **coordinates, COMPONENT: names}
    labelled: Dataset = xarray.Dataset(fields, where, _attributes(sol, fields))
    return labelled


def _elements(shape: tuple[int, ...], named: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the batch axes by name, with their coordinates."""
    import numpy as np

    if named is None:
        names = ["batch"] if len(shape) == 1 else [f"batch_{k}" for k in range(len(shape))]
        return {name: np.arange(size) for name, size in zip(names, shape, strict=True)}
    if not isinstance(named, Mapping):
        raise mismatch("batch", "a dict of coordinates", type(named).__name__)
    sizes = [np.shape(v)[0] if np.ndim(v) == 1 else None for v in named.values()]
    if sizes != list(shape) or {*AXES, STEP, COMPONENT} & set(named):
        raise mismatch("batch", f"a name and as many coordinates for each axis of the batch {shape}", f"{named!r}")
    return {name: np.asarray(values) for name, values in named.items()}


def _grid(sol: Solution, elements: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the names of the grid axes of y and their coordinates.

    Points that differ between batch elements are a coordinate over them and an axis of numbers, "t_index".
    """
    import numpy as np

    batch = sol.status.shape
    sizes = sol.y.shape[len(batch) : -1]
    found = {name: getattr(sol, name) for name in AXES if getattr(sol, name) is not None}
    if len(found) != len(sizes):
        names = (STEP,) if len(sizes) == 1 else tuple(f"grid_{k}" for k in range(len(sizes)))
        return names, {name: np.arange(size) for name, size in zip(names, sizes, strict=True)}
    dims, coordinates = [], {}
    for name, points in found.items():
        values = np.asarray(backend_of(points).to_numpy(points)) if hasattr(points, "shape") else np.asarray(points)
        rows = values.reshape(-1, values.shape[-1])
        is_shared = bool((rows == rows[0]).all())
        dims.append(name if is_shared else f"{name}_index")
        every = ((*elements, dims[-1]), np.broadcast_to(values, (*batch, values.shape[-1])).copy())
        coordinates[name] = ((name,), rows[0].copy()) if is_shared else every
    return tuple(dims), coordinates


def _attributes(sol: Solution, fields: dict[str, Any]) -> dict[str, Any]:
    """Return what can be said in one word of the whole."""
    import numpy as np

    stats = sol.stats
    attributes: dict[str, Any] = {"status": tally(fields["status"][1].reshape(-1))}
    for name in ("error", "residual", "discretisation_error"):
        values = np.asarray(fields.get(name, ((), np.nan))[1])
        if not np.isnan(values).all():
            attributes[f"largest_{name}"] = float(np.nanmax(values))
    told = ("method", "rule", "scan", "derivative", "choice", "gradient")
    return attributes | {name: getattr(stats, name) for name in told if getattr(stats, name)}


# -------------------------------------------------------------------------------- to a guess


def from_xarray(data: DataArray | Dataset, problem: Any) -> Any:
    """Return labelled data as the ``y_guess`` of a problem, interpolated to its grid.

    Axes are found by their names, in any order: those of the grid, "t", "s", "r", or "step" of a recurrence, and
    "component". All others are the batch, in the order they come in. Where the coordinates of an axis are not those of
    the problem, the data is interpolated linearly, and extrapolated up to one of its own spacings, as midpoints of
    finer cells need it.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        Of a data set, its variable "y", as of :meth:`Solution.to_xarray`.
    problem : Recurrence, InitialValueProblem, BoundaryValueProblem, ...
        One whose grid has named axes; the library, device and dtype of its start or points decide.

    Returns
    -------
    array, shape (*B, *R, n)

    Raises
    ------
    InputError
        If an axis is missing or left over, does not reach over the grid, or values are not finite numbers; and if
        xarray is not installed (``pip install 'deersolve[xarray]'``).

    Examples
    --------
    >>> import numpy as np
    >>> import deersolve as ds
    >>> def rod(N):
    ...     s = np.linspace(0.0, 1.0, N)
    ...     return ds.Elliptic1D(lambda u, u_s, x, p: u**3, s, left=ds.Dirichlet(1.0), right=ds.Neumann())
    >>> coarse = ds.solve(rod(11)).to_xarray()
    >>> ds.solve(rod(201), ds.from_xarray(coarse, rod(201))).y.shape
    (201, 1)
    """
    import numpy as np

    xarray = library()
    field = _field(data, xarray)
    like, n = _like(problem)
    like = as_complex(like) if is_complex(field) and problem.start is None else like
    if is_complex(field) and not is_complex(like):
        raise mismatch("from_xarray", "real numbers", str(field.dtype), "The start of the problem is real.")
    axes = _axes(problem, field)
    left_over = [str(d) for d in field.dims if d in (*AXES, STEP) and d not in axes]
    missing = [name for name in axes if name not in field.dims]
    if missing or left_over:
        raise mismatch(
            "from_xarray",
            f"the axes {', '.join(axes)} of {type(problem).__name__}",
            f"dimensions {tuple(map(str, field.dims))}",
            "Rename them, pick a point with data.isel(t=-1), or repeat data with data.expand_dims(t=...).",
        )
    if COMPONENT not in field.dims:
        field = field.expand_dims(COMPONENT, axis=-1)
    if n not in (None, field.sizes[COMPONENT]):
        raise mismatch("from_xarray", f"n = {n} components", f"{field.sizes[COMPONENT]}")
    for name, points in axes.items():
        field = _on(field, name, points)
    batch = [d for d in field.dims if d not in axes and d != COMPONENT]
    values = np.array(
        field.transpose(*batch, *axes, COMPONENT).values, dtype=np.complex128 if is_complex(field) else float
    )
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise mismatch("from_xarray", "finite numbers", f"{count} that are not", "Replace them: data.fillna(0.0).")
    return backend_of(like).convert(values, like, like.dtype)


def _field(data: Any, xarray: Any) -> Any:
    """Return the data array, of numbers."""
    if isinstance(data, xarray.Dataset):
        if "y" not in data:
            raise mismatch("from_xarray", "a variable y", f"{sorted(map(str, data))}", "Name one: data['u'].")
        data = data["y"]
    if not isinstance(data, xarray.DataArray):
        raise mismatch("from_xarray", "a DataArray or Dataset of xarray", type(data).__name__)
    if data.dtype.kind not in "iufc":
        raise mismatch("from_xarray", "real or complex numbers", str(data.dtype))
    return data


def _like(problem: Any) -> tuple[Any, int | None]:
    """Return an array of the library, device and dtype of y, and n where the start says it."""
    if problem.start is not None:
        y0 = state(problem.start, "y0", (*REAL, *COMPLEX))[0]
        return y0, int(y0.shape[-1])
    points = problem.points().get("s")
    if points is None:
        raise _unnamed(problem)
    return state(points, "s")[0], None


def _axes(problem: Any, field: Any) -> dict[str, Any]:
    """Return the points of the grid of a problem by the names of its axes."""
    import numpy as np

    found = problem.points()
    if not found:
        raise _unnamed(problem)
    if STEP in found:
        return {STEP: np.arange(field.sizes.get(STEP, 1) if found[STEP] is None else len(found[STEP]))}
    axes = {name: _numbers(points, name) for name, points in found.items()}
    if problem.cells:
        axes |= {k: 0.5 * (v[1:] + v[:-1]) for k, v in axes.items() if k != "t"}
    return axes


def _unnamed(problem: Any) -> InputError:
    kinds = "a Recurrence, an InitialValueProblem or a problem in space, whose axes have names"
    return mismatch("from_xarray", kinds, type(problem).__name__)


def _numbers(points: Any, name: str) -> Any:
    import numpy as np

    backend = backend_of(points) if hasattr(points, "shape") else None
    if backend is not None and not backend.is_concrete(points):
        raise mismatch(name, "points whose numbers are known", "traced ones", "Make the guess outside jit and vmap.")
    values = np.asarray(points if backend is None else backend.to_numpy(points), dtype=np.float64)
    if values.ndim != 1:
        advice = "Interpolate each element by itself."
        raise mismatch("from_xarray", f"a grid {name} that a batch shares, (N,)", f"shape {values.shape}", advice)
    return values


def _on(field: Any, name: str, points: Any) -> Any:
    """Return the field at the points of an axis."""
    import numpy as np

    if name not in field.coords:
        if field.sizes[name] != len(points):
            what = f"{len(points)} points of {name}, or coordinates to interpolate between"
            raise mismatch("from_xarray", what, f"{field.sizes[name]} points without coordinates")
        return field
    known = np.asarray(field[name].values)
    if not np.issubdtype(known.dtype, np.number):
        raise mismatch("from_xarray", f"numbers as coordinates of {name}", str(known.dtype))
    if known.shape == points.shape and (known == points).all():
        return field
    gaps = np.diff(known)
    if len(known) < 2 or not ((gaps > 0).all() or (gaps < 0).all()):
        raise mismatch("from_xarray", f"two or more coordinates of {name}, strictly monotone", f"{known}")
    ends, reach = (known, np.abs(gaps)) if gaps[0] > 0 else (known[::-1], np.abs(gaps[::-1]))
    first, last = points.min(), points.max()
    if first < ends[0] - reach[0] or last > ends[-1] + reach[-1]:
        reached = f"{ends[0]:.6g} to {ends[-1]:.6g}"
        raise mismatch("from_xarray", f"data on {name} from {first:.6g} to {last:.6g}", reached)
    return field.interp({name: points}, method="linear", kwargs={"fill_value": "extrapolate"})
