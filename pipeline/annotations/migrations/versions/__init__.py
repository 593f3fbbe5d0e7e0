"""One module a step, applied in the order of `down_revision`."""
