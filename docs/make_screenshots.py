"""Make the pictures of the README and the tutorial from the real window: ``make screenshots``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from qtpy.QtCore import QBuffer
from qtpy.QtWidgets import QPushButton, QWidget

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver

PICTURES = Path(__file__).parent / "pictures"
N_CORRECTED = 6
MINUTES = 1.5


def main() -> None:
    """Walk through the loop and take a picture at each stop."""
    PICTURES.mkdir(exist_ok=True)
    driver = Driver()
    driver.go_to(0)
    save(driver, "1-open")
    driver.predict()
    save(driver, "2-predicted-by-the-base-model")
    driver.predict(all_slices=True)
    for position in range(N_CORRECTED):
        driver.correct(position)
    save(driver, "3-corrected")
    driver.start_training("full", MINUTES)
    driver.wait(lambda: driver.dock.retrain_panel.progress.value() > 700)
    save(driver, "4-retraining")
    driver.go_to(14)
    driver.finish_training()
    driver.settle()
    save(driver, "5-predicted-by-version-1")
    driver.predict(all_slices=True)
    driver.go_to(15)
    driver.dock.correct_panel.accept_button.click()
    driver.settle()
    save(driver, "6-accepted")
    driver.dock.correct_panel.next_button.click()
    save(driver, "7-next")
    driver.go_to(2)
    compare(driver, driver.dock.compare_panel.map_button)
    save(driver, "8-change-map")
    compare(driver, driver.dock.compare_panel.map_button)
    driver.start_training("quick", 10)
    driver.wait(driver.has_checkpoint)
    again = driver.reopened()
    again.show_section("3 · Retrain")
    save(again, "9-interrupted")
    again.viewer.theme = "light"
    again.viewer.window._qt_window.resize(1000, 880)
    again.show_section("Model")
    save(again, "10-light")
    preferences(again)
    again.close()


def compare(driver: Driver, button: QPushButton) -> None:
    """Press a button of the comparison and wait."""
    button.click()
    driver.wait(lambda: not driver.dock.controller.comparing.is_running)


def preferences(driver: Driver) -> None:
    """Open napari's Preferences at the plugin's page."""
    dialog = driver.viewer.window._open_preferences_dialog()
    pages = dialog._list
    found = [row for row in range(pages.count()) if "sam" in pages.item(row).text().lower()]
    pages.setCurrentRow(found[0])
    save_widget(driver, dialog, "11-preferences")
    dialog.close()


def save(driver: Driver, name: str) -> None:
    """Write a picture of the window."""
    save_widget(driver, driver.viewer.window._qt_window, name)


def save_widget(driver: Driver, widget: QWidget, name: str) -> None:
    """Write a picture of a widget."""
    driver.settle()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.ReadWrite)
    widget.grab().save(buffer, "PNG")
    picture = Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")
    picture.save(PICTURES / f"{name}.jpg", quality=88, subsampling=0, optimize=True)
    print(f"{name}: {driver.dock.message.text()}")


if __name__ == "__main__":
    main()
