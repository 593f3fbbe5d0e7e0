"""What a run consists of: for each step its units of work, and what goes into each one's key.

Light enough for `status`: nothing here reads a picture or imports torch. The work itself is in
`steps/`, one file a step; a step's number goes up when its code would make something else of the
same inputs.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline import config, contract
from pipeline.fingerprints.keys import content_key
from pipeline.inputs.examples import Example
from pipeline.run.identity import file_identity, model_identity, source_identity, weights_identity

VERSIONS = {
    "collect": 2, "train": 2, "encode": 3, "score": 1, "relate": 1, "label": 1, "modality": 1,
    "steer": 1, "publish": 3,
}  # fmt: skip
PLANE = "plane"
"""The unit of relate that maps several dictionaries at once."""
UNSTEERED = "unsteered"
"""Of a model, the unit of steer that all of its features are compared with."""
STEERED_AT_ONCE = 16
"""Features in a unit of steer."""


@dataclass(frozen=True)
class Unit:
    """A piece of work that is made whole or not at all.

    Attributes:
        key: names its result: equal keys, equal result.
        weight: how much there is to do, in the step's measure.
        spec: what the step's worker needs to know, beyond the config.
    """

    name: str
    key: str
    weight: int
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """One step of one run.

    Attributes:
        measure: what a unit's weight counts.
        reads: what the step depends on -> its hash, so that `status` can say what changed.
    """

    step: str
    measure: str
    units: tuple[Unit, ...]
    reads: Mapping[str, str]

    @property
    def key(self) -> str:
        return content_key(self.step, [unit.key for unit in self.units])


@dataclass(frozen=True)
class Place:
    """One dictionary at one hook point of one model, as the config names them."""

    dictionary: str
    model: str
    hook: str

    def __str__(self) -> str:
        return contract.dictionary_id(self.model, self.hook, self.dictionary)


def places(run: config.RunConfig, *, model: str | None = None) -> list[Place]:
    """Every dictionary of the run at every hook point that it reads."""
    return [
        Place(name, at, hook)
        for name, dictionary in run.dictionaries.items()
        for at in dictionary.models or run.models
        for hook in dictionary.hooks or run.models[at].hooks
        if model in (None, at)
    ]


def file_name(run: config.RunConfig, place: Place) -> str:
    """What a dictionary's files are called in the encoded parts of its model."""
    return str(places(run, model=place.model).index(place))


def captions_name(run: config.RunConfig, place: Place) -> str:
    """What a dictionary's files of captions are called in the encoded parts of its model."""
    return f"{file_name(run, place)}-captions"


def control_name(run: config.RunConfig, place: Place) -> str:
    """What the controls for an SAE at this place are called: SAEs that read alike share them."""
    settings = run.dictionaries[place.dictionary]
    return f"{place.hook}-{settings.tokens}-{settings.pooling}"


def plans(run: config.RunConfig, found: Sequence[Example]) -> dict[str, Plan]:
    """Every step's plan, in the order in which they run."""
    weights = {
        name: content_key(weights_identity(m), m.family, m.dtype, m.quantization, m.prompt)
        for name, m in run.models.items()
    }
    judges = {
        name: content_key(model_identity(e.id, e.revision), e.family)
        for name, e in run.encoders.items()
    }
    collect = _collect(run, found, weights, judges)
    train = _train(run, collect)
    encode = _encode(run, collect, train, weights)
    score = _score(run, collect, encode)
    relate = _relate(run, score, train)
    label = _label(run, collect, score)
    modality = _modality(run, train, score)
    steer = _steer(run, collect, train, score, label, weights)
    publish = _publish(run, collect, train, score, relate, label, modality, steer)
    steps = (collect, train, encode, score, relate, label, modality, steer, publish)
    return {p.step: p for p in steps}


