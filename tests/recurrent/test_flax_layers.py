"""deersolve.flax.RNN against flax.nnx.RNN: outputs, last carries, gradients, what its cells keep."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

nnx = pytest.importorskip("flax.nnx")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import deersolve as ds  # noqa: E402
from deersolve.flax import RNN  # noqa: E402

CLOSE = 1e-6  # of float32, times the size of a number
T, B = 9, 3


class Leaky(nnx.Module):
    """A cell of one's own: a carry that is a dict, and outputs that are not the carry."""

    num_feature_axes = 1

    def __init__(self, rngs):
        self.mix = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, carry, x):
        h = 0.5 * carry["h"] + jnp.tanh(self.mix(carry["h"]) + x)
        return {"h": h}, (h[..., :1], h - x)

    def initialize_carry(self, shape, rngs):
        return {"h": jax.random.normal(rngs(), shape, jnp.float32)}


class Dropping(Leaky):
    def __init__(self, rngs):
        super().__init__(rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, carry, x):
        return super().__call__({"h": self.dropout(carry["h"])}, x)


class Counting(Leaky):
    def __init__(self, rngs):
        super().__init__(rngs)
        self.mean = nnx.BatchStat(jnp.zeros(2, jnp.float32))

    def __call__(self, carry, x):
        self.mean[...] = 0.9 * self.mean[...] + 0.1 * x.mean(0)
        return super().__call__(carry, x - self.mean[...])


def draw(*shape):
    return jax.random.normal(jax.random.key(len(shape)), shape, jnp.float32)


def same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert jnp.max(jnp.abs(a - b)) <= CLOSE * max(1.0, jnp.max(jnp.abs(b)))


flags = st.sampled_from([None, False, True])


@settings(max_examples=6)
@given(st.fixed_dictionaries(dict.fromkeys(("return_carry", "time_major", "reverse", "keep_order"), flags)),
       st.sampled_from([None, (T, 2, 5), (1, T, 0)]), st.booleans(), st.booleans(), st.booleans())  # fmt: skip
def test_options(chosen, lengths, has_carry, has_rngs, is_of_layer):
    """Options are said to the layer or at the call; the equation behind them is compiled once."""
    cell, kept = Leaky(nnx.Rngs(0)), {name: value for name, value in chosen.items() if value is not None}
    at_layer, at_call = (kept, {}) if is_of_layer else ({}, chosen)
    x = draw(T, B, 2) if kept.get("time_major") else draw(B, T, 2)
    at_call |= {} if lengths is None else {"seq_lengths": jnp.asarray(lengths)}
    at_call |= {"initial_carry": {"h": draw(B, 2)}} if has_carry else {}
    made = [
        layer(x, **at_call, **({"rngs": nnx.Rngs(3)} if has_rngs else {}))
        for layer in (RNN(cell, method="newton", **at_layer), nnx.RNN(cell, **at_layer))
    ]
    same(*made)


@pytest.mark.parametrize("shape", [(2, 2, T, 2), pytest.param((T, 2), marks=pytest.mark.slow)])
def test_any_axes_of_a_batch(shape):
    cell = Leaky(nnx.Rngs(0))
    same(RNN(cell, return_carry=True)(draw(*shape)), nnx.RNN(cell, return_carry=True)(draw(*shape)))


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("LSTMCell", "OptimizedLSTMCell", "SimpleCell")]


@pytest.mark.parametrize("kind", ["GRUCell", *SLOW])
def test_gradients_in_jit(kind):
    cell = getattr(nnx, kind)(2, 4, rngs=nnx.Rngs(0))
    options = {"seq_lengths": jnp.asarray([T, 2, 5]), "reverse": True, "keep_order": True, "return_carry": True}

    @nnx.jit
    @nnx.value_and_grad(argnums=(0, 1), has_aux=True)
    def followed(layer, x):
        made = layer(x, **options)
        return sum(jnp.sum(jnp.sin(a)) for a in jax.tree.leaves(made)), made

    found, expected = (followed(layer, draw(B, T, 2)) for layer in (RNN(cell, method="newton"), nnx.RNN(cell)))
    same(*(jax.tree.leaves(made) for made in (found, expected)))


def test_both_directions():
    def layer(kind, **options):
        ends = [kind(nnx.GRUCell(2, 3, rngs=nnx.Rngs(k)), **options) for k in range(2)]
        return nnx.Bidirectional(*ends, return_carry=True)

    same(*(layer(kind)(draw(B, T, 2)) for kind in (RNN, nnx.RNN)))


class TestACellThatKeepsSomething:
    @pytest.mark.parametrize("kind", [Dropping, Counting])
    def test_runs_in_the_loop(self, kind):
        layers = [made(kind(nnx.Rngs(0))) for made in (RNN, nnx.RNN)]
        for _ in range(2):  # the second call goes on from what the first has left
            same(*(layer(draw(B, T, 2)) for layer in layers))
        found, expected = (nnx.state(layer.cell, (nnx.BatchStat, nnx.RngCount)) for layer in layers)
        same(jax.tree.leaves(found), jax.tree.leaves(expected))

    @pytest.mark.parametrize(("kind", "name"), [(Dropping, "dropout.rngs.count"), (Counting, "mean")])
    def test_is_refused_by_newtons_method(self, kind, name):
        with pytest.raises(ds.InputError, match=f"cell: expected steps .* updates {name}"):
            RNN(kind(nnx.Rngs(0)), method="newton")(draw(B, T, 2))

    def test_masks_that_are_those_of_all_steps(self):
        """Split at each call, as by nnx.RNN; in eval() too, where nobody draws."""
        layers = [made(Dropping(nnx.Rngs(0)), broadcast_rngs=...) for made in (RNN, nnx.RNN)]
        for _ in range(2):
            same(*(layer(draw(B, T, 2)) for layer in layers))
        [layer.eval() for layer in layers]
        same(*(layer(draw(B, T, 2)) for layer in layers))
        same(*(jax.tree.leaves(nnx.state(layer.cell, nnx.RngCount)) for layer in layers))

    def test_what_is_only_read(self):
        cell = Dropping(nnx.Rngs(0))
        cell.eval()
        same(RNN(cell, method="newton")(draw(B, T, 2)), nnx.RNN(cell)(draw(B, T, 2)))


def test_variables_of_each_step():
    def layer(kind, **options):
        axes = nnx.StateAxes({nnx.Param: 0, ...: nnx.Carry})
        cell = Leaky(nnx.Rngs(0))
        for variable in jax.tree.leaves(nnx.state(cell, nnx.Param), is_leaf=lambda v: isinstance(v, nnx.Variable)):
            variable[...] = 0
        cell.mix.kernel.set_value(draw(T, 2, 2))
        cell.mix.bias.set_value(draw(T, 2))
        return kind(cell, state_axes=axes, **options)

    same(layer(RNN)(draw(B, T, 2)), layer(nnx.RNN)(draw(B, T, 2)))
    with pytest.raises(ds.InputError, match="other variables at each step"):
        layer(RNN, method="newton")(draw(B, T, 2))


def test_a_cell_that_couples_a_batch():
    class Centred(Leaky):
        def __call__(self, carry, x):
            return super().__call__({"h": carry["h"] - carry["h"].mean(0)}, x)

    with pytest.raises(ds.FunctionError, match="one element with all of its points differs"):
        RNN(Centred(nnx.Rngs(0)), method="newton")(draw(B, T, 2))


def test_a_method_that_is_none():
    with pytest.raises(ds.DeerError, match="no method is named"):
        RNN(Leaky(nnx.Rngs(0)), method="fast")
