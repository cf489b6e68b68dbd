"""What training code does with the layers of deersolve.torch: warm starts, transforms, checkpoints, precisions."""

import copy

import pytest

torch = pytest.importorskip("torch")
from torch.func import functional_call, grad, jvp, stack_module_state, vmap  # noqa: E402
from torch.nn.utils.rnn import pack_sequence, unpack_sequence  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import deersolve as ds  # noqa: E402
import deersolve.torch as layers  # noqa: E402
from deersolve.torch import trajectories  # noqa: E402

ROUNDOFF = 1e-12  # of float64
TWO = {"dtype": torch.float64, "num_layers": 2, "bidirectional": True}
PLACES = ["l0", "l0_reverse", "l1", "l1_reverse"]


def pair(method="newton", warm_start=False, **options):
    """Return a GRU of PyTorch, and ours with its weights."""
    torch.manual_seed(1)
    options = {"dtype": torch.float64} | options
    theirs = torch.nn.GRU(3, 4, **options)
    ours = layers.GRU(3, 4, method=method, warm_start=warm_start, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def draw(*size, **options):
    return torch.randn(*size, generator=torch.Generator().manual_seed(3), **{"dtype": torch.float64} | options)


def same(a, b, atol=ROUNDOFF):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def steps(layer):
    """Return the Newton steps of a sequence in all layers and directions, the most that one took."""
    return sum(int(sol.stats.steps.max()) for sol in layer.solution.values())


class TestSolution:
    def test_is_that_of_each_layer_and_direction(self):
        _, ours = pair(**TWO)
        y, _ = ours(draw(30, 2, 3))
        assert [*ours.solution] == PLACES
        assert all(sol.converged.all() for sol in ours.solution.values())
        forth, back = (ours.solution[place].y for place in PLACES[2:])
        same(torch.cat([forth, back], -1).transpose(0, 1), y.detach())
        assert not any(sol.y.requires_grad or sol.stats.error.requires_grad for sol in ours.solution.values())

    def test_is_none_where_the_kernel_or_a_loop_ran(self):
        _, ours = pair("auto")
        assert ours.solution is None
        ours(draw(500, 1, 3))
        assert ours.solution is not None
        ours(draw(5, 1, 3))
        assert ours.solution is None
        _, loop = pair("sequential")
        loop(draw(5, 1, 3))
        assert loop.solution == {"l0": None}

    def test_of_a_cell(self):
        layer = layers.from_cell(torch.nn.GRUCell(3, 4, dtype=torch.float64), method="newton", reverse=True)
        y, _ = layer(draw(30, 2, 3))
        same(layer.solution.y.transpose(0, 1), y.detach())


class TestWarmStart:
    @pytest.mark.parametrize("form", ["padded", "packed"])
    def test_saves_steps_and_changes_no_result(self, form):
        theirs, ours = pair(warm_start=True, **TWO)
        x = draw(40, 3, 3) if form == "padded" else pack_sequence([draw(n, 3) for n in (9, 40, 17)], False)
        ours(x, index=[5, 7, 2])
        cold = steps(ours)
        with torch.no_grad():
            for layer in (theirs, ours):
                [p.mul_(1.001) for p in layer.parameters()]
        y, h = ours(x, index=torch.tensor([5, 7, 2]))
        assert steps(ours) < cold
        expected = theirs(x)
        same(y if form == "padded" else y.data, expected[0] if form == "padded" else expected[0].data, 1e-9)
        same(h, expected[1], 1e-9)

    def test_is_of_the_sequence_of_that_number_whatever_its_place_and_padding(self):
        _, ours = pair(warm_start=True, **TWO)
        x = draw(40, 3, 3)
        ours(x, index=[0, 1, 2])
        cold = steps(ours)
        ours(x[:, [2, 0]], index=[2, 0])
        assert steps(ours) <= cold / 2  # float32 is kept, whose square is the roundoff of float64: a step or two
        ragged = pack_sequence([x[:, 1], x[:20, 0]])
        ours(ragged, index=[1, 10])
        ours(pack_sequence([x[:20, 0]]), index=[10])
        assert steps(ours) <= cold / 2

    def test_evaluation_neither_reads_nor_writes(self):
        _, ours = pair(warm_start=True)
        x = draw(30, 2, 3)
        before = ours.eval()(x)[0]
        assert not ours.trajectories.kept
        ours.train()(x)
        cold = steps(ours.eval())
        assert torch.equal(ours(x)[0], before)
        assert steps(ours) == cold > 0

    def test_no_state_no_graph_and_no_copy(self):
        theirs, ours = pair(warm_start=True)
        ours(draw(30, 2, 3))
        assert [*ours.state_dict()] == [*theirs.state_dict()]
        assert all(not a.requires_grad and a.dtype == torch.float32 for a in ours.trajectories.kept.values())
        assert not copy.deepcopy(ours).trajectories.kept

    def test_a_bound_on_what_is_kept(self, monkeypatch):
        monkeypatch.setattr(trajectories, "MOST", 30 * 4 * 2)
        _, ours = pair(warm_start=True)
        x = draw(30, 3, 3)
        ours(x)
        assert [*ours.trajectories.kept] == [("l0", 0), ("l0", 1)]
        cold = ours.solution["l0"].stats.steps
        ours(x)
        assert (ours.solution["l0"].stats.steps < cold).tolist() == [True, True, False]
        assert ours.trajectories.size == 240

    def test_a_start_that_leads_nowhere_is_left_for_the_usual_one(self):
        theirs, ours = pair(warm_start=True)
        x = draw(30, 1, 3)
        ours(x)
        ours.trajectories.kept["l0", 0] = torch.full((30, 4), 1e30)
        same(ours(x)[0], theirs(x)[0])

    def test_of_a_cell(self):
        layer = layers.from_cell(torch.nn.LSTMCell(3, 4, dtype=torch.float64), method="newton", warm_start=True)
        x = draw(30, 2, 3)
        first, cold = layer(x)[0], layer.solution.stats.steps
        same(layer(x)[0], first)
        assert (layer.solution.stats.steps < cold).all()

    @pytest.mark.parametrize("index", [[1], [0.5, 1.0], [[0, 1]], [True, False], "ab", [0, "a"]])
    def test_numbers_that_do_not_fit(self, index):
        _, ours = pair(warm_start=True)
        with pytest.raises(ds.InputError, match=r"index: expected whole numbers, shape \(2,\)"):
            ours(draw(5, 2, 3), index=index)


@pytest.mark.parametrize("method", ["newton", "auto"])
class TestTransforms:
    """vmap over models and over samples: PyTorch's kernels have no rule for it, so the reference goes one by one."""

    def test_an_ensemble(self, method):
        models = [layers.GRU(3, 4, dtype=torch.float64, method=method) for _ in range(3)]
        params, _ = stack_module_state(models)
        base, x = copy.deepcopy(models[0]).to("meta"), draw(12, 2, 3)
        y = vmap(lambda p: functional_call(base, p, (x,))[0])(params)
        for model, found in zip(models, y, strict=True):
            same(found, torch.nn.GRU.forward(model, x)[0] if method == "auto" else model(x)[0])

    def test_gradients_of_each_sample(self, method):
        theirs, ours = pair(method)
        params, xs = {k: p.detach() for k, p in ours.named_parameters()}, draw(3, 12, 1, 3)
        made = vmap(grad(lambda p, x: functional_call(ours, p, (x,))[0].sin().sum()), (None, 0))(params, xs)
        assert ours.solution is None or set(ours.solution.values()) == {None}
        for k, x in enumerate(xs):
            expected = torch.autograd.grad(theirs(x)[0].sin().sum(), [*theirs.parameters()])
            for a, b in zip(made.values(), expected, strict=True):
                same(a[k], b)


def test_second_derivatives_by_transforms():
    theirs, ours = pair()
    x, v = draw(5, 1, 3).requires_grad_(), draw(5, 1, 3).flip(0)
    (g,) = torch.autograd.grad(theirs(x)[0].sin().sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad((g * v).sum(), x)
    gradient = grad(lambda x: ours(x)[0].sin().sum())
    same(jvp(gradient, (x.detach(),), (v,))[1], expected)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("warm_start", [True, False])
def test_a_checkpoint(use_reentrant, warm_start):
    made = []
    for layer in pair(warm_start=warm_start):
        x = draw(30, 2, 3).requires_grad_()
        checkpoint(lambda x, layer=layer: layer(x)[0], x, use_reentrant=use_reentrant).sin().sum().backward()
        made.append([x.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*made, strict=True):
        same(a, b)


class Model(torch.nn.Module):
    """A layer between two others."""

    def __init__(self, layer, like=torch.zeros(())):  # noqa: B008 - only read
        super().__init__()
        self.first, self.layer = torch.nn.Linear(3, 3, dtype=like.dtype), layer

    def forward(self, x):
        x = self.first(x).tanh()
        y, _ = self.layer(x)
        return 2.0 * y.mean(0)


def test_a_compiled_model_breaks_there_and_is_not_compiled_again_for_each_length():
    from torch._dynamo.testing import CompileCounter

    frames = []
    for layer in pair(dtype=torch.float32):
        torch._dynamo.reset()
        counter, model = CompileCounter(), Model(layer)
        compiled, counts = torch.compile(model, backend=counter), []
        for T in (20, 31, 42, 53):
            x = draw(T, 2, 3, dtype=torch.float32)
            same(compiled(x), model(x), 1e-6)
            compiled(x).sum().backward()
            counts.append(counter.frame_count)
        frames.append(counts)
    assert frames[1] == frames[0]
    assert len(set(frames[1][1:])) == 1


def test_mixed_precision_with_scaled_losses():
    losses = []
    for layer in pair(dtype=torch.float32):
        torch.manual_seed(5)
        model, scaler = Model(layer), torch.amp.GradScaler("cpu")
        optimiser, x, run = torch.optim.AdamW(model.parameters(), 0.01), draw(20, 4, 3, dtype=torch.float32), []
        for _ in range(4):
            with torch.autocast("cpu", torch.bfloat16):
                loss = (model(x) - 0.5).float().square().mean()
            optimiser.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
            run.append(loss.item())
        losses.append(torch.tensor(run))
    assert (losses[1].diff() < 0).all()
    same(losses[1], losses[0], 2.0**-7)  # one unit of bfloat16 at 1


def test_distributed_data_parallel(tmp_path):
    import torch.distributed as dist

    x, (theirs, ours) = draw(20, 2, 3), pair(warm_start=True)
    theirs, ours = Model(theirs, x), Model(ours, x)
    ours.load_state_dict(theirs.state_dict())
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(ours)
        for model in (theirs, parallel, theirs, parallel):
            model(x).sin().sum().backward()
    finally:
        dist.destroy_process_group()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(a.grad, b.grad)


class TestCells:
    @pytest.mark.parametrize("reverse", [False, True])
    def test_packed_sequences(self, reverse):
        cell = torch.nn.GRUCell(3, 4, dtype=torch.float64)
        layer = layers.from_cell(cell, method="newton", reverse=reverse)
        parts = [draw(n, 3) for n in (4, 7, 5)]
        y, last = layer(pack_sequence(parts, enforce_sorted=False))
        for k, (part, found) in enumerate(zip(parts, unpack_sequence(y), strict=True)):
            h, made = None, []
            for x in part.flip(0) if reverse else part:
                h = cell(x[None], h)
                made.append(h[0])
            same(found, torch.stack(made[::-1] if reverse else made))
            same(last[k], h[0])

    def test_half_precision_takes_the_loop(self):
        cell = torch.nn.GRUCell(3, 4, dtype=torch.bfloat16)
        x = draw(600, 1, 3, dtype=torch.float32).bfloat16()
        y, h = layers.from_cell(cell)(x), None
        for row in x:
            h = cell(row, h)
        assert torch.equal(y[1], h)
        with pytest.raises(ds.LibraryError, match="stalls at the roundoff of half precision"):
            layers.from_cell(cell, method="newton")(x)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"input": torch.zeros(5, 2, 4)}, "got 4 expected 3"),
            ({"input": torch.zeros(5, 2)}, r"input: expected a tensor \(T, B, k\)"),
            ({"hx": torch.zeros(3, 4)}, "hx: expected a state of 2 rows"),
            ({"hx": torch.zeros(2, 5)}, "got 5, expected 4"),
            ({"lengths": [6, 1]}, "lengths: expected numbers of steps from 0 to T = 5"),
            ({"lengths": [5, 1, 2]}, r"lengths: expected shape \(2,\)"),
            ({"input": pack_sequence([torch.zeros(2, 3)]), "lengths": [2]}, "lengths: expected None beside"),
        ],
    )
    def test_what_does_not_fit(self, arguments, message):
        for method in ("newton", "sequential"):
            with pytest.raises((ValueError, RuntimeError), match=message):
                layers.from_cell(torch.nn.GRUCell(3, 4), method=method)(**{"input": torch.zeros(5, 2, 3)} | arguments)


def test_flags_that_are_none():
    for make in (lambda: layers.GRU(3, 4, warm_start=1), lambda: layers.from_cell(torch.nn.GRUCell(3, 4), reverse=2)):
        with pytest.raises(ds.InputError, match=r"expected True or False"):
            make()
