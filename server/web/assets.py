"""The static files, with names that contain their hash so that browsers keep them."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from starlette.responses import JSONResponse, PlainTextResponse, Response

from ml_intern.outbound.exporting.html_style import STYLE

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
NAMES = ("htmx.min.js", "hx-sse.min.js", "web.js", "web.css", "icon.svg")
KEEP = {"cache-control": "private, max-age=31536000, immutable"}


class Assets:
    """The static files by the name in their address."""

    def __init__(self) -> None:
        folder = files("ml_intern.server.web") / "static"
        contents = {name: (folder / name).read_bytes() for name in NAMES}
        # In a layer, so that the page's own style takes precedence.
        contents["thread.css"] = f"@layer thread {{\n{STYLE}}}\n".encode()
        self._contents: dict[str, tuple[bytes, str]] = {}
        self.addresses: Mapping[str, str] = {name: self._add(name, text) for name, text in contents.items()}

    def _add(self, name: str, content: bytes) -> str:
        stem, _, kind = name.rpartition(".")
        hashed = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
        self._contents[hashed] = content, TYPES[kind]
        return f"/static/{hashed}"

    def response(self, name: str) -> Response:
        """Return a file, or 404."""
        if name not in self._contents:
            return PlainTextResponse("not found", 404)
        content, kind = self._contents[name]
        return Response(content, media_type=kind, headers=KEEP)

    def manifest(self) -> Response:
        """Return the description by which the page can be installed as an app."""
        icon = {"src": self.addresses["icon.svg"], "sizes": "any", "type": "image/svg+xml", "purpose": "any maskable"}
        return JSONResponse(
            {
                "name": "ml-intern",
                "short_name": "ml-intern",
                "id": "/",
                "start_url": "/",
                "display": "standalone",
                "background_color": "#ffffff",
                "theme_color": "#0550ae",
                "icons": [icon],
            },
            media_type="application/manifest+json",
        )