def _collect(
    run: config.RunConfig,
    found: Sequence[Example],
    weights: Mapping[str, str],
    judges: Mapping[str, str],
) -> Plan:
    trained = [(p, s) for p in places(run) if (s := _trained(run, p)) is not None]
    wanted = sorted({(p.model, p.hook, kind) for p, s in trained for kind in s.learnt})
    reads = [each for each in wanted if each[2] != "captions"]
    words = [(model, hook) for model, hook, kind in wanted if kind == "captions"]
    train_facts = {
        "weights": {m: weights[m] for m, _, _ in wanted},
        "reads": reads,
        "tokens": run.examples.training_tokens,
        "words": words,
        "captions": _captions(run) if words else (),
        "longest": run.captions.longest if any(map(_asks_captions, run.models.values())) else None,
    }
    val_facts = {
        "encoders": dict(judges),
        "thumbnail": run.examples.thumbnail,
        "captions": run.captions.per_image,
    }
    units = []
    for split, facts in (("train", train_facts), ("val", val_facts)):
        for number, shard in enumerate(_shards(found, split, run.examples.shard_size)):
            key = content_key("collect", VERSIONS["collect"], facts, [asdict(e) for e in shard])
            spec = {"split": split, "examples": shard, "reads": [], "words": []}
            if split == "train":
                spec |= {"reads": reads, "words": words}
            units.append(Unit(f"{split}/{number:05d}", key, len(shard), spec))
    return Plan(
        "collect",
        "images",
        tuple(units),
        {
            "examples": content_key([asdict(e) for e in found], run.examples.shard_size),
            "models": content_key(train_facts),
            "encoders": content_key(val_facts),
        },
    )


def _train(run: config.RunConfig, collect: Plan) -> Plan:
    acts = [unit.key for unit in collect.units if unit.spec["split"] == "train"]
    units = []
    for place in places(run):
        settings = run.dictionaries[place.dictionary]
        if isinstance(settings, config.TrainedSAE):
            how = settings.model_dump(exclude={"hooks", "models", "pooling"})
            # Nothing for those that learn from one kind: what they are has not changed.
            several = ("k of each kind",) if len(settings.learnt) > 1 else ()
            key = content_key("train", VERSIONS["train"], how, str(place), acts, *several)
            spec = {"place": place, "acts": acts}
            units.append(Unit(str(place), key, settings.training.samples, spec))
        elif isinstance(settings, config.PublishedSAE):
            opened = source_identity(settings.sources[place.hook], settings.revision)
            key = content_key("train", VERSIONS["train"], "published", opened, str(place))
            units.append(Unit(str(place), key, 1, {"place": place, "acts": []}))
    return Plan(
        "train",
        "vectors",
        tuple(units),
        {"activations": content_key(acts), "dictionaries": _dictionaries(run)},
    )


def _encode(run: config.RunConfig, collect: Plan, train: Plan, weights: Mapping[str, str]) -> Plan:
    saes = {str(unit.spec["place"]): unit.key for unit in train.units}
    units = []
    for model in run.models:
        here = places(run, model=model)
        facts = {
            "weights": weights[model],
            "dictionaries": [
                (str(p), saes.get(str(p)), _reading(run.dictionaries[p.dictionary])) for p in here
            ],
            "seed": run.scores.seed,
            "captions": _captions(run),
        }
        for unit in _val(collect):
            shard = [asdict(e) for e in unit.spec["examples"]]
            key = content_key("encode", VERSIONS["encode"], facts, shard)
            spec = {
                "model": model,
                "examples": unit.spec["examples"],
                "dictionaries": [(p, saes.get(str(p))) for p in here],
            }
            units.append(Unit(f"{model}/{unit.name}", key, unit.weight, spec))
    return Plan(
        "encode",
        "images",
        tuple(units),
        {
            "examples": collect.reads["examples"],
            "models": content_key(dict(weights)),
            "dictionaries": content_key(saes, _dictionaries(run)),
        },
    )


def _score(run: config.RunConfig, collect: Plan, encode: Plan) -> Plan:
    images = [unit.key for unit in _val(collect)]
    units = []
    for place in places(run):
        parts = [unit.key for unit in encode.units if unit.spec["model"] == place.model]
        key = content_key(
            "score",
            VERSIONS["score"],
            str(place),
            images,
            parts,
            run.default_encoder,
            run.scores.seed,
            # Nothing where all judge: the keys of runs from before one could be silent hold.
            *(name for name in run.encoders if name not in run.judges),
        )
        spec = {"place": place, "images": images, "encoded": parts, "file": file_name(run, place)}
        units.append(Unit(str(place), key, 1, spec))
    return Plan(
        "score",
        "dictionaries",
        tuple(units),
        {
            "examples and encoders": content_key(images),
            "feature activations": encode.key,
            "scores": content_key(run.scores.model_dump(), run.default_encoder, run.judges),
        },
    )


