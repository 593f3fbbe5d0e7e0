"""Which hook point each dictionary reads, and what it cannot read."""

from pipeline import config
from pipeline.models.adapter import Adapter
from pipeline.models.hook_points import HookPoint
from pipeline.models.layout import kinds_read
from pipeline.models.loading import ModelError
from pipeline.run.plan import Place, places
from pipeline.saes.sae import SAEError


def points(run: config.RunConfig, model: Adapter, *, name: str) -> dict[Place, HookPoint]:
    """The hook point of each dictionary that reads the model called `name`.

    Raises:
        ModelError: there is no such hook point, it has no token of the kind that the dictionary
            reads, or a dictionary names it twice.
    """
    found: dict[Place, HookPoint] = {}
    for place in places(run, model=name):
        tokens, point = run.dictionaries[place.dictionary].tokens, model.resolve(place.hook)
        if not set(kinds_read(tokens)) & set(point.kinds):
            raise ModelError(
                f"dictionaries.{place.dictionary}: tokens = {tokens!r}, but {point.name} of "
                f"{name} has only {' and '.join(point.kinds)} tokens; mend tokens, hooks or models"
            )
        for other, taken in found.items():
            if (other.dictionary, taken.name) == (place.dictionary, point.name):
                raise ModelError(
                    f"dictionaries.{place.dictionary}.hooks: {other.hook!r} and {place.hook!r} are "
                    f"both {point.name!r}, which is named twice; remove one"
                )
        found[place] = point
    return found


def refuse_width(place: Place, point: HookPoint, d_in: int) -> None:
    """Raises SAEError where an SAE that reads `d_in` dimensions stands at a point of others."""
    if d_in != point.d_in:
        raise SAEError(
            f"dictionaries.{place.dictionary}: its SAE reads {d_in} dimensions, but "
            f"{point.name} of {place.model} has {point.d_in}; mend its hook point or model"
        )


def caption_points(run: config.RunConfig, model: Adapter, *, name: str) -> dict[Place, HookPoint]:
    """The hook points of `points` that a model's words reach without an image."""
    return {
        place: point
        for place, point in points(run, model, name=name).items()
        if model.takes_words(point)
    }


def refuse_unlearnable(run: config.RunConfig, model: Adapter, *, name: str) -> None:
    """Raises ModelError where a dictionary would learn from tokens that its hook point lacks, or
    from captions that do not reach it."""
    reached = caption_points(run, model, name=name)
    for place, point in points(run, model, name=name).items():
        settings = run.dictionaries[place.dictionary]
        for kind in settings.learnt if isinstance(settings, config.TrainedSAE) else ():
            if kind != "captions" and not set(kinds_read(kind)) & set(point.kinds):
                raise ModelError(
                    f"dictionaries.{place.dictionary}.learns: {kind!r}, but {point.name} of {name} "
                    f"has only {' and '.join(point.kinds)} tokens; mend learns, hooks or models"
                )
            if kind == "captions" and place not in reached:
                raise ModelError(
                    f"dictionaries.{place.dictionary}.learns: 'captions', but words alone do not "
                    f"reach {point.name} of {name}; name hooks that they reach (a language "
                    "model's, or a contrastive model's projection where its files hold the text "
                    "tower and its tokenizer)"
                )
