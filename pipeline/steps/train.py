"""Trains the run's SAEs on the collected activations, or opens those that others trained.

A part is a sae-lens folder; of a trained SAE with its loss curve.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import config
from pipeline.models.layout import kinds_read
from pipeline.models.loading import pick_device
from pipeline.run.plan import Unit
from pipeline.run.workspace import Workspace
from pipeline.saes import published
from pipeline.saes.sae import ALONE
from pipeline.saes.train import ActsFiles, train, write_curve


class Worker:
    """Does train's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run, self.workspace = run, workspace
        self.device = pick_device(run.machine.device)

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        place = unit.spec["place"]
        settings = self.run.dictionaries[place.dictionary]
        if isinstance(settings, config.PublishedSAE):
            source = settings.sources[place.hook]
            sae = published.load(source, revision=settings.revision)
            model = self.run.models[place.model].id
            sae.save(folder, model=model, hook=place.hook, facts={"source": source})
            advance(1)
            return {"tokens_seen": 0}
        assert isinstance(settings, config.TrainedSAE)
        files = [
            self.workspace.part("collect", key) / "acts.safetensors" for key in unit.spec["acts"]
        ]
        tensors = [f"{place.model}/{place.hook}/{kind}" for kind in settings.learnt]
        acts = ActsFiles(files, tensors, seed=settings.training.seed)
        kinds = [(ALONE,) if k == "captions" else kinds_read(k) for k in settings.learnt]
        sae, curve = train(settings, acts, device=self.device, kinds=kinds, advance=advance)
        sae.save(
            folder,
            model=self.run.models[place.model].id,
            hook=place.hook,
            facts={"training": settings.training.model_dump(), "k": settings.k},
        )
        write_curve(folder / "curve.jsonl", curve)
        return {
            "tokens_seen": curve[-1]["samples"],
            "loss": curve[-1]["loss"],
            "learnt_from": " + ".join(settings.learnt),
        }
