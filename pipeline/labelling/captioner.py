"""A vision-language model of Hugging Face that answers questions about pictures."""

from PIL import Image

from pipeline import config, models
from pipeline.models.families.generic import GenericAdapter
from pipeline.models.loading import ModelError

_MOST_TOKENS = 32


class Captioner:
    """Asks the model that `settings` names, without chance: the likeliest token each time."""

    def __init__(
        self, settings: config.LocalModel, *, machine: config.Machine, device: str
    ) -> None:
        asked = config.Model(
            id=settings.id,
            revision=settings.revision,
            dtype=settings.dtype,
            quantization=settings.quantization,
            hooks=("vision.0.resid_post",),
        )
        adapter = models.load(asked, device=device, machine=machine)
        if not isinstance(adapter, GenericAdapter):
            raise ModelError(
                f"model {settings.id}: answers no questions about pictures; name a vision-language "
                "model as labels.local.id, as llava-hf/llava-1.5-7b-hf"
            )
        self._adapter = adapter

    def say(self, image: Image.Image, prompt: str) -> str:
        """Its answer about an RGB picture, at most 32 tokens."""
        inputs = self._adapter.prepare([image], [prompt])
        made = self._adapter.generate(inputs, max_new_tokens=_MOST_TOKENS, do_sample=False)
        new = made[0, inputs.tensors["input_ids"].shape[1] :]
        answer: str = self._adapter.processor.tokenizer.decode(new, skip_special_tokens=True)
        return answer
