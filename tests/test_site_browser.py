"""Opens the rendered site from disk in a real Chromium, as a reader would."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from recon_bench import results
from recon_bench.rules import QUICK
from recon_bench.site.render import render
from tests import chromium
from tests.helpers_results import CARD, METHODS, NOT_CONVERGED, NOTED, TROUBLE, of_small_features, write_tree

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
pytestmark = pytest.mark.browser

TASK = "ct-ellipses-30"
BOARD = f"board/{TASK}.html"
SCORELESS = [name for name, (status, _) in TROUBLE.items() if status in ("failed", "not-applicable")]
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (text) => parse(text).map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const back = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/rgba\\(.*, 0\\)|transparent/.test(colour)) return colour;
    }
  };
  const low = [];
  for (const element of document.querySelectorAll("main *, header *, footer *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || element.closest("svg, script, .sr, [popover]") || !element.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(back(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(element.outerHTML.slice(0, 90));
  }
  return low;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    root = write_tree(tmp_path_factory.mktemp("tree") / "results")
    write_tree(root, tasks=[TASK], methods=["fbp", "cgls"], images=2, rules=QUICK)
    for name, shift in (("fbp", -0.3), ("landweber", 0.5), ("tikhonov", 0.9)):
        results.write(of_small_features(name, shift), root)
    cards = root.parent / "baselines" / "cards"
    cards.mkdir(parents=True)
    (cards / "cgls.toml").write_text(CARD.format(name="cgls", track="free"))
    return render(root, root.parent / "site").parent


@pytest.fixture(scope="module")
def browser() -> Iterator:
    executable = chromium.find()
    if executable is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(chromium.ADVICE)
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=executable, args=list(chromium.ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, site) -> Iterator:
    """A function that opens an address of the site; afterwards nothing must have gone wrong or left the folder."""
    contexts, complaints = [], []

    def leaves(request) -> bool:
        parts = urlsplit(request.url)
        inside = parts.scheme == "file" and Path(unquote(parts.path)).resolve().is_relative_to(site)
        return not inside and parts.scheme != "data"

    def failed(request) -> None:
        # Leaving a page aborts the pictures that are still on their way.
        if "ERR_ABORTED" not in (request.failure or ""):
            complaints.append(f"failed: {request.url}")

    def visit(address: str, width: int = 1280, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", failed)
        page.on("request", lambda request: complaints.append(f"left: {request.url}") if leaves(request) else None)
        page.goto(f"{site.as_uri()}/{address}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not complaints


def shown(page) -> list[str]:
    """Names of the methods shown, from top to bottom."""
    return page.locator("[data-board] tbody tr:not([hidden])").evaluate_all("rows => rows.map(row => row.id)")


def shown_titles(page) -> list[str]:
    """Titles of the methods of a table, from top to bottom."""
    return page.locator("[data-board] tbody tr:not([hidden]) th a").all_text_contents()


def head(page, column: str):
    return page.locator(f'thead th[data-column="{column}"]')


def addresses(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def test_every_page_opens_without_complaint_and_without_network(visit, site):
    page = visit("index.html")
    for address in addresses(site):
        page.goto(f"{site.as_uri()}/{address}")
        assert page.locator("h1").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_their_text_has_contrast(visit, site, scheme):
    page = visit("index.html", width=390, scheme=scheme)
    for address in [a for a in addresses(site) if a.count("/") == 0 or TASK in a or "tv-isotropic." in a]:
        page.goto(f"{site.as_uri()}/{address}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        assert page.evaluate(CONTRAST) == [], address


def test_dark_and_light_differ(visit):
    colours = [
        visit(BOARD, scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert colours[0] != colours[1]


def test_sorting_is_kept_in_the_address(visit):
    page = visit(BOARD)
    start = shown(page)
    head(page, "seconds").get_by_role("button").click()
    by_time = shown(page)
    assert by_time != start and by_time[0] == "fbp"
    assert head(page, "seconds").get_attribute("aria-sort") == "ascending"
    assert head(page, "rank").get_attribute("aria-sort") is None
    page.reload()
    assert shown(page) == by_time
    head(page, "seconds").get_by_role("button").click()
    assert head(page, "seconds").get_attribute("aria-sort") == "descending"
    assert shown(page)[0] == "astra-fbp"


def test_failures_stay_below_whichever_way_a_column_is_sorted(visit):
    page = visit(BOARD)
    for _ in range(2):
        head(page, "psnr").get_by_role("button").click()
        assert set(shown(page)[-len(TROUBLE) :]) == set(TROUBLE)


def test_a_part_recovered_is_sorted_by_its_distance_from_1(visit):
    page = visit("features.html")
    assert shown_titles(page) == ["Landweber", "Tikhonov", "Fbp"]  # 1.15, 1.55, 0.35
    page.locator('th[data-column="recovered_low_11"] button').click()
    assert shown_titles(page) == ["Fbp", "Tikhonov", "Landweber"]
    assert "from farthest from 1 to nearest to 1" in page.locator("[data-count]").text_content()


def test_filters_are_kept_in_the_address_and_can_be_reset(visit):
    page = visit(BOARD)
    page.get_by_label("variational").check()
    page.get_by_label("Find a method").fill("tv nonneg")
    assert shown(page) == ["tv-isotropic-nonneg"]
    assert "1 of 12 methods shown" in page.get_by_role("status").inner_text()
    page.reload()
    assert shown(page) == ["tv-isotropic-nonneg"] and page.get_by_label("variational").is_checked()
    page.get_by_role("button", name="Reset the view").click()
    assert len(shown(page)) == len(METHODS) and "?" not in page.url


def test_rows_of_one_track_can_be_looked_at_alone(visit):
    page = visit(BOARD)
    head(page, "track").get_by_role("button").click()
    assert shown(page)[-1 - len(SCORELESS)] == "cgls"  # "free" comes last, before those without a track
    page.locator('input[name="track"][value="free"]').check()
    assert shown(page) == ["cgls"] and "track=free" in page.url
    page.reload()
    assert shown(page) == ["cgls"]
    page.locator("#cgls").get_by_role("link", name="free").click()
    assert page.locator("h2#cgls").is_visible() and page.url.endswith("cards.html#cgls")


def test_a_card_is_found_by_what_it_says(visit):
    page = visit("cards.html")
    page.get_by_label("Find a method").fill("natural images")
    assert shown_titles(page) == ["Cgls"]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_note_is_folded_and_can_be_read_whole(visit, width):
    page = visit(BOARD, width=width)
    note = page.locator(f"#{NOTED} td[data-column=notes]")
    before = note.bounding_box()["height"]
    assert NOT_CONVERGED not in note.inner_text() and "…" in note.inner_text()
    note.locator("summary").click()
    assert NOT_CONVERGED in note.inner_text() and "…" not in note.inner_text()
    assert note.bounding_box()["height"] > before
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_failure_is_found_by_its_reason(visit):
    page = visit(f"{BOARD}?q=singular")
    assert shown(page) == ["tsvd"]
    assert page.get_by_text(TROUBLE["tsvd"][1]).first.is_visible()


def test_columns_can_be_chosen_and_are_kept_in_the_address(visit):
    page = visit(BOARD)
    assert head(page, "psnr").is_visible() and not head(page, "nrmse").is_visible()
    page.get_by_text("Choose columns").click()
    page.get_by_label("NRMSE").check()
    page.get_by_label("PSNR (dB)", exact=True).uncheck()
    page.reload()
    assert head(page, "nrmse").is_visible() and not head(page, "psnr").is_visible()
    widths = page.locator("[data-board] tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].filter(c => !c.hidden).reduce((sum, c) => sum + c.colSpan, 0))"
    )
    assert len(set(widths)) == 1


def test_an_address_with_nonsense_shows_the_board(visit):
    page = visit(f"{BOARD}?sort=nothing.sideways&columns=none&family=")
    assert len(shown(page)) == len(METHODS)


def test_the_keyboard_reaches_content_and_sorts(visit):
    page = visit(BOARD)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('th')?.dataset.column") == "ssim":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert head(page, "ssim").get_attribute("aria-sort") == "descending"


def test_the_method_column_stays_when_the_table_is_scrolled(visit):
    page = visit(BOARD, width=390)
    box = page.locator("[data-board] .scroll")
    box.evaluate("box => box.scrollLeft = box.scrollWidth")
    left = page.locator("tbody th").first.bounding_box()["x"]
    assert abs(left - box.bounding_box()["x"]) < 4


def test_a_row_says_how_to_reproduce_it(visit):
    page = visit(BOARD)
    page.locator("#tv-isotropic").get_by_role("button", name="Reproduce").click()
    dialog = page.get_by_role("dialog")
    assert f"recon-bench run --tasks {TASK} --methods tv-isotropic --measurements accuracy" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_downloads_resolve_to_files(visit):
    links = visit(BOARD).get_by_role("list", name="Downloads").get_by_role("link")
    found = [Path(unquote(urlsplit(address).path)) for address in links.evaluate_all("links => links.map(a => a.href)")]
    assert [path.suffix for path in found] == [".csv", ".json", ".tex", ".csv"]
    assert all(path.stat().st_size > 500 for path in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_and_follow_the_scheme(visit, scheme):
    page = visit(BOARD, scheme=scheme)
    plot = page.locator("#speed .plot")
    plot.scroll_into_view_if_needed()
    plot.locator("svg text", has_text="Tv isotropic").first.wait_for()
    other = "light" if scheme == "dark" else "dark"
    before = plot.inner_html()
    page.emulate_media(color_scheme=other)
    page.wait_for_function("([plot, before]) => plot.innerHTML !== before", arg=[plot.element_handle(), before])


def test_lines_of_a_chart_differ_from_one_another(visit):
    page = visit(BOARD)
    found = page.evaluate("""() => {
      const points = [{ x: 1, y: 1, name: "a" }, { x: 2, y: 2, name: "b" }];
      const axis = { title: "", unit: "", log: false };
      const families = Array.from({ length: 60 }, (_, i) => ({ name: `line ${i}`, points, colour: i % 3 }));
      const methods = families.map(({ name, points }) => ({ name, points }));
      return [families, methods].map((series) => drawSeries({ kind: "curve", x: axis, y: axis, series }, scheme(), 900)
        .series.map((line) => JSON.stringify([line.itemStyle.color, line.lineStyle.type, line.symbol])));
    }""")
    assert [len(set(styles)) for styles in found] == [60, 60]


def test_a_method_page_draws_its_tuning(visit):
    page = visit("method/cgls.html")
    plot = page.locator("figure.chart .plot").first
    plot.scroll_into_view_if_needed()
    plot.locator("svg path").first.wait_for(state="attached")


def test_pictures_are_shown(visit):
    page = visit(f"gallery/{TASK}.html")
    page.locator("figure.strip").last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].some((image) => image.complete && image.naturalWidth > 0)")
    assert page.locator("figure.strip").count() == 3 * (len(METHODS) - len(TROUBLE) + 2)  # the partial one, the truth
