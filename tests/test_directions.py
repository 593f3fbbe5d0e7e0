"""Directions: edits along them, where they come from, which features they are made of."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny  # noqa: F401, sets torch's threads
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline import interventions
from pipeline.interventions import InterventionError

D, S = 12, 40


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ACTS, A, B = drawn(2, 7, D), drawn(D, seed=1) * 3, drawn(D, seed=2) * 5


def test_a_direction_is_added() -> None:
    torch.testing.assert_close(interventions.add_direction(A, -1.5)(ACTS), ACTS - 1.5 * A)


def test_a_move_takes_out_what_lies_along_one_and_puts_it_along_the_other() -> None:
    a, b = A / A.norm(), B / B.norm()
    wanted = ACTS.clone()
    for token in wanted.view(-1, D):
        along = float(token @ a)
        token += 0.5 * along * (b - a)
    torch.testing.assert_close(interventions.move(A, B, strength=0.5)(ACTS), wanted)
    whole = B - (B @ a) * a  # nothing of it lies along a
    moved = interventions.move(A, whole)(ACTS)
    torch.testing.assert_close(moved @ a, torch.zeros(2, 7), rtol=0, atol=1e-5)
    gained = (moved - ACTS) @ (whole / whole.norm())
    torch.testing.assert_close(gained, ACTS @ a, rtol=0, atol=1e-5)


def test_nothing_is_left_along_what_is_projected_out() -> None:
    done = interventions.project_out(A)(ACTS)
    torch.testing.assert_close(done @ A, torch.zeros(2, 7), rtol=0, atol=1e-4)
    a = A / A.norm()
    torch.testing.assert_close(done, ACTS - (ACTS @ a)[..., None] * a)


def test_strength_0_keeps_every_bit() -> None:
    acts = ACTS.bfloat16()
    acts[0, 0] = -0.0
    for edit in (interventions.add_direction(A, 0.0), interventions.move(A, B, strength=0.0)):
        assert torch.equal(edit(acts).view(torch.int16), acts.view(torch.int16))


def test_edits_compute_in_float32() -> None:
    half = ACTS.bfloat16()
    for edit in (
        interventions.add_direction(A, 2.0),
        interventions.move(A, B),
        interventions.project_out(A.bfloat16()),
    ):
        assert torch.equal(edit(half), edit(half.float()))


def test_lengths_that_float32_cannot_square_are_none_the_less_directions() -> None:
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(
            interventions.project_out(A * scale)(ACTS), interventions.project_out(A)(ACTS)
        )


NONE = {
    "zero": (torch.zeros(D), "is zero or not finite"),
    "nan": (torch.full((D,), torch.nan), "is zero or not finite"),
    "a matrix": (torch.ones(2, D), r"of shape \(2, 12\); give one vector"),
}


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize(
    "use",
    [
        lambda none: interventions.add_direction(none, 1.0),
        lambda none: interventions.move(none, A),
        lambda none: interventions.move(A, none),
        lambda none: interventions.project_out(none),
        lambda none: interventions.nearest_features(none, drawn(S, D), count=3),
        lambda none: interventions.approximate(none, drawn(S, D), count=3),
    ],
)
def test_what_points_nowhere_is_refused(use: Callable, name: str) -> None:
    none, message = NONE[name]
    with pytest.raises(InterventionError, match=message):
        use(none)


def test_other_widths_and_strengths_are_refused() -> None:
    with pytest.raises(InterventionError, match="a direction of 12 numbers and one of 1;"):
        interventions.move(A, torch.ones(1))
    with pytest.raises(InterventionError, match="the strength of the direction is inf"):
        interventions.add_direction(A, float("inf"))
    with pytest.raises(InterventionError, match="the strength of the move is nan"):
        interventions.move(A, B, strength=float("nan"))
    with pytest.raises(InterventionError, match="an edit 1 wide at a hook point 12 wide"):
        interventions.add_direction(torch.ones(1), 1.0)(ACTS)
    for use in (interventions.nearest_features, interventions.approximate):
        with pytest.raises(InterventionError, match="5 numbers and a dictionary 12 wide"):
            use(torch.ones(5), drawn(S, D), count=3)


def test_the_difference_of_means_points_from_the_first_to_the_second() -> None:
    a, b = drawn(5, D, seed=3).bfloat16(), drawn(9, D, seed=4).bfloat16()
    wanted = np.mean(b.double().numpy(), 0) - np.mean(a.double().numpy(), 0)
    found = interventions.difference_of_means(a, b)
    torch.testing.assert_close(found, torch.from_numpy(wanted).float())
    for wrong in (torch.zeros(0, D), torch.zeros(5, D + 1), torch.zeros(D)):
        with pytest.raises(InterventionError, match="have no difference of means"):
            interventions.difference_of_means(a, wrong)


@pytest.mark.parametrize(
    "stored",
    [
        A.numpy(),
        A.numpy().astype(">f8"),
        A.numpy()[None],
        A.numpy()[:, None, None],
        A.half().numpy(),
        np.arange(D),
    ],
    ids=["float32", "big-endian", "a row", "a column", "float16", "integers"],
)
def test_a_vector_comes_back_from_npy(stored: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "probe.npy", stored)
    found = interventions.load_direction(tmp_path / "probe.npy", d_in=D)
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.from_numpy(stored.astype(np.float32).reshape(D)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_vector_comes_back_from_safetensors(dtype: torch.dtype, tmp_path: Path) -> None:
    save_file({"probe.weight": A[None].to(dtype)}, tmp_path / "PROBE.SAFETENSORS")
    found = interventions.load_direction(tmp_path / "PROBE.SAFETENSORS", d_in=D)
    assert torch.equal(found, A.to(dtype).float())


HEADER = np.lib.format.magic(1, 0) + b"\xff\0"


def _npy(array: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, np.array(array), allow_pickle=True)


def _tensors(**tensors: Tensor) -> Callable[[Path], None]:
    return lambda path: save_file(tensors, path)


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


def _promising(path: Path) -> None:
    """A header of more numbers than any memory holds."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**50,)}
        np.lib.format.write_array_header_1_0(file, header)


