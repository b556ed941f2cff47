"""Make the pictures of the README and the tutorial from the real window: ``make screenshots``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from qtpy.QtCore import QBuffer

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
    driver.close()


def save(driver: Driver, name: str) -> None:
    """Write a picture of the window."""
    driver.settle()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.ReadWrite)
    driver.viewer.window._qt_window.grab().save(buffer, "PNG")
    picture = Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")
    picture.save(PICTURES / f"{name}.jpg", quality=88, subsampling=0, optimize=True)
    print(f"{name}: {driver.dock.message.text()}")


if __name__ == "__main__":
    main()
