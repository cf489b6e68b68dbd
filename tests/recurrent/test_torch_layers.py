"""The layers of deersolve.torch against those of torch.nn: outputs, last states, gradients, errors."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
import deersolve as ds  # noqa: E402
import deersolve.torch as layers  # noqa: E402

KINDS = ("RNN", "GRU", "LSTM")
ROUNDOFF = 1e-12  # of float64


@st.composite
def constructors(draw):
    kind = draw(st.sampled_from(KINDS))
    options = {
        "num_layers": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if kind == "LSTM":
        options["proj_size"] = draw(st.sampled_from([0, 2]))
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    return kind, options


def pair(kind, method="newton", **options):
    """Return the layer of PyTorch, and ours with its weights."""
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(3, 4, dtype=torch.float64, **options)
    ours = getattr(layers, kind)(3, 4, dtype=torch.float64, method=method, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def leaves(made):
    y, last = made
    y = y.data if isinstance(y, torch.nn.utils.rnn.PackedSequence) else y
    return [y, *(last if isinstance(last, tuple) else (last,))]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=ROUNDOFF)


@settings(max_examples=12)
@given(constructors(), st.sampled_from(["batched", "unbatched", "packed"]), st.booleans(), st.integers(0, 99))
def test_what_the_layer_of_pytorch_gives(made, form, has_state, seed):
    kind, options = made
    theirs, ours = pair(kind, **options)
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    x, rows = draw(3, 6, 3) if options["batch_first"] else draw(6, 3, 3), 2 if options["bidirectional"] else 1
    states = [
        draw(rows * options["num_layers"], 3, n) for n in ([options["proj_size"] or 4, 4] if kind == "LSTM" else [4])
    ]
    if form == "packed":
        x = torch.nn.utils.rnn.pack_padded_sequence(x, [2, 6 if not options["batch_first"] else 5, 1],
                                                    options["batch_first"], enforce_sorted=False)  # fmt: skip
    elif form == "unbatched":
        x, states = x[0] if options["batch_first"] else x[:, 0], [a[:, 0] for a in states]
    hx = None if not has_state else tuple(states) if kind == "LSTM" else states[0]
    found, expected = (leaves(layer(x, hx)) for layer in (ours, theirs))
    same(found, expected)
    gradients = [
        torch.autograd.grad(sum(a.sin().sum() for a in made), [*layer.parameters()])
        for made, layer in ((found, ours), (expected, theirs))
    ]
    same(*gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_auto_takes_the_kernel_for_few_steps_and_all_steps_at_once_for_many(kind):
    theirs, ours = pair(kind, "auto")
    for T, B, is_at_once in ((20, 8, False), (500, 1, True)):
        x = torch.randn(T, B, 3, dtype=torch.float64)
        same(leaves(ours(x)), leaves(theirs(x)))
        assert (ours.solution is not None) == is_at_once


@pytest.mark.parametrize("kind", KINDS)
def test_weights_go_both_ways_and_a_model_is_changed_in_one_word(kind):
    theirs, ours = pair(kind, num_layers=2, bidirectional=True)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    theirs.load_state_dict(ours.state_dict())
    assert isinstance(ours, getattr(torch.nn, kind))


def test_dropout_stands_between_layers_in_training_alone():
    theirs, ours = pair("GRU", num_layers=2, dropout=0.5)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    same(leaves(ours.eval()(x)), leaves(theirs.eval()(x)))
    ours.train()
    torch.manual_seed(3)
    first = ours(x)[0]
    torch.manual_seed(3)
    same([ours(x)[0]], [first])
    assert not torch.allclose(ours(x)[0], first)


def test_second_derivatives():
    theirs, ours = pair("GRU")
    x = torch.randn(4, 1, 3, dtype=torch.float64, requires_grad=True)

    def twice(layer):
        (g,) = torch.autograd.grad(layer(x)[0].sin().sum(), x, create_graph=True)
        return torch.autograd.grad((g**2).sum(), [*layer.parameters()])

    same(twice(ours), twice(theirs))


@pytest.mark.parametrize(
    ("kind", "shape", "states"),
    [
        ("GRU", (5, 2, 4), None),
        ("GRU", (5, 2, 3, 1), None),
        ("GRU", (5, 2, 3), (1, 3, 4)),
        ("LSTM", (5, 2, 3), ((1, 2, 4), (1, 2, 5))),
        ("RNN", (5, 4), None),
    ],
)
def test_what_does_not_fit_raises_as_in_pytorch(kind, shape, states):
    def zeros(size):
        return torch.zeros(size, dtype=torch.float64)

    hx = None if states is None else tuple(map(zeros, states)) if kind == "LSTM" else zeros(states)
    raised = []
    for layer in pair(kind):
        with pytest.raises((RuntimeError, ValueError)) as error:
            layer(zeros(shape), hx)
        raised.append((error.type, str(error.value)))
    assert raised[0] == raised[1]


class TestAnyCell:
    @pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
    @pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
    def test_is_the_loop(self, kind, method):
        cell = getattr(torch.nn, kind)(3, 4, dtype=torch.float64)
        x, lengths = torch.randn(2, 6, 3, dtype=torch.float64), torch.tensor([6, 4])
        y, last = layers.from_cell(cell, batch_first=True, method=method)(x, lengths=lengths)
        for k, steps in enumerate(lengths):
            state = None
            for i in range(steps):
                state = cell(x[k : k + 1, i], state)
                h = state[0] if isinstance(state, tuple) else state
                torch.testing.assert_close(y[k : k + 1, i], h, rtol=0, atol=ROUNDOFF)
            ends = (last if isinstance(last, tuple) else (last,), state if isinstance(state, tuple) else (state,))
            for a, b in zip(*ends, strict=True):
                torch.testing.assert_close(a[k : k + 1], b, rtol=0, atol=ROUNDOFF)

    def test_a_cell_of_ones_own(self):
        class Leaky(torch.nn.Module):
            hidden_size = 2

            def __init__(self):
                super().__init__()
                self.mix = torch.nn.Linear(2, 2, dtype=torch.float64)

            def forward(self, x, h):
                return 0.9 * h + 0.1 * torch.tanh(self.mix(h) + x)

        layer = layers.from_cell(Leaky(), method="newton")
        x = torch.randn(30, 1, 2, dtype=torch.float64)
        y, _ = layer(x)
        h = torch.zeros(1, 2, dtype=torch.float64)
        for i in range(30):
            h = layer.cell(x[i], h)
            torch.testing.assert_close(y[i], h, rtol=0, atol=ROUNDOFF)
        y.sum().backward()
        assert all(p.grad is not None for p in layer.parameters())


def test_a_method_that_is_none():
    with pytest.raises(ds.DeerError, match="no method is named"):
        layers.GRU(3, 4, method="fast")


class TestInAModel:
    """What stands around a layer in training code."""

    def test_strides_precisions_and_compilers(self):
        theirs, ours = pair("GRU")
        x = torch.randn(6, 2, 3, dtype=torch.float64)
        assert ours(x)[0].stride() == theirs(x)[0].stride()
        same(leaves(torch.compile(ours, backend="eager")(x)), leaves(theirs(x)))
        short = ours.bfloat16()
        y, h = short(x.bfloat16())
        assert y.dtype == h.dtype == torch.bfloat16
        torch.testing.assert_close(y, theirs.bfloat16()(x.bfloat16())[0], rtol=0, atol=0.05)
        with torch.autocast("cpu", torch.bfloat16):
            assert layers.GRU(3, 4, method="newton")(torch.nn.Linear(3, 3)(x.float()))[0].dtype == torch.bfloat16

    @pytest.mark.parametrize("kind", KINDS)
    def test_dropout_of_packed_sequences_draws_the_same_numbers(self, kind):
        theirs, ours = pair(kind, num_layers=2, dropout=0.5)
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            torch.randn(6, 3, 3, dtype=torch.float64), [3, 6, 2], enforce_sorted=False
        )
        made = []
        for layer in (ours, theirs):
            torch.manual_seed(2)
            made.append(leaves(layer(packed)))
        same(*made)

    def test_an_empty_batch(self):
        theirs, ours = pair("LSTM")
        x = torch.zeros(7, 0, 3, dtype=torch.float64)
        assert [a.shape for a in leaves(ours(x))] == [a.shape for a in leaves(theirs(x))]

    def test_a_cell_without_a_size_or_a_batch(self):
        with pytest.raises(ds.InputError, match="hx: expected a first state"):
            layers.from_cell(torch.nn.Linear(2, 2))(torch.zeros(3, 1, 2))
        with pytest.raises(ds.InputError, match="input: expected a tensor"):
            layers.from_cell(torch.nn.GRUCell(2, 2))(torch.zeros(3, 2))
