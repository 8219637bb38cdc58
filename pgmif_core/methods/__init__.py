"""Every fusion method under one name and one call: `METHODS["pwa"](sources)`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "registry": [
        "METHODS", "Method", "compared_methods",
    ],
    "names": ["NAMES", "MethodName", "method_named", "ordered_methods"],
    "learned": ["fuse_learned", "load_generator"],
    "pgmif_plus": ["PlusSettings", "fuse_plus", "read_settings"],
})