def _relate(run: config.RunConfig, score: Plan, train: Plan) -> Plan:
    saes = {str(unit.spec["place"]): unit.key for unit in train.units}
    specs = [
        {**unit.spec, "scored": unit.key, "trained": saes.get(str(unit.spec["place"]))}
        for unit in score.units
    ]
    how = run.relations.model_dump(exclude={"plane"})
    units = []
    for spec in specs:
        name = str(spec["place"])
        # Scored parts name their dictionary, activations and examples, trained ones the decoder.
        key = content_key("relate", VERSIONS["relate"], how, spec["trained"], name, score.key)
        others = [other for other in specs if other is not spec]
        units.append(Unit(name, key, 1, {**spec, "others": others}))
    if run.relations.plane:
        shared = [s for s in specs if s["place"].dictionary in run.relations.plane]
        key = content_key("relate", VERSIONS["relate"], PLANE, run.relations.seed,
                          [spec["scored"] for spec in shared])  # fmt: skip
        units.append(Unit(PLANE, key, 1, {"dictionaries": shared}))
    return Plan(
        "relate",
        "dictionaries",
        tuple(units),
        {"scores": score.key, "relations": content_key(run.relations.model_dump())},
    )


def _label(run: config.RunConfig, collect: Plan, score: Plan) -> Plan:
    images = [unit.key for unit in _val(collect)]
    how = content_key(_labels(run), list(run.encoders))
    units = []
    for scored in score.units:
        key = content_key("label", VERSIONS["label"], how, images, scored.key)
        units.append(Unit(scored.name, key, 1, {**scored.spec, "scored": scored.key}))
    reads = {"examples and encoders": content_key(images), "scores": score.key, "labels": how}
    return Plan("label", "dictionaries", tuple(units), reads)


def _modality(run: config.RunConfig, train: Plan, score: Plan) -> Plan:
    saes = {str(unit.spec["place"]): unit.key for unit in train.units}
    units = []
    for scored in score.units:
        place = scored.spec["place"]
        # Scored parts name their activations, images and captions, trained ones the decoder.
        facts = (saes.get(str(place)), run.captions.seed, scored.key)
        key = content_key("modality", VERSIONS["modality"], *facts)
        spec = {"scored": scored.key, "trained": saes.get(str(place))}
        spec["captions"] = captions_name(run, place)
        units.append(Unit(scored.name, key, 1, {**scored.spec, **spec}))
    reads = {"scores": score.key, "captions": content_key(run.captions.seed)}
    return Plan("modality", "dictionaries", tuple(units), reads)


def _steer(
    run: config.RunConfig,
    collect: Plan,
    train: Plan,
    score: Plan,
    label: Plan,
    weights: Mapping[str, str],
) -> Plan:
    """For each model what it says unsteered; for each of its SAEs what it says steered, some
    features a unit, and then the scores."""
    how = run.steering
    units: list[Unit] = []
    if how is not None:
        images = [unit.key for unit in _val(collect)]
        asked = _drawn([e for u in _val(collect) for e in u.spec["examples"]], how)
        saes = {str(unit.spec["place"]): unit.key for unit in train.units}
        labelled = {unit.name: unit.key for unit in label.units}
        edit = (how.mode, how.strength, how.scope, how.form)
        judged = (images, how.encoder, list(run.encoders), how.seed)
        for scored in score.units:
            place: Place = scored.spec["place"]
            named = how.dictionaries is None or place.dictionary in how.dictionaries
            there = how.hooks is None or place.hook in how.hooks
            if scored.name not in saes or not (named and there):
                continue
            facts = (weights[place.model], [asdict(e) for e in asked], how.prompt, how.longest)
            said = content_key("steer", VERSIONS["steer"], UNSTEERED, facts)
            name = f"{place.model}/{UNSTEERED}"
            common = {"model": place.model, "examples": asked}
            if all(unit.name != name for unit in units):
                units.append(Unit(name, said, len(asked), common))
            chosen = {"scored": scored.key}
            if how.order == "label":
                chosen["labelled"] = labelled[scored.name]
            parts = []
            for start in range(0, how.features, STEERED_AT_ONCE):
                count = min(STEERED_AT_ONCE, how.features - start)
                by = tuple(chosen.values())
                of = (said, edit, saes[scored.name], *by, str(place), start, count)
                key = content_key("steer", VERSIONS["steer"], *of)
                spec = {"place": place, "trained": saes[scored.name], **chosen}
                spec |= {"start": start, "count": count}
                number = start // STEERED_AT_ONCE
                weight = count * len(asked)
                units.append(Unit(f"{place}/{number:05d}", key, weight, common | spec))
                parts.append(key)
            key = content_key("steer", VERSIONS["steer"], "scores", parts, judged)
            spec = {**scored.spec, **chosen, "said": said, "steered": parts}
            units.append(Unit(scored.name, key, 1, spec))
    reads = {
        "scores": score.key,
        "labels": label.key,
        "steering": content_key(how and how.model_dump()),
    }
    return Plan("steer", "answers", tuple(units), reads)


