"""Every fusion method under one name and one call: `METHODS["pwa"](sources)`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "registry": [
        "METHODS", "SHOWN_METHODS", "Method", "compared_methods", "fuse_learned", "load_generator",
        "method_named", "ordered_methods",
    ],
    "pgmif_plus": ["PlusSettings", "fuse_plus", "read_settings"],
})
