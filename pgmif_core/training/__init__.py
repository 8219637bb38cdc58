"""One training: its settings, one adversarial step, the loop, checkpoints, many processes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "settings": ["TrainingSettings", "content_loss"],
    "step": ["Trainer"],
    "loop": ["train"],
})
