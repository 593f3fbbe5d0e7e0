"""Modalities, part by part."""
