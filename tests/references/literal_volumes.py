"""Gradient and Eq. 2 in three dimensions, voxel by voxel."""

import itertools

import numpy as np


def literal_gradient(volume):
    """Eq. 1 in three dimensions, voxel by voxel."""
    gradient = np.zeros((3, *volume.shape))
    for place in itertools.product(*map(range, volume.shape)):
        for axis in range(3):
            after = list(place)
            after[axis] += 1
            if after[axis] < volume.shape[axis]:
                gradient[(axis, *place)] = volume[tuple(after)] - volume[place]
    return gradient


def literal_loss(fused, source, epsilon):
    """Eq. 2 in three dimensions."""
    total, count = 0.0, 0
    gradients = [literal_gradient(x) for x in (fused, source)]
    for place in itertools.product(*map(range, fused.shape)):
        units = [g[(slice(None), *place)] for g in gradients]
        normal = [u / (np.sqrt((u**2).sum()) + epsilon) for u in units]
        total += float(normal[0] @ normal[1]) ** 2
        count += 1
    return -total / count
