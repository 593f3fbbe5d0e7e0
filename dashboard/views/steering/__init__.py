"""Steering, part by part."""