def _zip(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(D))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("v.npy", lambda path: None, "not readable"),
        ("v.pt", _bytes(b""), "save the direction as .npy or .safetensors"),
        ("v.npy", _bytes(b""), "not readable"),
        ("v.npy", _bytes(b"plain text\nand more"), "not readable"),
        ("v.npy", _bytes(pickle.dumps([1.0] * D)), "not readable"),
        ("v.npy", _npy([1.0, None]), "not readable"),
        ("v.npy", _npy(["a"] * D), "not readable .it holds no real numbers"),
        ("v.npy", _npy([1j] * D), "not readable .it holds no real numbers"),
        ("v.npy", _promising, "not readable"),
        ("v.npy", _bytes(HEADER + b"{'descr': '<f4', 'shape': (12".ljust(255)), "not readable"),
        ("v.npy", _bytes(HEADER + b"(" * 255), "not readable"),
        ("v.npy", _zip, "not readable .it is no .npy file"),
        ("v.npy", _npy(np.ones((3, D))), r"holds numbers of shape \(3, 12\), not one vector of 12"),
        ("v.npy", _npy(np.ones(D + 1)), r"holds numbers of shape \(13,\), not one vector of 12"),
        ("v.npy", _npy(1.0), r"holds numbers of shape \(\), not one vector of 12"),
        ("v.npy", _npy([np.nan] * D), "the direction is zero or not finite"),
        ("v.npy", _npy([1e39] * D), "the direction is zero or not finite"),
        ("v.npy", _npy([0.0] * D), "the direction is zero or not finite"),
        ("v.safetensors", _bytes(b"\0" * 4), "not readable"),
        ("v.safetensors", _bytes(b"\xff" * 40), "not readable"),
        ("v.safetensors", _tensors(a=A, b=B), "it holds 2 tensors"),
        ("v.safetensors", _tensors(), "it holds 0 tensors"),
        (
            "v.safetensors",
            _tensors(a=torch.ones(D, dtype=torch.complex64)),
            "it holds no real numbers",
        ),
        ("v.safetensors", _tensors(a=torch.ones(3)), r"of shape \(3,\), not one vector of 12"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_other_files_are_one_line(name: str, write: Callable, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(InterventionError, match=message) as raised:
        interventions.load_direction(path, d_in=D)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_the_nearest_features_are_those_of_the_largest_cosines() -> None:
    rows = drawn(S, D, seed=5) * torch.linspace(0.1, 9, S)[:, None]
    rows[7] = 0
    rows[11] = -2 * A
    cosines = torch.nn.functional.cosine_similarity(rows, A[None])
    wanted = cosines.abs().argsort(descending=True)
    features, found = interventions.nearest_features(A, rows, count=5)
    assert features.tolist() == wanted[:5].tolist()
    assert features[0] == 11
    torch.testing.assert_close(found, cosines[features])
    features, found = interventions.nearest_features(A, rows, count=10**6)
    assert sorted(features.tolist()) == list(range(S))
    assert features[-1] == 7 and found[-1] == 0


def test_what_is_made_of_few_features_is_taken_apart_again() -> None:
    rows = drawn(S, 64, seed=6) * torch.linspace(0.1, 9, S)[:, None]
    wanted = {4: 3.0, 20: -0.5, 33: 1.0}
    direction = sum(weight * rows[feature] for feature, weight in wanted.items())
    found = interventions.approximate(direction, rows, count=10)
    assert dict(zip(found.features, found.weights, strict=True)) == pytest.approx(wanted, rel=1e-3)
    assert found.fvu < 1e-10


def test_each_further_feature_explains_more_and_least_squares_weigh_them() -> None:
    rows, last = drawn(S, D, seed=7), 1.0
    rows[7] = 0
    for count in range(D + 3):
        found = interventions.approximate(A, rows, count=count)
        chosen = rows[list(found.features)].numpy().astype(np.float64).T
        assert len(set(found.features)) == len(found.features) == min(count, D)
        assert 7 not in found.features
        left = A.numpy() - chosen @ np.array(found.weights)
        assert found.fvu == pytest.approx(left @ left / float(A @ A), abs=1e-6)
        best = np.linalg.lstsq(chosen, A.numpy(), rcond=None)[0] if count else np.zeros(0)
        np.testing.assert_allclose(found.weights, best, rtol=1e-3, atol=1e-4)
        assert found.fvu < last or count in (0, D + 1, D + 2)
        last = found.fvu
    assert last < 1e-8


def test_a_dictionary_that_cannot_help_is_no_error() -> None:
    rows = torch.zeros(S, D)
    found = interventions.approximate(A, rows, count=3)
    assert (found.features, found.weights, found.fvu) == ((), (), 1.0)
    rows[:] = A  # all alike: one is enough
    assert len(interventions.approximate(A, rows, count=3).features) == 1
