"""From files to slices: volumes and masks in and out, registration, regions, one patient's slices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "volumes": ["ImageError", "Trust", "read_image", "resample", "volume_files", "write_image"],
    "masks": ["read_mask"],
    "registration": ["Registration", "register"],
    "regions": ["head_mask", "reference_region"],
    "slices": ["minmax_per_slice", "slice_grid"],
    "patient": ["PatientSlices", "patient_of", "place_sources", "with_reference"],
})
