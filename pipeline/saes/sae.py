"""A sparse autoencoder as it runs: torch only, kept as a folder that sae-lens opens too."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.saes import sae_lens
from pipeline.saes.weights import SAEError as SAEError
from pipeline.tensors import save_tensors

DENSE_LIMIT = 2**25
"""The most codes that are held densely at once: 2**25 float32 are 128 MiB."""

Activation = Literal["relu", "topk", "jumprelu"]
_LENS_NAME = {activation: name for name, activation in sae_lens.ACTIVATIONS.items()}
ALONE = "caption_alone"
"""The kind of token that captions without their image are, as in the table `reconstruction`."""


@dataclass(frozen=True)
class SparseCodes:
    """The non-zero feature activations of n vectors, sorted by row then feature.

    Attributes:
        row: which vector, 0 to n - 1.
        feature: which feature.
        value: its activation, > 0.
        shape: (n, d_sae).
    """

    row: Int[Tensor, " nnz"]
    feature: Int[Tensor, " nnz"]
    value: Float[Tensor, " nnz"]
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class SAE:
    """`f = activation((x - b_dec) W_enc + b_enc)`, `x' = f W_dec + b_dec`.

    `b_dec` is subtracted first only where `apply_b_dec_to_input` says so. JumpReLU keeps what is
    above the feature's threshold and above 0; TopK keeps each vector's k largest.

    An SAE that learnt from several kinds of token (images and captions) may have a threshold for
    each: their activations differ in size, and under one threshold one kind fires many times as
    often as another.

    Attributes:
        threshold: of JumpReLU; of kinds that `thresholds` does not name.
        thresholds: kind of token, as in the table `reconstruction` -> its threshold, of all
            features; empty where one holds for all kinds.
        architecture: as it was trained (`batchtopk`, `matryoshka`, ...).
        group_sizes: features of each Matryoshka level, inner first; empty without levels.
    """

    W_enc: Float[Tensor, "d s"]
    b_enc: Float[Tensor, " s"]
    W_dec: Float[Tensor, "s d"]
    b_dec: Float[Tensor, " d"]
    activation: Activation
    threshold: Float[Tensor, " s"] | None = None
    k: int | None = None
    apply_b_dec_to_input: bool = True
    architecture: str = ""
    group_sizes: tuple[int, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        d, s = self.W_enc.shape
        assert self.W_dec.shape == (s, d) and self.b_enc.shape == (s,) and self.b_dec.shape == (d,)
        assert (self.threshold is None) == (self.activation != "jumprelu")
        assert (self.k is None) == (self.activation != "topk")
        assert not self.thresholds or self.threshold is not None

    @property
    def d_in(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[1]

    def of_kind(self, kind: str) -> "SAE":
        """The same for tokens of one kind, with one threshold."""
        if not self.thresholds:
            return self
        assert self.threshold is not None
        own = self.thresholds.get(kind)
        threshold = self.threshold if own is None else torch.full_like(self.threshold, own)
        return replace(self, threshold=threshold, thresholds={})

    def encode(self, acts: Float[Tensor, "*b d"]) -> Float[Tensor, "*b s"]:
        """Feature activations, >= 0, in float32 (half precision flips which features fire), of
        tokens of a kind that `thresholds` does not name."""
        before = self._before(acts)
        return torch.where(self._fires(before), before, 0)

    def encode_sparse(
        self, acts: Float[Tensor, "n d"], *, at: Float[Tensor, "n 1"] | None = None
    ) -> SparseCodes:
        """The same codes without holding them densely: at most 128 MiB at once.

        Args:
            acts: the vectors.
            at: each one's threshold, NaN where `threshold` holds; None where it does for all.
        """
        step = max(1, DENSE_LIMIT // self.d_sae)
        rows, features, values = [], [], []
        for start in range(0, len(acts), step):
            before = self._before(acts[start : start + step])
            own = None if at is None else at[start : start + step].to(before)
            row, feature = self._fires(before, own).nonzero(as_tuple=True)
            values.append(before[row, feature])
            rows.append(row + start)
            features.append(feature)
        joined = (
            torch.cat(parts) if parts else acts.new_zeros(0) for parts in (rows, features, values)
        )
        row, feature, value = joined
        return SparseCodes(row.long(), feature.long(), value, (len(acts), self.d_sae))

    def _before(self, acts: Float[Tensor, "*b d"]) -> Float[Tensor, "*b s"]:
        """What goes into the activation function."""
        x = acts.float()
        if self.apply_b_dec_to_input:
            x = x - self.b_dec
        return torch.nn.functional.linear(x, self.W_enc.T, self.b_enc)

    def _fires(
        self, before: Float[Tensor, "*b s"], at: Float[Tensor, "*b 1"] | None = None
    ) -> Bool[Tensor, "*b s"]:
        """Which features are active; `at` as in `encode_sparse`."""
        threshold = self.threshold
        if threshold is not None:
            if at is not None:
                threshold = torch.where(at.isnan(), threshold, at)
            return before > threshold.clamp(min=0)
        fires = before > 0
        if self.k is not None:
            top = before.topk(self.k, dim=-1).indices
            fires &= torch.zeros_like(fires).scatter_(-1, top, True)
        return fires

    def decode(self, codes: Float[Tensor, "*b s"]) -> Float[Tensor, "*b d"]:
        """The reconstruction of the activations from feature activations."""
        return codes @ self.W_dec + self.b_dec

    def decode_sparse(self, codes: SparseCodes) -> Float[Tensor, "n d"]:
        """`decode` of sparse codes: touches only the decoder rows that fire."""
        starts = torch.searchsorted(
            codes.row, torch.arange(codes.shape[0], device=codes.row.device)
        )
        summed = torch.nn.functional.embedding_bag(
            codes.feature, self.W_dec, starts, mode="sum", per_sample_weights=codes.value
        )
        return summed + self.b_dec

    def to(self, device: str | torch.device) -> "SAE":
        """The same on `device`."""
        moved: dict[str, Any] = {
            f.name: value.to(device)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)

    def tensors(self) -> dict[str, Tensor]:
        """Its weights by sae-lens's names, contiguous on the CPU."""
        names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
        found = {name: getattr(self, name) for name in names}
        return {n: t.detach().cpu().contiguous() for n, t in found.items() if t is not None}

    def fingerprint(self, *facts: str) -> str:
        """16 hexadecimal digits of the weights and of `facts` (hook point, model)."""
        how: tuple[str, ...] = (self.activation, str(self.k), str(self.apply_b_dec_to_input))
        if self.thresholds:
            how += (json.dumps(self.thresholds, sort_keys=True),)
        digest = hashlib.sha256("\0".join((*how, *facts)).encode())
        for name, tensor in sorted(self.tensors().items()):
            digest.update(name.encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path, *, model: str, hook: str, facts: dict[str, Any]) -> None:
        """Write `cfg.json` and `sae_weights.safetensors` as sae-lens 6 does, which gives equal
        codes. It knows one threshold: that of the kinds of token that `thresholds`, kept in the
        metadata, does not name, and of those of the images' passes.

        Args:
            folder: made if it is not there.
            model: what it was trained on, for the metadata.
            hook: where, for the metadata.
            facts: further metadata (JSON).
        """
        folder.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "architecture": _LENS_NAME[self.activation],
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.apply_b_dec_to_input,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {
                "sae_lens_version": "6.0.0",
                "model_name": model,
                "hook_name": hook,
                "trained_as": self.architecture,
                "group_sizes": list(self.group_sizes),
                **({"thresholds": dict(self.thresholds)} if self.thresholds else {}),
                **facts,
            },
        }
        if self.activation == "topk":
            settings |= {"k": self.k, "rescale_acts_by_decoder_norm": False}
        save_tensors(self.tensors(), folder / sae_lens.WEIGHTS)
        (folder / sae_lens.CONFIG).write_text(json.dumps(settings, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SAE":
        """The SAE in a sae-lens folder.

        Raises:
            SAEError: no such folder, damaged, or what does not run exactly here.
        """
        return cls(**sae_lens.read(folder))
