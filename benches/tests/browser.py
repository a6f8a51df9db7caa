#!/usr/bin/env python3
"""Opens the report of a record in Chromium, narrow and wide, light and dark, and compares what is to be seen with the
record.

`browser.py RECORD.json REPORT.html [SCREENSHOTS]`. Needs selenium, Chromium and its driver.
"""

import pathlib
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import record, report, targets  # noqa: E402

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
# The last four keep Chromium from calling its maker, which fails loudly on a closed network.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def main():
    kept, page = record.read(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]).resolve()
    pictures = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as profile:
        browser = started(profile)
        try:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    browser.execute_cdp_cmd(
                        "Emulation.setDeviceMetricsOverride",
                        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
                    )
                    media = [{"name": "prefers-color-scheme", "value": scheme}]
                    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
                    browser.get(page.as_uri())
                    look(browser, kept, width)
                    if pictures:
                        shoot(browser, pictures / f"{width}-{scheme}.png")
                    print(f"{width} px, {scheme}: as the record has it")
        finally:
            browser.quit()


def started(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def look(browser, kept, width):
    complaints = browser.get_log("browser")
    expect(not complaints, f"the console says {complaints}")
    expect(kept["date"] in browser.title, f"the title is {browser.title}")
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    expect(overflow <= 0, f"at {width} px the page is {overflow} px too wide")
    look_at_tables(browser, kept)
    look_at_plots(browser, kept)


def look_at_tables(browser, kept):
    rows = {name: len([m for m in kept["measurements"] if m["table"] == name]) for name in report.TABLES}
    rows |= {"damage": len(kept["damage"]), "tools": len(kept["tools"]), "left out": len(kept["left_out"])}
    rows["targets table"] = len(targets.TARGETS)
    for name, count in rows.items():
        seen = browser.find_elements(By.CSS_SELECTOR, f"#{name.replace(' ', '-')} tbody tr")
        expect(len(seen) == count, f"table {name}: {len(seen)} rows, and the record has {count}")
    cells = [
        row.find_elements(By.TAG_NAME, "td")
        for row in browser.find_elements(By.CSS_SELECTOR, "#targets-table tbody tr")
    ]
    for (target, value, _), row in zip(targets.results(kept), cells, strict=True):
        expect(row[2].text == targets.shown(target, value), f"{target.what}: the page says {row[2].text}")


def look_at_plots(browser, kept):
    figures = browser.find_elements(By.TAG_NAME, "figure")
    expect(len(figures) == 6, f"{len(figures)} plots, and a record of all suites has 6")
    for figure in figures:
        drawing = figure.find_element(By.TAG_NAME, "svg")
        size = drawing.size
        expect(size["width"] > 200 and size["height"] > 100, f"a plot of {size}")
        expect(drawing.get_attribute("aria-label"), "a plot without a name")
        # Bars and curves, and not only a frame.
        expect(len(drawing.find_elements(By.CSS_SELECTOR, "path")) > 20, "a plot with nothing on it")


def shoot(browser, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    height = browser.execute_script("return document.documentElement.scrollHeight")
    width = browser.execute_script("return window.innerWidth")
    size = {"width": width, "height": min(height, 6000), "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.save_screenshot(str(path))


def expect(holds, message):
    if not holds:
        raise SystemExit(f"FAILED: {message}")


main()
