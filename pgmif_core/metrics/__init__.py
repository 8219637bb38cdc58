"""What is measured of an image: the paper's CNR and Q, the field's standard metrics, separation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "paper": [
        "NO_CHANGE", "contrast_correlation", "contrast_to_noise_ratio", "generalized_sobel",
        "inter_patient_cv", "petrovic_xydeas",
    ],
    "contrast": ["LinearLimit", "generalized_cnr", "linear_limit"],
    "standard": ["FUSION_METRICS", "FusionMetric", "measure_fusion"],
    "separation": ["Separation", "separation", "surroundings"],
})
