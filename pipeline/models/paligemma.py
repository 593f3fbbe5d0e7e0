"""PaliGemma and PaliGemma 2: SigLIP's patches through a linear projector into Gemma."""

from pipeline.models.llava import LlavaAdapter


class PaliGemmaAdapter(LlavaAdapter):
    """A `PaliGemmaForConditionalGeneration`; image tokens, then the prompt."""

    prompt = "caption en"
    model_types = ("paligemma",)

    def bare(self, prompt: str) -> str:
        return f"{self.processor.image_token}{prompt}"
