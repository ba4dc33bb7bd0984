"""`make fast` chooses the tests beside a changed module, and those that import it."""

from __future__ import annotations

from scripts import tests_of_changes


def test_the_tests_beside_a_module_and_its_doctests_are_chosen() -> None:
    chosen = tests_of_changes.tests_of({"soundsright/services/rounds/clipset.py"})
    assert {"tests/services/rounds/test_clipset.py", "soundsright/services/rounds/clipset.py"} <= chosen
    assert "tests/metrics/test_stoi.py" not in chosen


def test_a_test_that_imports_from_a_face_is_chosen_for_the_module_of_the_name() -> None:
    importer = "tests/cli/test_plugins.py"  # It imports `chosen_metrics` from the face of services/scoring.
    assert importer in tests_of_changes.tests_of({"soundsright/services/scoring/folder.py"})
    assert importer not in tests_of_changes.tests_of({"soundsright/services/scoring/report.py"})


def test_a_helper_of_tests_chooses_the_tests_that_import_it() -> None:
    assert "tests/core/test_plugins.py" in tests_of_changes.tests_of({"tests/plugins.py"})


def test_a_template_chooses_the_tests_of_pages() -> None:
    chosen = tests_of_changes.tests_of({"soundsright/web/templates/ears.html.j2"})
    assert any(path.startswith("tests/services/board/") for path in chosen)
