"""Work on a batch in pieces that fit in memory; the size is found by trying."""

import gc
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from accelerate.utils.memory import should_reduce_batch_size

from pipeline.models.loading import ModelError

log = logging.getLogger(__name__)
T = TypeVar("T")


class Halving:
    """Runs work on whole batches, and on halves of them once memory was not enough.

    Attributes:
        limit: the most examples that are tried at once; None until memory ran out.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.limit: int | None = None

    def run(self, count: int, work: Callable[[int, int], T]) -> Iterator[T]:
        """`work(start, end)` over 0 to `count`, in order.

        Raises:
            ModelError: not even one example fits.
        """
        start = 0
        while start < count:
            end = min(count, start + (self.limit or count))
            try:
                made = work(start, end)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not should_reduce_batch_size(error):
                    raise
                self._halve(end - start)
            else:
                yield made
                start = end

    def _halve(self, size: int) -> None:
        if size == 1:
            raise ModelError(
                f"{self.what}: out of memory with a single example; choose a smaller dtype, "
                "quantization or another device"
            )
        self.limit = size // 2
        log.warning("%s: out of memory with %d examples; %d at once", self.what, size, self.limit)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
