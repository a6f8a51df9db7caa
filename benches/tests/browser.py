#!/usr/bin/env python3
"""Opens a report in Chromium, narrow and wide, light and dark: nothing overflows, no script complains, every plot is drawn.

`browser.py REPORT.html`. Needs selenium, Chromium and its driver. What the page says is checked by test_report.py.
"""

import pathlib
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
PLOTS = 6
# The last four keep Chromium from calling its maker, which fails loudly on a closed network.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def main():
    page = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as profile:
        browser = started(profile)
        try:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                    media = [{"name": "prefers-color-scheme", "value": scheme}]
                    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
                    browser.get(page.as_uri())
                    look(browser, width)
                    print(f"{width} px, {scheme}: rendered without faults")
        finally:
            browser.quit()


def started(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def look(browser, width):
    complaints = browser.get_log("browser")
    expect(not complaints, f"the console says {complaints}")
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    expect(overflow <= 0, f"at {width} px the page is {overflow} px too wide")
    figures = browser.find_elements(By.TAG_NAME, "figure")
    expect(len(figures) == PLOTS, f"{len(figures)} plots are there, and a report has {PLOTS}")
    for figure in figures:
        size = figure.find_element(By.TAG_NAME, "svg").size
        expect(size["width"] > 200 and size["height"] > 100, f"a plot is drawn in {size}")


def expect(holds, message):
    if not holds:
        raise SystemExit(f"FAILED: {message}")


main()
