"""Conditions and recipes in the dock."""

from dataclasses import replace

import pytest

from napari_sam_adapter.adapter.config import Condition, condition_names
from napari_sam_adapter.training.presets import PRESETS


@pytest.fixture
def advanced(person):
    return person.dock.retrain_panel.advanced


@pytest.fixture
def corrected(person, polyps):
    person.predict()
    person.correct(0, polyps.masks[0])
    person.correct(1, polyps.masks[1])
    return person


def test_the_base_models_own_conditions_are_shown_folded_away(person, advanced):
    assert not advanced.isExpanded()
    advanced.toggleButton().click()
    assert advanced.isExpanded()
    assert tuple(advanced.checks) == condition_names()
    assert advanced.conditions == {"patch_embedding": 1.0, "high_frequency": 1.0}
    assert not advanced.weights["gradient"].isEnabled()
    advanced.checks["gradient"].click()
    assert advanced.weights["gradient"].isEnabled()


def test_chosen_conditions_go_into_the_adapter_and_later_versions_keep_them(corrected, advanced):
    person = corrected
    advanced.checks["high_frequency"].click()
    advanced.checks["gradient"].click()
    advanced.weights["gradient"].setValue(0.5)
    person.retrain(gear="full")
    person.wait_for_training()
    chosen = (Condition("patch_embedding"), Condition("gradient", 0.5))
    assert person.controller.session.in_use.version.card.adapter.conditions == chosen
    assert advanced.weights["gradient"].value() == 0.5
    assert not any(check.isEnabled() for check in advanced.checks.values())
    assert "Start from the base model" in advanced.checks["gradient"].toolTip()
    person.retrain(gear="full")
    person.wait_for_training()
    assert person.controller.session.in_use.version.number == 2
    assert person.controller.session.in_use.version.card.adapter.conditions == chosen
    person.dock.versions_panel.version_requested.emit(None)
    assert advanced.checks["gradient"].isEnabled()
    assert not advanced.checks["gradient"].isChecked()


def test_a_weight_of_zero_is_refused_in_words(corrected, advanced):
    advanced.weights["high_frequency"].setValue(0.0)
    corrected.retrain()
    assert "the weight of the condition 'high_frequency' must be a number" in corrected.message
    assert not corrected.controller.retraining.is_running


def test_an_adapter_that_sees_nothing_is_refused_in_words(corrected, advanced):
    for name in ("patch_embedding", "high_frequency"):
        advanced.checks[name].click()
    corrected.retrain()
    corrected.wait_for_training()
    assert "The conditions cannot be used" in corrected.message
    assert "at least one" in corrected.message
    assert corrected.dock.retrain_panel.button.text() == "Retrain"


def test_a_published_recipe_is_trained_with(corrected, advanced):
    advanced.recipe_box.setCurrentIndex(advanced.recipe_box.findData("shadow"))
    corrected.retrain(minutes=0.05)
    corrected.wait_for_training()
    config = corrected.controller.session.in_use.version.card.training["config"]
    assert config["loss"] == "balanced_bce"
    assert config["prompted_share"] == 0.0
    assert config["max_seconds"] == pytest.approx(3.0)
    # Points were not practised.
    corrected.dock.prompts_panel.points_button.click()
    assert "knows boxes only" in corrected.message


def test_a_published_recipe_has_one_gear_and_its_own_rates(person, advanced):
    panel = person.dock.retrain_panel
    panel.gear_box.value = "auto"
    assert panel.settings().next is not None, "our own recipe walks up the gears"
    advanced.recipe_box.setCurrentIndex(advanced.recipe_box.findData("polyp"))
    settings = panel.settings()
    assert settings.next is None
    published = PRESETS["polyp"].config
    assert settings.config == replace(published, max_seconds=settings.config.max_seconds)


def test_slices_stay_as_they_lie_where_left_and_right_differ(corrected, advanced):
    advanced.upright_box.click()
    corrected.retrain()
    corrected.wait_for_training()
    session = corrected.controller.session
    assert session.in_use.version.card.training["config"]["augmentation"] == "upright"
    assert session.in_use.views == 1, "its mirror images mean nothing to it"
    assert advanced.upright_box.isChecked(), "the next version is trained likewise"
    corrected.dock.versions_panel.version_requested.emit(None)
    assert not advanced.upright_box.isChecked()
