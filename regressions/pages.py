"""Makes what `asv publish` wrote a part of the site: `python -m regressions.pages [FOLDER]`.

asv's pages load JavaScript from other servers and data over HTTP. Here the JavaScript is fetched once, by npm, at the
versions that the pages name, and put beside them, and so are the data, as a script: the pages open from disk and touch
no network.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".asv" / "assets"
ASSETS = {  # by the file name in an address: the package and its file
    "jquery-3.3.1.min.js": ("jquery@3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot@0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot@0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot@0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot@0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin@1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5@2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap@3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap@3.1.1", "dist/css/bootstrap.min.css"),
}
LOADED = re.compile(r'<(?:script|link)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^"]*"[^>]*>')
OWN = '<script language="javascript"'  # what asv's own scripts begin with, and these alone
DATA = "data.js"
ANSWER = """
// asv asks for data over HTTP, which a browser refuses a page that was opened from disk; answers come later, as there
$.ajaxTransport("+json", function (options) {
  var path = decodeURI(options.url.split("?")[0]);
  if (!/^[^:]*\\.json$/.test(path)) return undefined;
  function answer(done) { path in FILES ? done(200, "OK", {json: FILES[path]}) : done(404, "not measured"); }
  function send(_, done) { setTimeout(answer, 0, done); }
  return {send: send, abort: function () {}};
});
"""


def localise(folder: Path) -> None:
    """Have the pages in ``folder`` load nothing from elsewhere; ValueError for what there is no package of."""
    data = {str(path.relative_to(folder)): json.loads(path.read_text("utf-8")) for path in folder.rglob("*.json")}
    (folder / DATA).write_text(f"var FILES = {json.dumps(data)};{ANSWER}", encoding="utf-8")
    for page in folder.glob("*.html"):
        text = LOADED.sub(lambda found: _here(found.group(), folder), page.read_text(encoding="utf-8"))
        page.write_text(text.replace(OWN, f'<script src="{DATA}"></script>\n    {OWN}', 1), encoding="utf-8")


def _here(tag: str, folder: Path) -> str:
    """The tag, loading a copy in ``folder``."""
    (address,) = re.findall(r'\b(?:src|href)="([^"]*)"', tag)
    name = address.rpartition("/")[2]
    if name not in ASSETS:
        raise ValueError(
            f"asv's pages load {address}, which is not among ASSETS in {Path(__file__).name}: add it there"
        )
    target = folder / "assets" / name
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(_asset(*ASSETS[name]), target)
    kept = re.sub(r'\s+(?:integrity|crossorigin|referrerpolicy)="[^"]*"', "", tag)
    return kept.replace(address, f"assets/{name}")


def _asset(package: str, file: str) -> Path:
    """A file of an npm package, fetched where it is not here yet; ValueError where it cannot be had."""
    place = CACHE / package / file
    if not place.exists():
        with tempfile.TemporaryDirectory() as folder:
            try:
                subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.PIPE)
            except (OSError, subprocess.CalledProcessError) as error:
                raise ValueError(f"npm cannot fetch {package}, which asv's pages need: {error}") from error
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as content:
                source = content.extractfile(f"package/{file}")
                assert source is not None
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(source.read())
    return place


if __name__ == "__main__":
    localise(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "asv")
