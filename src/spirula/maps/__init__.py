"""The cluster maps: values that monitors publish and everybody else computes with."""