def _drawn(examples: Sequence[Example], how: config.Steering) -> tuple[Example, ...]:
    """Some of the examples, by hash, so that each stays drawn when others come or go."""
    order = sorted(examples, key=lambda e: (content_key(how.seed, e.uri), e.example_id))
    return tuple(sorted(order[: how.images], key=lambda e: e.example_id))


def has_key(endpoint: config.Endpoint) -> bool:
    """Whether the endpoint can be asked: it wants no key, or its variable is set."""
    return endpoint.key_env is None or bool(os.environ.get(endpoint.key_env))


def _labels(run: config.RunConfig) -> dict[str, Any]:
    """What labels depend on; of an endpoint's key whether there is one."""
    how = run.labels
    facts = how.model_dump(exclude={"vocabulary", "endpoint", "local"})
    if how.vocabulary is not None:
        facts["vocabulary"] = file_identity(how.vocabulary, what="vocabulary")
    if how.endpoint is not None and has_key(how.endpoint):
        facts["endpoint"] = how.endpoint.model_dump(exclude={"key_env", "timeout", "attempts"})
    if how.local is not None:
        model = model_identity(how.local.id, how.local.revision)
        facts["local"] = how.local.model_dump(exclude={"id", "revision"}) | {"model": model}
    return facts


def _publish(
    run: config.RunConfig,
    collect: Plan,
    train: Plan,
    score: Plan,
    relate: Plan,
    label: Plan,
    modality: Plan,
    steer: Plan,
) -> Plan:
    reads = {
        "examples and encoders": collect.key,
        "scores": score.key,
        "relations": relate.key,
        "labels": label.key,
        "modality": modality.key,
        "steering": steer.key,
        "title": content_key(run.name, run.title),
        "contract": contract.VERSION,
    }
    key = content_key("publish", VERSIONS["publish"], reads)
    spec = {
        "collected": [unit.key for unit in collect.units],
        "images": [unit.key for unit in _val(collect)],
        "trained": {str(unit.spec["place"]): unit.key for unit in train.units},
        "scored": [(unit.spec["place"], unit.key) for unit in score.units],
        "related": {unit.name: unit.key for unit in relate.units},
        "labelled": {unit.name: unit.key for unit in label.units},
        "worded": {unit.name: unit.key for unit in modality.units},
        "steered": {unit.name: unit.key for unit in steer.units if "steered" in unit.spec},
        "encoded": _encoded(score),
    }
    return Plan("publish", "bundle", (Unit("bundle", key, 1, spec),), reads)


def _shards(found: Sequence[Example], split: str, size: int) -> Iterator[tuple[Example, ...]]:
    of_split = [e for e in found if e.split == split]
    for start in range(0, len(of_split), size):
        yield tuple(of_split[start : start + size])


def _val(collect: Plan) -> list[Unit]:
    return [unit for unit in collect.units if unit.spec["split"] == "val"]


def _trained(run: config.RunConfig, place: Place) -> config.TrainedSAE | None:
    settings = run.dictionaries[place.dictionary]
    return settings if isinstance(settings, config.TrainedSAE) else None


def _asks_captions(model: config.Model) -> bool:
    """Whether the prompt may hold the caption; a model of words alone has that for its own."""
    if model.prompt is not None:
        return "{caption}" in model.prompt
    return any(hook.startswith("language") for hook in model.hooks)


def _captions(run: config.RunConfig) -> tuple[int, int]:
    """What reading captions depends on."""
    return run.captions.per_image, run.captions.longest


def _encoded(score: Plan) -> dict[str, list[str]]:
    """The encoded parts of each model."""
    return {unit.spec["place"].model: unit.spec["encoded"] for unit in score.units}


def _reading(settings: config.Dictionary) -> tuple[str, str]:
    return settings.tokens, settings.pooling


def _dictionaries(run: config.RunConfig) -> str:
    return content_key({name: d.model_dump() for name, d in run.dictionaries.items()})
