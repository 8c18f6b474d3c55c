"""A browser without a window for tests of a page (Debian: chromium and chromium-driver), and what all pages have."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,900"]
ARGUMENTS += ["--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
#: A number in each address: with that of the page before, only the place within that page would change.
OPENED = itertools.count()


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """A browser without a window, one for all pages."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    service = shutil.which("chromedriver")
    if not found or not service:
        pytest.skip("no browser to open the page in: neither chromium nor google-chrome, or no chromedriver, is found")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed, which drives the browser")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(service))
    yield driver
    driver.quit()


def data_of(page: Path) -> Any:
    """What is between the tags, as a browser cuts it out."""
    (inside,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script', page.read_text(encoding="utf-8"), re.DOTALL
    )
    assert not set(inside) & set("<>\u2028") - {">"}
    assert inside.isascii()
    return json.loads(inside)


class Page:
    """What a reader of a page sees and does."""

    def __init__(self, driver: Any, path: Path, place: str = "") -> None:
        self.driver, self.data = driver, data_of(path)
        driver.get(f"{path.as_uri()}?{next(OPENED)}{place}")
        self.point_at(self.one("h1"))  # not where the test before left the pointer

    def point_at(self, element: Any) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=0).move_to_element(element).perform()

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        (found,) = self.all(selector)
        return found

    def each(self, selector: str, expression: str) -> list[Any]:
        """What an expression in JavaScript makes of each element `e`: in one question to the browser."""
        return self.driver.execute_script(
            f"return Array.from(document.querySelectorAll(arguments[0]), e => {expression})", selector
        )

    def text(self, selector: str) -> str:
        return self.one(selector).get_property("textContent")

    def keys(self, *keys: str, to: str = "body") -> None:
        from selenium.webdriver.common.keys import Keys

        self.one(to).send_keys(*(getattr(Keys, key, key) for key in keys))

    def shifted(self, *keys: str) -> None:
        """Keys that are pressed while shift is held."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        held = ActionChains(self.driver, duration=0).key_down(Keys.SHIFT)
        held.send_keys(*[getattr(Keys, key) for key in keys]).key_up(Keys.SHIFT).perform()

    def wait(self, until: Callable[[], Any]) -> None:
        """Wait for something that the page does by itself."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 10).until(lambda _: until())

    def log(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def assert_clean(self) -> None:
        """Nothing went wrong in the page, and nothing came from elsewhere."""
        assert self.log() == []
        assert self.driver.execute_script("return performance.getEntriesByType('resource').length") == 0

    def assert_light_and_dark(self) -> None:
        """The button changes the colours, and changes them back."""
        background = lambda: self.one("body").value_of_css_property("background-color")
        before = background()
        self.one("#theme").click()
        assert background() != before
        self.one("#theme").click()
        assert background() == before

    def assert_fits(self, *widths: int) -> None:
        """Nothing has to be scrolled sideways."""
        try:
            for width in widths:
                self.driver.execute_cdp_cmd(
                    "Emulation.setDeviceMetricsOverride",
                    {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 500},
                )
                inner, needed = self.driver.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
                assert needed <= inner == width, (inner, needed)
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def assert_controls_have_names(self) -> None:
        """Every control can be read out."""
        for control in self.all("button, input, select, [role], ol"):
            assert control.accessible_name or control.get_dom_attribute("role") == "status", control.get_property(
                "outerHTML"
            )
