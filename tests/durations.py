"""Which test files take long: they start first, and the loop of a working day leaves them out.

Rough seconds, as `make test ARGS=--durations=400` tells them. What is not here takes few.
"""

import pytest

FILES = {
    "test_demo": 460, "test_page_state_browser": 300, "test_browser": 280,
    "test_damaged_bundle": 260, "test_run": 250, "test_accessibility": 220, "test_preflight": 170,
    "test_damaged_store": 170, "test_demo_llava": 160, "test_annotate": 150, "test_login": 130,
    "test_fit_projector": 120, "test_study_whole": 110, "test_map_component": 100,
    "test_image_room": 100, "test_steering_page": 100, "test_access": 95, "test_page_state": 90,
    "test_lists": 80, "test_modalities": 75, "test_outage": 70, "test_compare_browser": 60,
    "test_steering_contrast": 50, "test_forged": 45, "test_maps": 45, "test_labels": 40,
    "test_damaged_models": 40, "test_annotations": 35, "test_studies": 35, "test_compare": 30,
    "test_captions": 30, "test_models_code": 30, "test_results_page": 30, "test_serving": 30,
    "test_architecture": 30, "test_steering_demo": 25, "test_captions_run": 22,
    "test_modality_run": 20, "test_damaged_checkpoints": 20,
}  # fmt: skip

WHOLE = {
    "test_captions_run", "test_damaged_bundle", "test_damaged_models", "test_damaged_store",
    "test_demo", "test_demo_llava", "test_direction_choice", "test_fit_projector", "test_forged",
    "test_image_room", "test_labels", "test_maps", "test_modality_run", "test_models_code",
    "test_outage", "test_page_state", "test_preflight", "test_run", "test_run_families",
    "test_run_odd", "test_steering_contrast", "test_steering_demo", "test_steering_page",
    "test_steering_score", "test_study_whole", "test_uploads",
}  # fmt: skip
"""Files of which every test is slow: they make runs, start many processes, or walk many pages."""

SLOW_FIXTURES = {"browser", "demo_run", "postgres", "speaking_run"}
"""Whoever asks for one of these is slow."""

SLOW_TESTS = {
    "test_any_damage_gives_a_picture_or_a_reason", "test_fifty_annotators_from_four_processes",
    "test_a_kill_loses_no_acknowledged_vote", "test_no_file_becomes_much_memory",
    "test_nothing_is_lost_when_several_write_at_once",
    "test_several_processes_open_a_fresh_database",
}  # fmt: skip
"""Slow tests of other files."""


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests by their files: at the end no core waits for a long file that began last."""
    items.sort(key=lambda item: -FILES.get(item.path.stem, 0))


def mark_slow(items: list[pytest.Item]) -> None:
    """Give the tests that take long the marker `slow`."""
    for item in items:
        name = getattr(item, "originalname", item.name)
        asked = SLOW_FIXTURES & set(getattr(item, "fixturenames", ()))
        if asked or item.path.stem in WHOLE or name in SLOW_TESTS:
            item.add_marker(pytest.mark.slow)
