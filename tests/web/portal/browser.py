"""A browser without a window, for tests of signing in: it keeps cookies, and sends forms back as pages have them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import requests

_TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


class Browser:
    """A browser of somebody who is not signed in yet."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.headers = dict(headers or {})
        self.cookies: dict[str, str] = {}
        self.page = requests.Response()

    def get(self, path: str) -> requests.Response:
        """A page."""
        return self._kept(
            requests.get(self.url + path, headers=self._headers(), timeout=60, allow_redirects=False),
        )

    def send(self, path: str, **fields: str) -> requests.Response:
        """A form, with the token of the page that was seen last."""
        found = _TOKEN.search(self.page.text)
        sent = {"token": found[1] if found else "", **fields}
        return self._kept(
            requests.post(self.url + path, sent, headers=self._headers(), timeout=60, allow_redirects=False)
        )

    def follow(self) -> requests.Response:
        """The page that the last answer leads to."""
        assert self.page.status_code == 303, self.page.text
        return self.get(self.page.headers["Location"])

    def _headers(self) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Accept": "text/html", **({"Cookie": cookie} if cookie else {}), **self.headers}

    def _kept(self, answer: requests.Response) -> requests.Response:
        # Read by hand: the client would keep none that is for TLS alone.
        for line in answer.raw.headers.getlist("Set-Cookie"):
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            if "Max-Age=0" in rest:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        self.page = answer
        return answer
