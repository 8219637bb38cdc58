"""The generator, its discriminators, and the fast forms that give the same image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "generator": ["Decoder", "Encoder", "Generator", "PatchDiscriminator"],
    "folded": ["FoldedGenerator"],
    "weights": ["load_generator", "write_weights"],
})
