"""ds.scan where JAX and PyTorch stand: what lax.scan takes, derivatives, cells of torch.nn."""

import numpy as np
import pytest

import deersolve as ds

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

METHODS = ("auto", "sequential", "newton")
T, B, n = 7, 3, 2
rng = np.random.default_rng(20)
W, X, H = (rng.normal(size=shape) for shape in ((n, n), (T, B, n), (B, n)))


def test_what_lax_scan_takes():
    """Numbers, arrays of NumPy, keys of random numbers, unroll."""
    jnp, xs = jax.numpy, jax.numpy.ones((4, 2))
    step = lambda c, x: (0.5 * c + x, c)  # noqa: E731
    for init in (0.0, np.zeros(2), np.zeros(2, np.float64)):
        theirs = jax.lax.scan(step, jnp.asarray(init) + jnp.zeros(2), xs)
        last, ys = ds.scan(step, jnp.zeros(2) if isinstance(init, float) else init, xs, unroll=2)
        np.testing.assert_allclose(last, theirs[0])
        np.testing.assert_allclose(ys, theirs[1])
    total, _ = ds.scan(lambda c, x: (c + x, None), 0.0, np.arange(4.0))
    assert float(total) == 6.0
    _, draws = ds.scan(lambda k, x: (jax.random.split(k)[0], jax.random.normal(k)), jax.random.key(0), xs)
    assert len(set(map(float, draws))) == 4
    with pytest.raises(ds.InputError, match="init: expected a tree"):
        ds.scan(step, "zero", xs)


class TestDerivatives:
    """By what a step closes over, by inputs and by the first carry, with padding that is NaN."""

    LENGTHS = np.array([T, 3, 0])
    XS = np.where(np.arange(T)[:, None, None] < LENGTHS[:, None], X, np.nan)
    RESET = rng.random((T, B)) < 0.3

    def meant(self):
        """Return the gradients of the loop by hand in JAX, with zeros in the place of padding."""
        xs, reset = jax.numpy.asarray(np.nan_to_num(self.XS)), jax.numpy.asarray(self.RESET)

        def loss(W, xs, h0):
            h, total = h0, 0.0
            for i in range(T):
                holds = (i < self.LENGTHS)[:, None]
                before = jax.numpy.where(reset[i][:, None] & holds, h0, h)
                new = jax.numpy.tanh(before @ W + xs[i])
                h = jax.numpy.where(holds, new, before)
                total += jax.numpy.sum(jax.numpy.where(holds, jax.numpy.sin(new), 0.0))
            return total + jax.numpy.sum(h**2)

        return jax.jit(jax.grad(loss, (0, 1, 2)))(jax.numpy.asarray(W), xs, jax.numpy.asarray(H))

    def of_scan(self, xp, W, xs, h0, reset, lengths, method):
        def step(h, x):
            h = xp.tanh(h @ W + x)
            return h, xp.sin(h)

        options = {"lengths": lengths, "reset": reset, "batch_axis": 0, "method": method}
        last, ys = ds.scan(step, h0, xs, **options)
        return xp.sum(ys) + xp.sum(last**2)

    @pytest.mark.parametrize("method", METHODS[1:])
    def test_on_pytorch(self, method):
        leaves = [torch.tensor(a, requires_grad=True) for a in (W, self.XS, H)]
        self.of_scan(torch, *leaves, torch.tensor(self.RESET), torch.tensor(self.LENGTHS), method).backward()
        self.compared([leaf.grad.numpy() for leaf in leaves])

    @pytest.mark.parametrize("method", [pytest.param("sequential", marks=pytest.mark.deep), "newton"])
    def test_on_jax_inside_jit(self, method):
        leaves = [jax.numpy.asarray(a) for a in (W, self.XS, H)]
        flags = jax.numpy.asarray(self.RESET), jax.numpy.asarray(self.LENGTHS)
        gradient = jax.jit(jax.grad(lambda *leaves: self.of_scan(jax.numpy, *leaves, *flags, method), (0, 1, 2)))
        self.compared(gradient(*leaves))

    def compared(self, found):
        for a, b in zip(found, self.meant(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
        padding = np.isnan(self.XS)
        assert padding.any()
        assert not np.any(np.asarray(found[1])[padding])

    def test_params_are_passed_on(self):
        rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        last, _ = ds.scan(lambda c, x, r: (r * c, None), torch.ones(1, dtype=torch.float64), length=3, params=rate)
        last.sum().backward()
        assert float(rate.grad) == pytest.approx(3 * 0.25)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize("method", METHODS)
def test_a_cell_of_pytorch_is_taken_as_it_is(kind, method):
    cell, xs = getattr(torch.nn, kind)(3, 2).double(), torch.tensor(rng.normal(size=(T, B, 3)))
    h = torch.tensor(H)
    init = (h, 0 * h) if kind == "LSTMCell" else h
    last, ys = ds.scan(cell, init, xs, batch_axis=0, method=method)
    state, expected = init, []
    for x in xs:
        state = cell(x, state)
        expected.append(state[0] if kind == "LSTMCell" else state)
    torch.testing.assert_close(ys, torch.stack(expected), rtol=0, atol=1e-13)
    torch.testing.assert_close(last, state, rtol=0, atol=1e-13)
