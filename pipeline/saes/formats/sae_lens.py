"""sae-lens's folders, which are also Loupe's own; `pipeline.saes.sae_lens` reads them."""

from pipeline.saes import sae_lens
from pipeline.saes.formats import Format, register
from pipeline.saes.sae import SAE

register(
    Format(
        name=f"{sae_lens.CONFIG} with {sae_lens.WEIGHTS} (sae-lens)",
        files=(sae_lens.CONFIG, sae_lens.WEIGHTS),
        matches=sae_lens.matches,
        load=SAE.load,
        trained_at=sae_lens.trained_at,
        beside=(sae_lens.CONFIG, sae_lens.WEIGHTS),
        first=True,
    )
)
